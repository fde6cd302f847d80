"""The built-in data set: cards with handwritten digits that move over photographs, in pairs of opposite motions.

Made from images that come with scikit-learn; nothing is downloaded. It has the form of real data: JPEG frame folders,
list files, class names. Digit, colour, background, size, speed and start are noise; only the order of the frames tells
the two classes of a pair apart.
"""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from joblib import cpu_count
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from common.errors import InputError, reason
from datasets.built_in.motions import CLASS_NAMES, Card, sample_motion

VERSION = 1  # raise it when the clips change: folders of other versions are refused
SETTINGS_FILE = "made_by.json"  # written last: only complete folders have it
PARTS = {"frames", "train.txt", "val.txt", "classes.txt", SETTINGS_FILE}
COLOURS = (
    (230, 60, 60), (250, 150, 40), (245, 220, 70), (90, 200, 90), (80, 170, 240), (170, 100, 230), (245, 130, 190),
)  # fmt: skip
COVER = (245, 245, 240)
JITTER = 0.006  # of a card's position in each frame: standard deviation, share of the frame


@dataclass(frozen=True)
class Settings:
    """Settings of the generated clips."""

    train_per_class: int = 50  # clips
    val_per_class: int = 12  # clips
    num_frames: int = 24  # per clip, 2 or more
    height: int = 96  # of a frame in pixels, as the width 16 or more
    width: int = 128
    seed: int = 0
    version: int = VERSION


