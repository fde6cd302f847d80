#!/usr/bin/env python
"""Score a list of videos with one centre crop per frame; one pickle per clip. Merge them with pkl_to_results.py."""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Any

from common.console import answer_help, run_script
from common.signals import take_sigterm_as_ctrl_c
from opts import parse_test, view_parser

if __name__ == "__main__":
    answer_help(view_parser(crops=1))  # before torch is loaded

import numpy as np

from common.errors import command, counted
from common.files import file_hash, make_folder
from common.progress import track
from datasets.catalogue import DatasetSpec, canonical_name, data_folder, list_to_score, resolve
from datasets.lists import NO_LABEL, clip_ids
from datasets.loader import make_view_loader
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.view_dataset import ViewDataset, clip_plans
from ops.fuse import fuse_for_inference
from ops.network import VideoNet
from ops.runtime import Runtime, start_runtime
from ops.scoring.features import INDEX, have_features, num_features, return_features, write_features, write_index
from ops.scoring.journal import ScoreJournal, journal_path, read_shards, shard_paths
from ops.scoring.pickles import pickle_path, write_scores
from ops.scoring.protocol import NOT_COMPARED, check_protocol, describe_protocol, replace_protocol
from ops.scoring.score import score_views
from ops.training.seen_clips import describe_seen, find_seen, recorded_clips
from ops.weights.checkpoint import Weights, frame_sampling
from options.groups import data_options


def main(argv: list[str] | None = None, crops: int = 1) -> None:
    args = parse_test(crops, argv)
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile, distributed=True)
    args.amp = runtime.chosen_amp(args.amp)

    # network and data set
    weights = Weights.read(args.weights, ema=args.ema)
    dataset = canonical_name(args.dataset) if args.dataset else None
    dataset, options = weights.data_options(dataset, data_options(args))
    subset = args.subset or list_to_score(dataset, **options)
    with runtime.main_first():  # the built-in data set is made on first use
        spec = resolve(dataset, **options, need=(subset,))
    trained_on = weights.trained_on
    spec = replace(spec, multi_label=trained_on is not None and trained_on.multi_label)
    given = {"net": args.net, "arch": args.arch, "num_segments": args.test_segments}
    model = weights.build(list(spec.class_names), dataset=spec.name, **given)
    videos = ViewDataset(spec, [], args.decoder, which=subset)

    # views
    input_size = trained_on.input_size if trained_on else model.input_size
    preprocessing = eval_preprocessing(input_size, crops, args.full_res)
    if args.resize:
        preprocessing = preprocessing.after_resize(args.resize)
    plan = EvalPlan(
        model.num_segments, model.frames_per_segment, preprocessing, seed=args.seed, frame_order=args.frame_order,
        **frame_sampling(trained_on, args.frame_stride, args.frame_rate),
    )  # fmt: skip
    plans = clip_plans(plan, args.clip_index, args.sampling, spec.name, args.num_clips)
    protocol = describe_views(weights, model, spec, subset, plans[args.clip_index[0]], args.full_res)
    log_views(protocol, weights)
    if runtime.is_main:
        protocol["training_clips"] = warn_of_training_clips(weights, videos, spec.lists[subset])
    take_sigterm_as_ctrl_c()
    score_list(args, model, plans, protocol, videos, runtime)


