"""A few frames of a video side by side, as one small JPEG."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.catalogue import checked_template
from datasets.lists import VideoRecord
from datasets.reading.readers import open_record

FRAMES, HEIGHT, WIDTH = 4, 72, 160  # frames per video, and the size of each in pixels at most


def frame_strip(root_path: Path, video_id: str, image_tmpl: str) -> bytes:
    """The first, last and two frames between them of a listed video, from left to right; fewer if it has fewer.

    Raises:
        InputError: the video is not there or cannot be read.
    """
    reader = open_record(root_path, VideoRecord(video_id, None, 0), checked_template(image_tmpl))
    numbers = sorted({int(number) for number in np.linspace(0, reader.num_frames - 1, FRAMES)})
    frames = dict(reader.frames(numbers))
    images = [Image.fromarray(frames[number]) for number in numbers]
    for image in images:
        image.thumbnail((WIDTH, HEIGHT))
    strip = Image.new("RGB", (sum(image.width + 2 for image in images) - 2, max(image.height for image in images)))
    left = 0
    for image in images:
        strip.paste(image, (left, 0))
        left += image.width + 2
    content = io.BytesIO()
    strip.save(content, "JPEG", quality=70)
    return content.getvalue()