def make_moving_digits(folder: Path, settings: Settings = Settings()) -> Path:  # noqa: B008 (frozen)
    """Fill the folder with frames/, train.txt, val.txt and classes.txt, if it is missing or incomplete; returns it.

    It gets its name when it is complete. Each clip depends on (seed, list, label, number) alone, not on the number of
    processes. Several runs may make the same folder at the same time: all use the folder of the first to finish.

    Raises:
        InputError: the folder was made with other settings, holds something else, or cannot be written.
    """
    if (folder / SETTINGS_FILE).exists():
        _check_settings(folder, settings)
        return folder
    logging.info("Making the built-in data set in %s (once; takes a few seconds)", folder)
    try:
        others = sorted({path.name for path in folder.iterdir()} - PARTS) if folder.exists() else []
        if others:
            raise InputError(
                f"{folder} holds {others[0]!r}, which is not part of the built-in data set; move the folder away, or "
                "choose another --data_root"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            unfinished = Path(scratch) / "unfinished"  # inside, because temporary folders are closed to other users
            _write(unfinished, settings)
            _put_in_place(unfinished, folder, trash=Path(scratch) / "trash")
    except OSError as error:
        raise InputError(
            f"cannot make the built-in data set in {folder}: {reason(error)}; choose another --data_root"
        ) from error
    _check_settings(folder, settings)
    return folder


def _check_settings(folder: Path, settings: Settings) -> None:
    try:
        made_with = json.loads((folder / SETTINGS_FILE).read_text())
    except (OSError, ValueError) as error:  # ValueError: not JSON, not UTF-8
        raise InputError(
            f"cannot read {folder / SETTINGS_FILE}: {reason(error)}; delete {folder}, and it is made again"
        ) from error
    if made_with != asdict(settings):
        raise InputError(
            f"{folder} was made with other settings or by another version: {made_with}, now {asdict(settings)}; "
            "delete it, and it is made again"
        )


def _put_in_place(unfinished: Path, folder: Path, *, trash: Path) -> None:
    """Rename the folder, unless a complete one exists; an incomplete one is replaced."""
    if (folder / SETTINGS_FILE).exists():
        return
    if folder.exists():
        logging.warning("%s is incomplete: replacing it", folder)
        folder.rename(trash)
    try:
        unfinished.rename(folder)
    except OSError:  # another process may have been faster
        if not (folder / SETTINGS_FILE).exists():
            raise


def _write(folder: Path, settings: Settings) -> None:
    """Fill a new folder, the settings file last."""
    jobs = [
        (split, label, number)
        for split, count in (("train", settings.train_per_class), ("val", settings.val_per_class))
        for number in range(count)
        for label in range(len(CLASS_NAMES))
    ]
    (folder / "frames").mkdir(parents=True)
    _digits()  # loaded once, for all forked processes
    _photographs()
    with ProcessPoolExecutor(min(8, cpu_count())) as pool:
        list(pool.map(partial(_write_clip, folder / "frames", settings), jobs, chunksize=16))
    for split in ("train", "val"):
        lines = [f"{_clip_name(*job)} {settings.num_frames} {job[1]}\n" for job in jobs if job[0] == split]
        (folder / f"{split}.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASS_NAMES))
    (folder / SETTINGS_FILE).write_text(json.dumps(asdict(settings), indent=2) + "\n")


def _clip_name(split: str, label: int, number: int) -> str:
    return f"{split}_{label:02d}_{number:03d}"


def _write_clip(frames_folder: Path, settings: Settings, job: tuple[str, int, int]) -> None:
    split, label, number = job
    folder = frames_folder / _clip_name(*job)
    folder.mkdir()
    rng = np.random.default_rng([settings.seed, split == "val", label, number])
    for count, frame in enumerate(draw_clip(label, settings, rng), start=1):
        frame.save(folder / f"{count:05d}.jpg", quality=90)


def draw_clip(label: int, settings: Settings, rng: np.random.Generator) -> list[Image.Image]:
    """The frames of one clip of a class."""
    motion = sample_motion(label, rng)
    background = draw_background(settings, rng)
    looks = [draw_look(rng) for _ in range(2)]
    first, last = rng.uniform(0.0, 0.06), rng.uniform(0.94, 1.0)  # times: some clips begin late or end early
    if label % 2 == 1:  # played backwards: show the same part of the motion
        first, last = 1 - last, 1 - first
    frames = []
    for time in np.linspace(first, last, settings.num_frames):
        frame = background.copy()
        for card in motion(float(time)):
            paste(frame, card, looks, jitter=rng.normal(0, JITTER, 2))
        frames.append(frame)
    return frames


@cache
def _digits() -> np.ndarray:
    """(1797, 8, 8) handwritten digits, 0 ... 16."""
    from sklearn.datasets import load_digits  # here because it takes most of a second

    return load_digits().images


@cache
def _photographs() -> list[np.ndarray]:
    """Two photographs, (H, W, 3) uint8."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images


def draw_background(settings: Settings, rng: np.random.Generator) -> Image.Image:
    """A random part of one of the photographs, darkened and blurred so that the cards stand out."""
    photo = Image.fromarray(_photographs()[rng.integers(2)])
    height = int(rng.uniform(0.3, 0.9) * photo.height)
    width = min(photo.width, height * settings.width // settings.height)
    left, top = int(rng.integers(photo.width - width + 1)), int(rng.integers(photo.height - height + 1))
    part = photo.crop((left, top, left + width, top + height)).resize((settings.width, settings.height))
    part = ImageEnhance.Brightness(part).enhance(rng.uniform(0.35, 0.65))
    return part.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))


def draw_look(rng: np.random.Generator) -> Image.Image:
    """A card (64 x 64 RGBA) with a digit, in two random colours."""
    digits = _digits()
    digit = digits[rng.integers(len(digits))]
    mask = Image.fromarray((digit * (255 / 16)).astype(np.uint8)).resize((46, 46), Image.Resampling.BICUBIC)
    paper = COLOURS[rng.integers(len(COLOURS))]
    card = _blank_card(paper)
    card.paste(Image.new("RGB", mask.size, (25, 25, 35)), (9, 9), mask)
    return card


def _blank_card(colour: tuple[int, int, int]) -> Image.Image:
    card = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(card).rounded_rectangle(
        (1, 1, 62, 62), radius=8, fill=(*colour, 255), outline=(20, 20, 25, 255), width=2
    )
    return card


def paste(
    frame: Image.Image, card: Card, looks: Sequence[Image.Image], jitter: Sequence[float] | np.ndarray = (0.0, 0.0)
) -> None:
    """Put a card on a frame, `jitter` (x, y, shares of the frame) away from its position."""
    look = _blank_card(COVER) if card.look is None else looks[card.look]
    height = max(2, round(card.size * frame.height))
    picture = look.resize((round(height * card.length), height), Image.Resampling.BILINEAR)
    picture = picture.rotate(card.angle, Image.Resampling.BILINEAR, expand=True)
    x = (card.x + jitter[0]) * frame.width - picture.width / 2
    y = (card.y + jitter[1]) * frame.height - picture.height / 2
    frame.paste(picture, (round(x), round(y)), picture)
