"""The bytes of an image file -> RGB pixels. Several decoders with one result: which of them works matters for speed.

Pillow's word counts. The faster ones decode plain JPEGs, which is what frames are, with the same library as Pillow and
to the same pixels. Whatever else a file is (CMYK, a photo that knows how it was turned, another format), and whatever
they refuse, goes to Pillow: so a file is read, or is an error, with any of them alike.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from common.errors import InputError

Decode = Callable[[bytes], np.ndarray]  # content of a file -> (H, W, 3) uint8 RGB


@contextmanager
def _faults_are_os_errors() -> Iterator[None]:
    """Turn whatever Pillow raises of a damaged image into an `OSError`: each of its formats has errors of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error


@_faults_are_os_errors()
def decode_pillow(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB; a damaged file is an `OSError`, not a half-grey picture."""
    with _opened(data) as image:
        return _pixels(image)


def decode_simplejpeg(data: bytes) -> np.ndarray:
    """As `decode_pillow`."""
    import simplejpeg

    try:
        height, width, colours = simplejpeg.decode_jpeg_header(data)[:3]
        is_small = height * width <= (Image.MAX_IMAGE_PIXELS or 0)  # Pillow refuses what is far too large
        if is_small and colours in ("YCbCr", "Gray", "RGB"):  # CMYK -> RGB is one level off Pillow's
            return simplejpeg.decode_jpeg(data, "RGB")  # strict: what is damaged is refused
    except (ValueError, MemoryError):  # MemoryError: a size that is wrong in the header
        pass
    return decode_pillow(data)


@_faults_are_os_errors()
def decode_torchcodec(data: bytes) -> np.ndarray:
    """As `decode_pillow`."""
    from torchcodec.decoders import decode_jpeg

    with _opened(data) as image:  # reads the header only: some damaged ones are no error to torchcodec
        # torchcodec turns pictures as a camera noted in such a part (APP1, where EXIF stands); Pillow does not.
        if image.format == "JPEG" and image.mode in ("RGB", "L") and b"\xff\xe1" not in data:
            try:
                pixels: torch.Tensor = decode_jpeg(data, mode="RGB")  # type: ignore[assignment]  # a list for a list
                return pixels.permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3), as it lies in memory
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
    """A decoder by name; "auto": the fastest that is installed.

    Raises:
        InputError: it is not installed, or does not work here.
    """
    if name != "auto":
        _require_installed(name)
        return _DECODERS[name][1]
    for candidate in _DECODERS:
        try:
            _require_installed(candidate)
        except InputError as error:
            logging.debug("%s", error)
            continue
        return _DECODERS[candidate][1]
    raise AssertionError("Pillow is always there")


def _require_installed(name: str) -> None:
    module, _ = _DECODERS[name]
    package = module.split(".")[0]
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--decoder {name}: {package} is not installed; pip install {package}, or take --decoder auto"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:  # torchcodec that was built for another torch
        raise InputError(
            f"--decoder {name}: {package} cannot be loaded ({str(error).splitlines()[0]}); "
            f"pip install the {package} that fits your torch, or take --decoder auto"
        ) from error


def _opened(data: bytes) -> Image.Image:
    """An image whose header was read."""
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise OSError("not an image, or its beginning is damaged") from error


def _pixels(image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey, of which `convert` makes white what is above 255
        high_bytes = np.asarray(image).clip(0, 65535) >> 8  # as Pillow reads 16-bit colours
        image = Image.fromarray(high_bytes.astype(np.uint8))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
