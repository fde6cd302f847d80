"""Image files -> RGB pixels. All decoders give the same result; they differ in speed.

Pillow is the reference. The faster ones decode plain JPEGs, the usual form of frames, with the same library as Pillow
and to the same pixels. All other files (CMYK, photos with an orientation, other formats), and files that they refuse,
go to Pillow: so a file is readable with all decoders or with none. The exception is corrupt data within a JPEG, which
only simplejpeg detects.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from common.errors import InputError, reason

MOST_PADDING = 16  # bytes of any value; the data that a flipped bit leaves over are mostly 37 or more
Decode = Callable[[bytes], np.ndarray]  # content of a file -> (H, W, 3) uint8 RGB


@contextmanager
def faults_are_os_errors() -> Iterator[None]:
    """Turn all errors raised for a damaged file into `OSError`: each format and decompressor has its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(reason(error)) from error


@faults_are_os_errors()
def decode_pillow(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB; for a damaged file an `OSError`, not a half-grey picture."""
    with _opened(data) as image:
        return _pixels(image)


def decode_simplejpeg(data: bytes) -> np.ndarray:
    """As `decode_pillow`, but an `OSError` for a JPEG with corrupt data, of which libjpeg warns."""
    import simplejpeg

    try:
        height, width, colours = simplejpeg.decode_jpeg_header(data)[:3]
        is_small = height * width <= (Image.MAX_IMAGE_PIXELS or 0)  # Pillow refuses larger ones
        if is_small and colours in ("YCbCr", "Gray", "RGB"):  # CMYK -> RGB is one level off Pillow's
            return simplejpeg.decode_jpeg(data, "RGB")  # strict: warnings are errors
    except (ValueError, MemoryError) as error:  # MemoryError: a wrong size in the header
        if str(error).startswith("Corrupt") and not _is_padding(str(error), data):
            raise OSError(str(error)) from error
    return decode_pillow(data)


def _is_padding(warning: str, data: bytes) -> bool:
    """Whether libjpeg warns only of padding after a complete picture, as some cameras write: few or equal bytes."""
    found = re.search(r"(\d+) extraneous bytes before marker 0xd9", warning)
    if found is None:
        return False
    rest = data[: data.rfind(b"\xff\xd9")][-int(found[1]) :]
    return len(rest) <= MOST_PADDING or len(set(rest)) == 1


@faults_are_os_errors()
def decode_torchcodec(data: bytes) -> np.ndarray:
    """As `decode_pillow`."""
    from torchcodec.decoders import decode_jpeg

    with _opened(data) as image:  # reads the header only: torchcodec accepts some damaged ones
        # torchcodec rotates pictures with an orientation in such a part (APP1, for EXIF); Pillow does not.
        if image.format == "JPEG" and image.mode in ("RGB", "L") and b"\xff\xe1" not in data:
            try:
                pixels: Any = decode_jpeg(data, mode="RGB")  # a list for a list
                return pixels.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3), not copied
            except RuntimeError:
                pass
        return _pixels(image)


# Fastest first. Name -> module of the pip package, function.
_DECODERS: dict[str, tuple[str, Decode]] = {
    "simplejpeg": ("simplejpeg", decode_simplejpeg),
    "torchcodec": ("torchcodec.decoders", decode_torchcodec),
    "pil": ("PIL", decode_pillow),
}
DECODER_NAMES = ("auto", *_DECODERS)


@cache
def choose_decoder(name: str) -> Decode:
    """A decoder by name; "auto": the fastest one installed.

    Raises:
        InputError: it is not installed, or does not work here.
    """
    if name == "auto":
        name = next(installed_decoders())  # Pillow is always installed
    else:
        _require_installed(name)
    return _DECODERS[name][1]


def installed_decoders() -> Iterator[str]:
    """Names of the decoders that work here, fastest first."""
    for name in _DECODERS:
        try:
            _require_installed(name)
        except InputError as error:
            logging.debug("%s", error)
        else:
            yield name


def _require_installed(name: str) -> None:
    module, _ = _DECODERS[name]
    package = module.split(".")[0]
    try:
        found = import_module(module)
        if name == "torchcodec" and not hasattr(found, "decode_jpeg"):
            raise ImportError("before version 0.16 it does not decode JPEGs")
    except ModuleNotFoundError as error:
        raise InputError(
            f"--decoder {name}: {package} is not installed; pip install {package}, or use --decoder auto"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:  # a torchcodec built for another torch
        raise InputError(
            f"--decoder {name}: {package} cannot be loaded ({str(error).splitlines()[0]}); "
            f"pip install the {package} that fits your torch, or use --decoder auto"
        ) from error


def _opened(data: bytes) -> Image.Image:
    """An image whose header has been read."""
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise OSError("not an image, or its beginning is damaged") from error


def _pixels(image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey: `convert` would turn everything above 255 white
        high_bytes = np.asarray(image).clip(0, 65535) >> 8  # as Pillow reads 16-bit colours
        image = Image.fromarray(high_bytes.astype(np.uint8))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
