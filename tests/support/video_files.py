"""Small data sets on disk for tests."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

CLASSES = ("Pushing something from left to right", "Pushing something from right to left", "Turning something")


def write_frames(folder: Path, num_frames: int, size: tuple[int, int] = (40, 30), seed: int = 0) -> None:
    """JPEG frames 00001.jpg ... of random colours; `size` is (W, H)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(1, num_frames + 1):
        pixels = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize(size).save(folder / f"{number:05d}.jpg")


def write_dataset(
    root: Path, *, train: int = 6, val: int = 5, num_frames: int = 12, classes: tuple[str, ...] = CLASSES
) -> Path:
    """A data set as prepared: frames/, train.txt, val.txt, classes.txt."""
    for split, count in (("train", train), ("val", val)):
        lines = []
        for i in range(count):
            write_frames(root / "frames" / f"{split} {i}", num_frames + i, seed=i)
            lines.append(f"{split} {i} {num_frames + i} {i % len(classes)}\n")
        (root / f"{split}.txt").write_text("".join(lines))
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return root


def own_data_flags(root: Path) -> list[str]:
    """Command-line flags of such a data set."""
    names = {"root_path": "frames", "train_list": "train.txt", "val_list": "val.txt", "classes": "classes.txt"}
    return [part for flag, name in names.items() for part in (f"--{flag}", str(root / name))]


def write_video(
    path: Path,
    frames: int,
    size: tuple[int, int] = (64, 48),
    *,
    codec: str = "mpeg4",
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    rate: int = 10,
) -> Path:
    """A video file whose frames get redder by 20 levels each, each 12 frames anew and greener.

    `size` is (W, H), `rate` in frames per second; `times` are of the frames, in ticks of 1 / rate seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if codec == "libx264":
            stream.codec_context.thread_count = 1  # its threads write other bytes in one of some hundred tries
        for i in range(frames):
            frame = av.VideoFrame.from_image(Image.new("RGB", size, (20 * (i % 12), 40 + 30 * (i // 12), 90)))
            frame.pts, frame.time_base = (times or range(frames))[i], Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damage_frame(path: Path, number: int) -> None:
    """Flip the bits of four bytes in a packet, by its number in the file, so that FFmpeg cannot decode the frame's end.

    One byte is not enough: some of them still give a picture, and x264 may write other bytes at another time.
    """
    with av.open(str(path)) as container:
        payload = bytes([packet for packet in container.demux(video=0) if packet.size][number])
    file = bytearray(path.read_bytes())
    end = file.index(payload) + len(payload)
    for place in range(end - 5, end - 1):
        file[place] ^= 255
    path.write_bytes(file)


def write_sound(path: Path) -> Path:
    """A file with sound and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
