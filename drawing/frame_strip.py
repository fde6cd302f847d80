"""A few frames of a video side by side, as one small JPEG."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.catalogue import checked_template
from datasets.lists import VideoRecord
from datasets.reading.readers import open_record

FRAMES, WIDTH, HEIGHT = 4, 160, 72  # per video, and the size of each in pixels at most
GAP = 2  # black pixels between two frames


def frame_strip(root_path: Path, video_id: str, image_tmpl: str) -> bytes:
    """The first frame of a listed video, the last, and two between them, from left to right; fewer if it has fewer.

    Raises:
        InputError: the video is not there or cannot be read.
    """
    reader = open_record(root_path, VideoRecord.of_id(video_id), checked_template(image_tmpl))
    numbers = np.unique(np.linspace(0, reader.num_frames - 1, FRAMES).astype(int)).tolist()
    frames = {number: Image.fromarray(frame) for number, frame in reader.frames(numbers)}
    width, height = frames[0].size
    scale = min(1, WIDTH / width, HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pictures = [np.pad(np.asarray(frames[number].resize(size)), ((0, 0), (0, GAP), (0, 0))) for number in numbers]
    content = io.BytesIO()
    Image.fromarray(np.hstack(pictures)[:, :-GAP]).save(content, "JPEG", quality=70)
    return content.getvalue()