def score_list(
    args: Namespace, model: VideoNet, plans: Mapping[int, EvalPlan], protocol: dict[str, Any], videos: ViewDataset,
    runtime: Runtime,
) -> None:  # fmt: skip
    """One pass over the videos for all clips without scores. The main process alone writes, and has the journal."""
    folder = Path(args.output_dir)
    files = {clip: [pickle_path(folder, clip, crop) for crop in range(args.test_crops)] for clip in plans}
    batches = split_list(len(videos), args.batch_size, args.shard)
    claim = partial(replace_protocol, folder, protocol, overwrite=args.overwrite)
    with open_journal(args, folder, protocol, files, model) if runtime.is_main else nullcontext() as journal:
        if journal and journal.batches:
            logging.info("resuming after video %d of %d", journal.videos, sum(map(len, batches)))
        if journal and journal.clips and len(journal.batches) < len(batches) and not (args.shard or args.overwrite):
            record(journal, islice(read_shards(journal, len(batches)), len(journal.batches), None), claim)
        clips, done = runtime.gather(journal and (journal.clips, len(journal.batches)))[0]
        if clips:
            if videos.records[0].label == NO_LABEL:
                logging.info("the list has no labels: it is scored without accuracies")
            videos.plans = [plans[clip] for clip in clips]
            title = f"{'clip' if len(clips) == 1 else 'clips'} {', '.join(map(str, clips))}:"
            scored = score(model, videos, batches[done:], runtime, args)
            record(journal, track(scored, len(batches), title, args.print_freq, lambda: "batches", done), claim)
        runtime.close()
        if journal and clips and not args.shard:
            write_views(journal, files, videos)
    if args.shard and journal and clips:
        logging.info("shard %s: %s, in %s", journal.depends_on["shard"], counted(journal.videos, "video"), journal.path)
        logging.info("Once the files of all shards are in one such folder, run this command there without --shard.")
    elif not args.shard:
        flags = ["--num_clips", max(args.clip_index) + 1, "--test_crops", args.test_crops, "--output_dir", folder]
        logging.info("Merge: %s", command("python", "pkl_to_results.py", *flags))


def describe_views(
    weights: Weights, model: VideoNet, spec: DatasetSpec, subset: str, plan: EvalPlan, full_res: bool
) -> dict[str, Any]:
    """The protocol of the views; all clips of a test share it."""
    views = plan.preprocessing
    return {
        "dataset": spec.name, "net": model.net, "arch": model.arch, "num_segments": model.num_segments,
        "frames_per_segment": model.frames_per_segment, "num_class": spec.num_class,
        "class_names": list(spec.class_names), "test_crops": views.crops, "full_res": full_res,
        "preprocessing": views.describe(), "crop_size": views.crop_size,
        "frame_order": plan.frame_order, "ablate": list(model.ablate),
        "sampling": plan.describe(),
        "weights": str(weights.path), "weights_sha256": weights.hash,
        "subset": subset, "val_list": str(spec.lists[subset]), "list_hash": file_hash(spec.lists[subset]),
        "root_path": str(spec.root_path), "image_tmpl": spec.image_tmpl,
    }  # fmt: skip


def log_views(protocol: dict[str, Any], weights: Weights) -> None:
    trained_on = weights.trained_on
    if trained_on and protocol["subset"] == "val" and trained_on.val_list_hash != protocol["list_hash"]:
        logging.info("Note: %s is not the val list of the training.", protocol["val_list"])
    logging.info("%s", describe_protocol(protocol))
    logging.info("%s list: %s", protocol["subset"], protocol["val_list"])


def warn_of_training_clips(weights: Weights, videos: ViewDataset, list_file: Path) -> int:
    """Return the number of listed clips that the network was trained on; log them, or clips with the same names."""
    clips, source = list(clip_ids(videos.records)), str(weights.path)
    record = recorded_clips(weights.content, source)
    trained = find_seen(record, data_folder(videos.spec.name), clips)
    if trained:
        logging.warning("warning: %s", describe_seen(trained, len(clips), list_file, source))
    elif weights.trained_on:  # the data set may have another name now, or other clips the same names
        alike = find_seen(record, data_folder(weights.trained_on.dataset), clips)
        if alike:
            logging.warning("warning: judging by their names, %s", describe_seen(alike, len(clips), list_file, source))
    return len(trained)


