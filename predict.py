#!/usr/bin/env python
"""Name what happens in one video: a video file, a folder or an archive of frames -> the likeliest classes."""

import logging
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from datasets.decoders import choose_decoder
from datasets.frames import UNREADABLE
from datasets.sampling import center_starts, segment_indices
from datasets.transforms import eval_preprocessing, lay_out
from datasets.video import decode_video
from errors import InputError, run_script
from ops.inference import Weights, require_finite
from ops.prepare import prepare_for_inference
from ops.runtime import start_runtime
from opts import parse_predict

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


def read_source(source: Path, decoder: str) -> Iterator[np.ndarray]:
    """The frames of a video file, or the images of a folder or archive in the order of their names: (H, W, 3) RGB.

    Args:
        source: file or folder.
        decoder: of images, one of `DECODER_NAMES`.

    Raises:
        InputError: there is no such file or folder, or it has no frames that can be read.
    """
    decode = choose_decoder(decoder)
    if source.is_dir() or zipfile.is_zipfile(source):
        folder = source if source.is_dir() else zipfile.Path(source)
        images = [path for path in folder.iterdir() if Path(path.name).suffix.lower() in IMAGE_SUFFIXES]
        for path in sorted(images, key=lambda path: path.name):
            try:
                image = decode(path.read_bytes())
            except UNREADABLE as error:
                raise InputError(f"{path} cannot be read ({error}); extract the video again") from error
            yield image
    elif source.exists():
        yield from decode_video(source)
    else:
        raise InputError(f"there is no {source}; give a video file or a folder of frames")


def main(argv: list[str] | None = None) -> None:
    args = parse_predict(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile)

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
        raise InputError(f"{args.source} has no frames; give a video file or a folder of JPEGs")
    starts = center_starts(len(views), model.num_segments, model.frames_per_segment)
    clip = lay_out(views, segment_indices(starts, model.frames_per_segment, len(views)))

    # scores
    with torch.inference_mode(), runtime.autocast(args.amp):
        logits = require_finite(runtime.wrap(prepare_for_inference(runtime.place(model)))(clip.to(runtime.device)))
    best = logits.float().softmax(1)[0].topk(min(args.top, len(made_for.class_names)))
    for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        print(f"{100 * probability:5.1f} %  {made_for.class_names[label]}")


if __name__ == "__main__":
    run_script(main)
