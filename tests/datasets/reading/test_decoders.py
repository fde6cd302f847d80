"""Decoders: all give the same pixels and, except for wrong data within a JPEG, the same errors."""

import io
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, features
from video_files import write_dataset

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.clip_dataset import train_dataset
from datasets.reading import decoders
from datasets.reading.decoders import DECODER_NAMES, choose_decoder
from datasets.reading.frames import FrameFolder

OTHERS = [name for name in DECODER_NAMES if name != "pil"]


@pytest.fixture(params=OTHERS)
def decoder(request) -> str:
    """A decoder to compare with Pillow."""
    try:
        choose_decoder(request.param)
    except InputError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture(autouse=True)
def _choose_anew() -> Iterator[None]:
    """Installed decoders are looked up once per process; here they change."""
    choose_decoder.cache_clear()
    yield
    choose_decoder.cache_clear()


def picture(width: int = 61, height: int = 47, seed: int = 0) -> Image.Image:
    """Smooth colours with noise: neither too simple nor without structure."""
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)).resize((width, height))
    noisy = np.asarray(smooth) + rng.integers(-15, 16, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned_by_the_camera() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to see it upright", which Pillow's decoding does not do
    return encoded(picture(), exif=exif)


def wrong_size_in_the_header() -> bytes:
    """A header of 65535 x 65535 pixels with few pixels behind it."""
    data = encoded(picture())
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :]


def replaced(data: bytes, place: int, by: bytes) -> bytes:
    return data[:place] + by + data[place + len(by) :]


FILES = {
    "4:2:0": encoded(picture(), quality=90),
    "4:4:4": encoded(picture(), subsampling=0, quality=95),
    "4:2:2": encoded(picture(), subsampling=1),
    "progressive": encoded(picture(), progressive=True),
    "restart markers": encoded(picture(), restart_marker_rows=1),
    "grey": encoded(picture().convert("L")),
    "stored as RGB": encoded(picture(), keep_rgb=True),
    "CMYK": encoded(picture().convert("CMYK")),
    "turned": turned_by_the_camera(),
    "one pixel": encoded(picture(1, 1)),
    "thin": encoded(picture(3, 200)),
    "bytes after the end": encoded(picture()) + b"more",
    "PNG": encoded(picture(), "PNG"),
    "PNG with palette": encoded(picture().quantize(16), "PNG"),
    "PNG with transparency": encoded(picture().convert("RGBA"), "PNG"),
    "16 bit": encoded(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)), "PNG"),
    "GIF": encoded(picture(), "GIF"),
    "BMP": encoded(picture(), "BMP"),
    "WebP": encoded(picture(), "WEBP", lossless=True),
}
DAMAGED = {
    "empty": b"",
    "text": b"no picture",
    "wrong size": wrong_size_in_the_header(),
    "no beginning": FILES["4:2:0"][20:],
    "truncated PNG": FILES["PNG"][:-200],
}


if features.check("avif"):
    DAMAGED["AVIF"] = encoded(picture(), "AVIF").replace(b"av1C", b"1234")  # a RuntimeError of Pillow


def outcome(decoder: str, data: bytes) -> np.ndarray | None:
    """The pixels; None: an error that counts as an unreadable frame."""
    try:
        return choose_decoder(decoder)(data)
    except OSError:
        return None


def as_with_pillow(decoder: str, data: bytes) -> bool:
    expected, pixels = outcome("pil", data), outcome(decoder, data)
    return (expected is None) == (pixels is None) and np.array_equal(expected, pixels)


@pytest.mark.parametrize("kind", sorted(FILES.keys() - {"16 bit"}))
def test_pillow_is_the_reference(kind: str) -> None:
    pixels = choose_decoder("pil")(FILES[kind])
    assert np.array_equal(pixels, Image.open(io.BytesIO(FILES[kind])).convert("RGB"))
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable  # torch takes such arrays as they are


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("decoder", DECODER_NAMES)
def test_16_bits_become_8(decoder: str, kind: str) -> None:
    """Values above 255 are not white."""
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    try:
        decode = choose_decoder(decoder)
    except InputError as error:
        pytest.skip(str(error))
    pixels = decode(encoded(Image.fromarray(values), kind))
    assert np.array_equal(pixels, np.repeat(values[..., None] >> 8, 3, axis=2))
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("kind", FILES)
def test_all_decoders_give_the_same_pixels(decoder: str, kind: str) -> None:
    pixels = choose_decoder(decoder)(FILES[kind])
    assert np.array_equal(pixels, choose_decoder("pil")(FILES[kind]))
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_errors_for_all(decoder: str, kind: str) -> None:
    assert outcome("pil", DAMAGED[kind]) is None
    assert outcome(decoder, DAMAGED[kind]) is None


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "grey", "CMYK", "restart markers"])
def test_a_truncated_picture_is_an_error_for_all(decoder: str, kind: str) -> None:
    """At any cut: the last row may be half-grey, or only the end marker missing."""
    data = FILES[kind]
    for length in [*range(len(data) - 12, len(data)), *range(0, len(data), 97)]:
        assert outcome("pil", data[:length]) is None
        assert outcome(decoder, data[:length]) is None


