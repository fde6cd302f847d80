#!/usr/bin/env python
"""Name what happens in one video: a video file, a folder or an archive of frames -> the likeliest classes."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from datasets.frames import IMAGE_SUFFIXES, UNREADABLE, FrameArchive, FrameFolder, NumberedImages
from datasets.preparing.inspection import is_flow
from datasets.readers import ARCHIVE_SUFFIX, there_is
from datasets.sampling import center_starts, segment_indices
from datasets.transforms import eval_preprocessing, lay_out
from datasets.video import decode_video
from errors import InputError, run_script
from ops.inference import Weights, on_the_cpu
from ops.prepare import prepare_for_inference
from ops.runtime import start_runtime
from opts import parse_predict

ANY_NAME = "{}"  # a template that is not used: the images are taken as they are named


def read_source(source: Path, decoder: str) -> Iterator[np.ndarray]:
    """The frames of a video file, or of a folder or archive (.zip) the images in the order of their numbers.

    Args:
        source: file or folder.
        decoder: of images, one of `DECODER_NAMES`.

    Yields:
        (H, W, 3) RGB.

    Raises:
        InputError: there is no such file or folder, or it has frames that cannot be read.
    """
    if os.path.isdir(source):
        yield from _read_images(FrameFolder(source, ANY_NAME, 0, decoder))
    elif not os.path.exists(source):
        raise InputError(f"there is no {source}; give a video file, or a folder or .zip of frames{there_is(source)}")
    elif source.suffix.lower() == ARCHIVE_SUFFIX:
        yield from _read_images(FrameArchive(source, ANY_NAME, 0, decoder))
    else:
        yield from decode_video(source)


def _read_images(reader: NumberedImages) -> Iterator[np.ndarray]:
    place = reader.path
    try:
        images = [name for name in reader.names() if name.lower().endswith(IMAGE_SUFFIXES) and "/" not in name]
        frames = [name for name in images if not is_flow(name)] or images
        with reader.opened() as load:
            for name in sorted(frames, key=in_natural_order):
                place = reader.path / name
                yield load(name)
    except UNREADABLE as error:
        raise InputError(f"{place} cannot be read ({error}); extract the video again") from error


def in_natural_order(name: str) -> tuple[list[str | int], str]:
    """A sort key by which 2.jpg comes before 10.jpg."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def main(argv: list[str] | None = None) -> None:
    args = parse_predict(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)  # stdout: the answer
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile)
    logging.getLogger().setLevel(logging.WARNING)  # of all else, only what is amiss

    # network
    weights = Weights.read(args.weights)
    made_for = weights.trained_on
    if made_for is None:
        raise InputError(f"{args.weights} does not hold its class names; give a checkpoint that train.py wrote")
    model = weights.build(made_for.class_names, net=None, arch=None, num_segments=None, dataset=None)

    # clip: each frame is cropped as it comes, so that a long video is never held at full size
    preprocessing = eval_preprocessing(made_for.input_size)
    views = [preprocessing([image])[0] for image in read_source(Path(args.source), args.decoder)]
    if not views:
        raise InputError(f"{args.source} has no frames; give a video file, or a folder or .zip of images")
    starts = center_starts(len(views), model.num_segments, model.frames_per_segment)
    clip = lay_out(views, segment_indices(starts, model.frames_per_segment, len(views)))

    # scores
    with torch.inference_mode(), runtime.autocast(args.amp):
        logits = runtime.wrap(prepare_for_inference(runtime.place(model)))(clip.to(runtime.device))
    best = on_the_cpu(logits).softmax(1)[0].topk(min(args.top, len(made_for.class_names)))
    for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        print(f"{100 * probability:5.1f} %  {made_for.class_names[label]}")


if __name__ == "__main__":
    run_script(main)
