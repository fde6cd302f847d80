"""scripts/show_clips.py and its pictures: the clips that training reads, with names, numbers and mirrored labels."""

from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from video_files import CLASSES, own_data_flags, write_dataset

from common.errors import InputError
from datasets.loader import make_loader
from drawing import clips as clip_pictures
from drawing.clips import ShownClip, animation, contact_sheet, save_animation, shorten
from ops.models import build_model
from ops.weights.file import save_checkpoint
from scripts import show_clips

pytestmark = pytest.mark.slow

TINY = ["--num_segments", "3", "--input_size", "32", "-j", "0", "--clips", "4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("own"))


@pytest.fixture
def flags(root: Path, tmp_path: Path) -> list[str]:
    data = [flag for flag in own_data_flags(root) if flag != "--val_list" and not flag.endswith("val.txt")]
    return ["mine", *data, *TINY, "--output_dir", str(tmp_path / "out")]


@pytest.fixture
def drawn(flags: list[str], monkeypatch):
    """Run the script; returns the clips that it draws, without drawing them."""
    clips: list[ShownClip] = []
    monkeypatch.setattr(show_clips, "contact_sheet", lambda c, **_: clips.extend(c) or Image.new("RGB", (8, 8)))
    monkeypatch.setattr(show_clips, "animation", lambda _: iter([Image.new("RGB", (8, 8))]))

    def run(*more: str) -> list[ShownClip]:
        clips.clear()
        show_clips.main([*flags, *more])
        return list(clips)

    return run


def test_the_script_writes_both_pictures(flags: list[str], tmp_path: Path, capsys) -> None:
    show_clips.main(flags)
    out = capsys.readouterr().out
    assert all(words in out for words in ("reading clips 4/4", "drawing pictures of clips.gif", "4 clips"))
    with Image.open(tmp_path / "out" / "clips.png") as sheet, Image.open(tmp_path / "out" / "clips.gif") as gif:
        assert sheet.width >= 3 * 32
        assert gif.n_frames == 3 * 5
        assert gif.info["duration"] == clip_pictures.STEP


def test_the_clips_are_those_of_the_training(drawn, root: Path) -> None:
    clips = drawn("--epoch", "2", "--seed", "4")
    data = own_data_flags(root)
    spec = show_clips.resolve("mine", **{k.strip("-"): v for k, v in zip(data[::2], data[1::2], strict=True)})
    dataset = show_clips.train_dataset(spec, num_segments=3, frames_per_segment=5, input_size=32, seed=4, flip=True)
    loader = make_loader(dataset, batch_size=4, workers=0, shuffle=True, seed=4)
    loader.sampler.set_epoch(2)
    batch = next(iter(loader))
    assert [clip.video_id for clip in clips] == batch.video_ids
    for number, clip in enumerate(clips):
        assert torch.equal(torch.tensor(clip.frames), batch.clip[number])
        assert (clip.mirrored_name or clip.class_name) == CLASSES[batch.label[number]]
        assert clip.numbers.shape == (3, 5)
        assert clip.numbers.max() < clip.num_frames


def test_mirrored_clips_say_so(drawn) -> None:
    clips = [clip for epoch in range(4) for clip in drawn("--epoch", str(epoch))]
    pairs = {(clip.class_name, clip.mirrored_name) for clip in clips}
    left, right, turning = CLASSES
    assert {(left, right), (turning, turning), (left, None)} <= pairs
    assert pairs <= {(left, right), (right, left), (turning, turning), *((name, None) for name in CLASSES)}
    assert all(clip.mirrored_name is None for clip in drawn("--no_flip"))


@pytest.mark.parametrize(("net", "length"), [("TSM", 1), ("H2CN", 5)])
def test_the_network_sets_the_frames_per_segment(drawn, net: str, length: int) -> None:
    assert drawn("--net", net)[0].frames.shape == (3, length, 32, 32, 3)


def test_the_built_in_data_set_has_its_defaults(monkeypatch) -> None:
    args = show_clips.parse_with_built_in_defaults(show_clips.show_parser(), [])
    assert (args.input_size, args.num_segments) == (32, 8)
    args = show_clips.parse_with_built_in_defaults(show_clips.show_parser(), ["kinetics"])
    assert args.input_size == 224


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--output_dir", "/proc/no"], "--output_dir"),
        (["--input_size", "33"], "multiple of 32"),
        (["--train_list", "gone.txt"], "gone.txt"),
    ],
)
def test_bad_input(drawn, more: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        drawn(*more)


def clip(segments: int, length: int, size: int, name: str = "a", mirrored: str | None = None) -> ShownClip:
    """Each frame of one grey, brighter from frame to frame."""
    levels = np.arange(segments * length).reshape(segments, length) + 20
    frames = np.broadcast_to(levels[..., None, None, None], (segments, length, size, size, 3)).astype(np.uint8)
    return ShownClip(frames, levels - 20, "video", 99, name, mirrored)


def levels(picture: Image.Image) -> set[int]:
    """Greys of frames that are in a picture; their borders blend with the white between them."""
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    grey = pixels[(pixels == pixels[:, :1]).all(1), 0]
    values, counts = np.unique(grey, return_counts=True)
    return {int(value) for value, count in zip(values, counts, strict=True) if count >= 900 and value < 60}


def test_a_sheet_shows_key_frames_or_all() -> None:
    clips = [clip(4, 5, 64), clip(4, 5, 64)]
    assert levels(contact_sheet(clips, all_frames=False)) == {20 + 5 * segment + 2 for segment in range(4)}
    assert levels(contact_sheet(clips, all_frames=True)) == {20 + number for number in range(20)}


def test_an_animation_shows_every_frame_in_order(tmp_path: Path) -> None:
    clips = [clip(2, 3, 64) for _ in range(5)]
    assert [levels(picture) for picture in animation(clips)] == [{20 + number} for number in range(6)]
    save_animation(animation(clips), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (6, 0)


@cache
def picture_sizes(shape: tuple[int, int, int], name: str) -> list[tuple[int, int]]:
    """Width and height of both pictures of a clip."""
    named = clip(*shape, name, name)
    return [contact_sheet([named], all_frames=True).size, next(animation([named])).size]


LONG = ["left " * 80, "x" * 500]
NAMED = [(name, (3, 5, 96)) for name in ("", *LONG, "Жест – geste à gauche", "把某物从左推到右", "a\tb")]


@pytest.mark.parametrize(("name", "shape"), [*NAMED, *product(LONG, [(1, 1, 32), (16, 1, 224)])])
def test_any_name_fits(name: str, shape: tuple[int, int, int]) -> None:
    for long, short in zip(picture_sizes(shape, name), picture_sizes(shape, "x"), strict=True):
        assert long[0] == short[0]
        assert long[1] <= short[1] + 8 * 100 * 1.5 * clip_pictures.LARGE / 72


def test_long_names_keep_their_ends() -> None:
    lines = shorten("Pushing " + "something " * 50 + "from left to right", 20, 3).split("\n")
    assert len(lines) == 3
    assert lines[0].startswith("Pushing")
    assert lines[-1].endswith("from left to right")
    assert all(len(line) <= 20 for line in lines)


@pytest.mark.parametrize("mix", ["cutmix", "svmix"])
def test_mixed_clips_are_the_clips_of_the_sheet(drawn, tmp_path: Path, mix: str) -> None:
    drawn("--net", "TSM", "--mix", mix)
    with Image.open(tmp_path / "out" / "mixed.png") as sheet:
        assert sheet.width > 3 * 32
        assert len(sheet.getcolors(1 << 20)) > 50
    drawn("--net", "TSM", "--mix", "none", "--output_dir", str(tmp_path / "plain"))
    assert not (tmp_path / "plain" / "mixed.png").exists()


def test_bad_mixing_options(flags: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--weights needs --mix svmix"):
        show_clips.main([*flags, "--mix", "cutmix", "--weights", "x"])
    with pytest.raises(InputError, match="2 clips"):
        show_clips.main([*flags, "--mix", "cutmix", "--clips", "1"])
    model = build_model("TSM", "resnet10", len(CLASSES), 3)
    save_checkpoint(tmp_path / "plain.pth.tar", {"state_dict": model.state_dict()})
    with pytest.raises(InputError, match="has no selector"):
        show_clips.main([*flags, "--net", "TSM", "--mix", "svmix", "--weights", str(tmp_path / "plain.pth.tar")])