@pytest.mark.parametrize("kind", ["4:2:0", "progressive", "grey", "CMYK", "turned", "stored as RGB"])
@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_wrong_bytes(decoder: str, kind: str) -> None:
    """Some are errors, some change a few pixels, some nothing: the same for all, but simplejpeg sees more errors."""
    rng = np.random.default_rng(0)
    data = FILES[kind]
    outcomes = set()
    for _ in range(150):
        place = int(rng.integers(len(data) if rng.random() < 0.5 else 300))
        wrong = replaced(data, place, rng.bytes(1))
        pixels = outcome(decoder, wrong)
        assert as_with_pillow(decoder, wrong) or (pixels is None and decoder in ("simplejpeg", "auto")), place
        outcomes.add(outcome("pil", wrong) is None)
    assert outcomes == {True, False}


def test_simplejpeg_refuses_pictures_that_decode_in_part() -> None:
    """Pictures in which a tenth of the data is missing; not those with padding, or another version in the header."""
    decode, data = choose_decoder("simplejpeg"), FILES["4:2:0"]
    middle, size = len(data) * 2 // 3, len(data) // 10
    with pytest.raises(OSError, match="Corrupt JPEG data"):
        decode(data[:middle] + data[middle + size :])
    noise = np.random.default_rng(0).integers(1, 255, 40).astype(np.uint8).tobytes()
    with pytest.raises(OSError, match="extraneous bytes"):
        decode(data[:-2] + noise + data[-2:])
    padded = [data[:-2] + padding + data[-2:] for padding in (noise[:16], bytes(5000))]
    for harmless in (*padded, replaced(data, 11, b"\x07")):
        assert np.array_equal(decode(harmless), decode(data))


def test_auto_is_the_fastest_decoder_installed(monkeypatch) -> None:
    pytest.importorskip("simplejpeg")
    assert choose_decoder("auto") is decoders.decode_simplejpeg
    for gone in ("simplejpeg", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, gone, None)
    choose_decoder.cache_clear()
    assert choose_decoder("auto") is decoders.decode_pillow


@pytest.mark.parametrize("name", ["simplejpeg", "torchcodec"])
def test_a_named_decoder_that_is_not_installed(name: str, tmp_path: Path, monkeypatch) -> None:
    """An error at once, not in a worker."""
    root = write_dataset(tmp_path)
    lists = {"train_list": str(root / "train.txt"), "val_list": str(root / "val.txt")}
    spec = resolve("mine", root_path=str(root / "frames"), classes=str(root / "classes.txt"), **lists)
    options = {"num_segments": 2, "frames_per_segment": 1, "input_size": 32, "seed": 0, "flip": False}
    monkeypatch.setitem(sys.modules, decoders._DECODERS[name][0], None)
    with pytest.raises(InputError, match=f"--decoder {name}: {name} is not installed; pip install {name}"):
        train_dataset(spec, **options, decoder=name)
    assert train_dataset(spec, **options)[0].clip.shape == (2, 1, 32, 32, 3)


def test_auto_skips_a_decoder_that_does_not_fit(monkeypatch) -> None:
    """A torchcodec built for another torch raises on import."""

    def broken(module: str) -> None:
        if module != "PIL":
            raise RuntimeError("Could not load libtorchcodec.\nLikely causes: ...")

    monkeypatch.setattr(decoders, "import_module", broken)
    assert choose_decoder("auto") is decoders.decode_pillow
    with pytest.raises(InputError, match=r"torchcodec cannot be loaded \(Could not load libtorchcodec\.\);"):
        choose_decoder("torchcodec")


def test_auto_skips_a_torchcodec_without_a_jpeg_decoder(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", ModuleType("torchcodec.decoders"))
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert choose_decoder("auto") is decoders.decode_pillow
    with pytest.raises(InputError, match=r"torchcodec cannot be loaded \(before version 0\.16"):
        choose_decoder("torchcodec")


def test_readers_can_be_pickled(decoder: str, tmp_path: Path) -> None:
    (tmp_path / "00001.jpg").write_bytes(FILES["4:2:0"])
    reader = pickle.loads(pickle.dumps(FrameFolder(tmp_path, "{:05d}.jpg", 1, decoder)))
    assert np.array_equal(next(reader.frames([0]))[1], choose_decoder("pil")(FILES["4:2:0"]))


def test_a_picture_that_is_far_too_large_is_refused(decoder: str, monkeypatch) -> None:
    """As by Pillow, before its pixels are made."""
    content = encoded(picture())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(OSError, match="decompression bomb"):
        choose_decoder(decoder)(content)