def open_journal(
    args: Namespace, folder: Path, protocol: dict[str, Any], files: Mapping[int, list[Path]], model: VideoNet
) -> ScoreJournal:
    """The journal of the clips that are to be scored; log the others. Refuse a folder with views of other tests."""
    make_folder(folder, "--output_dir")
    if not args.overwrite:
        check_protocol(folder, protocol)
    dtype = args.dump_features
    missing = [
        clip
        for clip, paths in files.items()
        if args.overwrite or not all(path.exists() for path in paths) or (dtype and not have_features(paths, dtype))
    ]
    depends_on = {name: value for name, value in protocol.items() if name not in NOT_COMPARED}
    depends_on |= {"compile": args.compile, "batch_size": args.batch_size, "amp": args.amp}
    if dtype:
        depends_on |= {"dump_features": dtype, "num_features": num_features(model)}
    if args.shard:
        depends_on["shard"] = "{}/{}".format(*args.shard)
    path = journal_path(folder, list(files), args.shard)
    journal = ScoreJournal(path, depends_on, missing, overwrite=args.overwrite)
    for clip in sorted(files.keys() - set(journal.clips)):
        logging.info("clip %d: already scored (--overwrite scores it again)", clip)
    return journal


def split_list(num_videos: int, batch_size: int, shard: tuple[int, int] | None) -> list[range]:
    """Batches of videos; a shard takes every n-th batch, so each batch has the same videos as without shards."""
    batches = [range(start, min(start + batch_size, num_videos)) for start in range(0, num_videos, batch_size)]
    return batches[shard[0] - 1 :: shard[1]] if shard else batches


def score(
    model: VideoNet, videos: ViewDataset, batches: Sequence[range], runtime: Runtime, args: Namespace
) -> Iterator[np.ndarray]:
    """The scores of batches, in order, on every process; each process scores its share of them.

    They are exchanged rather than written by every process: the machines need no shared folder, and the journal, which
    grows in list order, can continue with any number of processes.
    """
    if not batches:
        return
    indices = chain.from_iterable(batches[runtime.rank :: runtime.world_size])
    is_gpu = runtime.device.type == "cuda"
    loader = make_view_loader(videos, workers=args.workers, pin_memory=is_gpu, indices=indices)
    fused = fuse_for_inference(runtime.place(model))
    if args.dump_features:
        return_features(fused)
    scored = score_views(runtime.wrap_frozen(fused), loader, runtime, batch_size=args.batch_size, amp=args.amp)
    for _ in range(ceil(len(batches) / runtime.world_size)):
        yield from (batch.numpy() for batch in runtime.gather(next(scored, None)) if batch is not None)


def record(journal: ScoreJournal | None, batches: Iterable[np.ndarray], claim: Callable[[], None]) -> None:
    """Add batches to the journal, if this process has it, and claim the folder once a first batch could be scored."""
    for number, batch in enumerate(batches):
        if journal:
            if number == 0:
                claim()
            journal.append(batch)


def write_views(journal: ScoreJournal, files: Mapping[int, list[Path]], videos: ViewDataset) -> None:
    labels = [record.labels for record in videos.records]
    several = videos.spec.multi_label
    to_store = [[label for label in own if label != NO_LABEL] if several else own[0] for own in labels]
    video_ids = [record.id for record in videos.records]
    if journal.num_features:
        shape = len(videos), journal.num_features
        write_features([files[clip] for clip in journal.clips], journal.features(), shape, journal.dtype.name)
        index = files[journal.clips[0]][0].with_name(INDEX)
        write_index(index, video_ids, labels, videos.spec.class_names)
        logging.info(
            "features: %d x %d %s in <clip>_crop<crop>_features.npy, videos in %s", *shape, journal.dtype, index
        )
    for number, clip in enumerate(journal.clips):
        for crop, path in enumerate(files[clip]):
            view = np.concatenate([batch[number, crop] for batch in journal.batches])  # (M, K), one at a time
            write_scores(path, view, to_store, video_ids)
        logging.info("clip %d: %s, %s", clip, counted(len(labels), "video"), ", ".join(map(str, files[clip])))
    for path in shard_paths(journal.path):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    run_script(main)
