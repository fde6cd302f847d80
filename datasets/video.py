"""Video files through PyAV."""

from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

from errors import InputError


def decode_video(path: Path) -> Iterator[Image.Image]:
    """All frames of a video file in order of time, as RGB images turned upright.

    Raises:
        InputError: the file cannot be opened, has no video, or breaks off.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no video stream; give a video file")
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                image = frame.to_image()
                # Phones store the sensor's picture and the angle (counterclockwise) to turn it by.
                yield image.rotate(frame.rotation, expand=True) if frame.rotation else image
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be decoded ({error}); is it a whole video file?") from error
