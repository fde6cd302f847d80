#!/usr/bin/env python
"""Classify one video (a video file, or a folder or archive of frames): print its most likely classes."""

import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.console import log_lines_to, run_script
from common.errors import InputError, reason
from datasets.clip_dataset import ClipPlan
from datasets.lists import VideoRecord
from datasets.missing_path import there_is
from datasets.reading.frames import IMAGE_SUFFIXES, UNREADABLE, FrameArchive, FrameFolder, NumberedImages, is_flow
from datasets.reading.readers import ARCHIVE_SUFFIX, Reader
from datasets.reading.video_decoding import not_to_its_end
from datasets.reading.video_file import VideoFile
from datasets.transforms import eval_preprocessing
from datasets.view_dataset import read_views
from ops.fuse import fuse_for_inference
from ops.runtime import start_runtime
from ops.scoring.score import on_the_cpu
from ops.weights.checkpoint_network import Weights
from opts import predict_parser

ANY_NAME = "{}"  # an unused template: `NamedImages` sorts the names themselves


def open_source(source: Path, decoder: str) -> Reader:
    """The reader of a complete video file, or of a folder or archive (.zip) of images; `decoder`: for images."""
    if os.path.isdir(source):
        return NamedImages(FrameFolder(source, ANY_NAME, 0, decoder))
    if not os.path.exists(source):
        raise InputError(f"there is no {source}; give a video file, or a folder or .zip of frames{there_is(source)}")
    if source.suffix.lower() == ARCHIVE_SUFFIX:
        return NamedImages(FrameArchive(source, ANY_NAME, 0, decoder))
    video = VideoFile(source)
    if video.fault:
        raise not_to_its_end(source, video.fault)
    return video


class NamedImages:
    """The images of a folder or archive, in the order of the numbers in their names."""

    def __init__(self, images: NumberedImages) -> None:
        self.images, self.path = images, images.path
        try:
            names = [name for name in images.names() if name.lower().endswith(IMAGE_SUFFIXES) and "/" not in name]
        except UNREADABLE as error:
            raise InputError(f"{images.path} cannot be read ({reason(error)}); extract the video again") from error
        self.names = sorted([name for name in names if not is_flow(name)] or names, key=in_natural_order)
        self.num_frames = len(self.names)
        if not names:
            raise InputError(f"{images.path} has no frames; give a video file, or a folder or .zip of images")

    def frames(self, numbers: Sequence[int], replaced: list[str] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """As `Reader.frames`; nothing is replaced."""
        with self.images.opened() as load:
            for number in numbers:
                try:
                    image = load(self.names[number])
                except UNREADABLE as error:
                    path = self.path / self.names[number]
                    raise InputError(f"{path} cannot be read ({reason(error)}); extract the video again") from error
                yield number, image


def in_natural_order(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts 2.jpg before 10.jpg."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def read_clip(source: Path, decoder: str, plan: ClipPlan) -> Tensor:
    """A video's clip by `plan`, (1, T, L, 3, H, W) uint8; `source` and `decoder` as in `open_source`."""
    reader = open_source(source, decoder)
    record = VideoRecord(str(source), None, 0)
    try:
        views = read_views(reader, record, [plan])
    except InputError:
        if not isinstance(reader, VideoFile):
            raise
        decodable = VideoFile(source, reader.count_by_decoding())  # it may have fewer frames than packets
        views = read_views(decodable, record, [plan])
    return views.clip(0).movedim(-1, -3)


def main(argv: list[str] | None = None) -> None:
    args = predict_parser().parse_args(argv)
    log_lines_to(sys.stderr)  # stdout is for the classes
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile)
    logging.getLogger().setLevel(logging.WARNING)

    # network
    weights = Weights.read(args.weights)
    made_for = weights.trained_on
    if made_for is None:
        raise InputError(f"{args.weights} has no class names; give a checkpoint of train.py")
    model = weights.build(made_for.class_names)

    # clip
    plan = ClipPlan(model.num_segments, model.frames_per_segment, eval_preprocessing(made_for.input_size))
    clip = read_clip(Path(args.source), args.decoder, plan)

    # scores
    network = runtime.wrap(fuse_for_inference(runtime.place(model)))
    with torch.inference_mode(), runtime.autocast(args.amp):
        logits = network(clip.to(runtime.device))
    best = on_the_cpu(logits).softmax(1)[0].topk(min(args.top, len(made_for.class_names)))
    for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        print(f"{100 * probability:5.1f} %  {made_for.class_names[label]}")


if __name__ == "__main__":
    run_script(main)
