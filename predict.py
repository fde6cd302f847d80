#!/usr/bin/env python
"""Classify videos, each as a whole or in sliding windows: print the most likely classes, write tables and pictures."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from common.console import answer_help, log_lines_to, run_script
from common.signals import take_sigterm_as_ctrl_c
from opts import parse_predict, predict_parser

if __name__ == "__main__":
    answer_help(predict_parser())  # before torch is loaded

import numpy as np
from torch import Tensor
from tqdm import tqdm

from common.errors import InputError
from common.files import require_replaceable
from datasets.class_names import read_class_names
from datasets.loader import make_view_loader
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.reading.read_ahead import ReadAhead
from datasets.reading.sources import Source, find_sources
from datasets.reading.timed_frames import TimedFrames, timed_frames
from datasets.view_dataset import SourceViews, VideoViews, clip_plans, read_views
from datasets.windows import sliding_windows
from ops.choices import EXPORTED
from ops.fuse import fuse_for_inference
from ops.network import VideoNet
from ops.runtime import Runtime, start_runtime
from ops.scoring.predictions import Prediction, write_prediction_csv, write_prediction_json
from ops.scoring.score import class_probabilities
from ops.weights.checkpoint import TrainedOn, Weights, frame_sampling
from ops.weights.exported import ExportedNet, read_exported

FRAMES_AHEAD = 64  # that the reader of a file may be ahead of the network
FRAME_BAR: dict[str, Any] = {"unit": " frames", "leave": False, "dynamic_ncols": True}
Results = Generator[Prediction | InputError, None, None]  # an error says why a video, or its rest, cannot be read


class Classifier(NamedTuple):
    """A network that is ready to score videos."""

    classify: Callable[[VideoViews], np.ndarray]  # (K,) probabilities
    class_names: Sequence[str]
    plans: Sequence[EvalPlan]  # of each clip of a video
    is_gpu: bool


def main(argv: list[str] | None = None) -> None:
    args = parse_predict(argv)
    log_lines_to(sys.stderr)  # stdout is for the classes
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile)
    args.amp = runtime.chosen_amp(args.amp)
    sources = find_sources(args.source, args.root_path)
    check_outputs(args, sources)
    classifier = ready_classifier(args, runtime)
    take_sigterm_as_ctrl_c()

    predictions: list[Prediction] = []
    faults: list[InputError] = []  # that are not printed yet
    unread, is_single, is_stopped = 0, len(sources) == 1, False
    results = (predict_windows if args.window else predict_videos)(args, classifier, sources)
    try:
        for found in results:
            if isinstance(found, Prediction):
                is_same = found.span and predictions and predictions[-1].video == found.video
                predictions.append(found)
                show(found, classifier.class_names, args.top, name=None if is_single or is_same else found.video)
            elif is_single:
                faults.append(found)
            else:
                unread += 1
                tqdm.write(f"error: {found}", file=sys.stderr)
    except InputError as error:  # of the network; what came before it is not lost
        faults.append(error)
    except KeyboardInterrupt:
        results.close()
        is_stopped = not args.live
    for write in output_writers(args, classifier, sources[0], predictions) if predictions else []:
        try:
            write()
        except InputError as error:
            faults.append(error)
    if unread:
        logging.error("%d of %d videos could not be classified", unread, len(sources))
    if faults:
        raise InputError("\n".join(map(str, faults)))
    if is_stopped:
        raise KeyboardInterrupt
    if unread:
        sys.exit(1)


def ready_classifier(args: argparse.Namespace, runtime: Runtime) -> Classifier:
    """Read a checkpoint or an exported network, and prepare the views that it is given, as in the test scripts."""
    net: VideoNet | ExportedNet
    made_for: TrainedOn | None
    if Path(args.weights).suffix in EXPORTED:
        net = read_exported(Path(args.weights))
        made_for, class_names = net.trained_on, net.class_names
        full_res = net.size != net.input_size
    else:
        weights = Weights.read(args.weights, ema=args.ema)
        made_for = weights.trained_on
        if made_for is not None:
            logging.getLogger().setLevel(logging.WARNING)  # nothing is assumed
        if args.classes is not None:
            class_names = list(read_class_names(Path(args.classes)))
        elif made_for is not None:
            class_names = made_for.class_names
        else:
            raise InputError(f"{args.weights} has no class names; give them with --classes FILE, one per line")
        net = weights.build(class_names, net=args.net, arch=args.arch, num_segments=args.test_segments)
        full_res = args.crops == 3
    input_size, dataset = (net.input_size, "") if made_for is None else (made_for.input_size, made_for.dataset)
    views = eval_preprocessing(input_size, args.crops, full_res if args.full_res is None else args.full_res)
    sampling = frame_sampling(made_for, args.frame_stride, args.frame_rate)
    plan = EvalPlan(net.num_segments, net.frames_per_segment, views, **sampling)
    plans = list(clip_plans(plan, list(range(args.clips)), "auto", dataset).values())
    network: Callable[[Tensor], Tensor] = net
    if isinstance(net, VideoNet):
        network = runtime.wrap(fuse_for_inference(runtime.place(net)))
    elif views.crop_size != net.size:
        raise InputError(
            f"{args.weights} takes crops of {net.size} pixels, but these options give {views.crop_size}; change "
            "--full_res here, or in the export of the network"
        )
    several = made_for is not None and made_for.multi_label
    score = partial(class_probabilities, network, runtime=runtime, amp=args.amp, multi_label=several)
    return Classifier(score, class_names, plans, runtime.device.type == "cuda")


def check_outputs(args: argparse.Namespace, sources: Sequence[Source]) -> None:
    """Refuse, before the work begins, outputs that cannot be written or would replace another file of this run."""
    videos = [os.path.realpath(source.path) for source in sources if not source.address]
    taken = {*videos, *map(os.path.realpath, [*args.source, args.weights, args.classes or args.weights])}
    for flag in ("csv", "json", "timeline", "save"):
        path = getattr(args, flag)
        if path is None:
            continue
        if flag in ("timeline", "save") and len(sources) > 1:
            raise InputError(f"--{flag} is for one video, but there are {len(sources):,}; classify them one by one")
        require_replaceable(path, f"--{flag}")
        is_frame = flag == "timeline" and os.path.realpath(path.parent) in videos
        if is_frame or os.path.realpath(path) in taken:
            raise InputError(
                f"--{flag} {path} would replace another file of this run, or be read as a frame; give another name"
            )
        taken.add(os.path.realpath(path))


def predict_videos(args: argparse.Namespace, classifier: Classifier, sources: Sequence[Source]) -> Results:
    """The prediction for each video as a whole."""
    views = SourceViews(sources, classifier.plans, args.decoder)
    is_single = len(sources) == 1
    workers = 0 if is_single else min(args.workers, len(sources))
    loader = make_view_loader(views, workers=workers, pin_memory=classifier.is_gpu)
    for video in tqdm(loader, "videos", disable=is_single or None, leave=False, dynamic_ncols=True):
        yield InputError(video) if isinstance(video, str) else Prediction(video.video_id, classifier.classify(video))


def predict_windows(args: argparse.Namespace, classifier: Classifier, sources: Sequence[Source]) -> Results:
    """The predictions for the windows of each video; of a webcam or a stream until the generator is closed."""
    latest: list[list[tuple[str, float]]] = [[]]  # the classes of the last window
    for source in sources:
        try:
            with ExitStack() as stack:
                video = stack.enter_context(timed_frames(source, args.fps, args.decoder))
                if args.live and args.save is not None:
                    from drawing.annotated_video import annotated  # loads matplotlib

                    frames = stack.enter_context(closing(annotated(video.frames, args.save, lambda _: latest[0])))
                    video = video._replace(frames=frames)
                for prediction in windows_of(source, video, classifier, args.window, args.stride):
                    latest[0] = prediction.top(classifier.class_names, args.top)
                    yield prediction
        except InputError as error:
            yield error


def windows_of(
    source: Source, video: TimedFrames, classifier: Classifier, length: float, stride: float
) -> Iterator[Prediction]:
    """The predictions for the windows of a video; those for which a stream does not wait are left out."""
    resized, name = classifier.plans[0].preprocessing.resized, source.record.path
    small = ((time, resized(image[None])[0]) for time, image in video.frames)
    with ReadAhead(small, 0 if video.is_endless else FRAMES_AHEAD) as ahead:
        bar = tqdm(ahead, name, video.num_frames or None, disable=video.is_endless or None, **FRAME_BAR)
        for window in sliding_windows(bar, source.path, length, stride):
            if not video.is_endless or ahead.queue.qsize() < window.num_frames * stride / length:
                found = classifier.classify(read_views(window, source.record, classifier.plans))
                yield Prediction(name, found, (round(window.start, 3), round(window.end, 3)))


def show(found: Prediction, class_names: Sequence[str], count: int, *, name: str | None) -> None:
    """Print a prediction; `name`: of its video, as a heading."""
    heading = "" if name is None else " ".join(name.splitlines()) + "\n"
    tqdm.write(heading + found.describe(class_names, count))  # above a progress bar
    sys.stdout.flush()


def output_writers(
    args: argparse.Namespace, classifier: Classifier, source: Source, predictions: Sequence[Prediction]
) -> Iterator[Callable[[], None]]:
    """Functions that write the files that were asked for; each may raise an `InputError`."""
    if args.csv is not None:
        yield partial(write_prediction_csv, args.csv, predictions, classifier.class_names, args.top)
    if args.json is not None:
        made_with = {name: getattr(args, name) for name in ("weights", "clips", "crops", "window", "stride")}
        yield partial(write_prediction_json, args.json, predictions, classifier.class_names, args.top, **made_with)
    if args.timeline is not None:
        from drawing.plots import draw_timeline  # matplotlib takes a second to load

        times = np.array([found.span for found in predictions])
        shares = np.stack([found.probabilities for found in predictions])
        title = Path(source.record.path).name
        yield partial(draw_timeline, args.timeline, times, shares, classifier.class_names, title)
    if args.save is not None and not args.live:
        yield partial(save_video, args, source, predictions, classifier.class_names)


def save_video(
    args: argparse.Namespace, source: Source, predictions: Sequence[Prediction], class_names: Sequence[str]
) -> None:
    """Write a video once more, each frame with the classes of the window centred closest to it."""
    from drawing.annotated_video import annotated

    middles = np.array([found.span for found in predictions]).mean(1)
    tops = [found.top(class_names, args.top) for found in predictions]
    with timed_frames(source, args.fps, args.decoder) as video:
        frames = annotated(video.frames, args.save, lambda time: tops[np.abs(middles - time).argmin()])
        for _ in tqdm(frames, str(args.save), video.num_frames or None, disable=None, **FRAME_BAR):
            pass


if __name__ == "__main__":
    run_script(main)
