#!/usr/bin/env python
"""Score a list of videos with one centre crop per frame; one pickle per clip. Merge them with pkl_to_results.py."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from common.console import run_script, take_sigterm_as_ctrl_c
from common.errors import command, counted
from common.files import make_folder
from datasets.catalogue import canonical_name, folder_and_lists, list_to_score, resolve
from datasets.clip_dataset import ClipPlan
from datasets.lists import clip_ids, list_hash, read_list
from datasets.loader import make_view_loader
from datasets.transforms import eval_preprocessing
from datasets.view_dataset import ViewDataset
from ops.fuse import fuse_for_inference
from ops.runtime import start_runtime
from ops.scoring.journal import ScoreJournal, journal_path
from ops.scoring.pickles import pickle_path, write_scores
from ops.scoring.protocol import BY_HASH, claim_folder
from ops.scoring.score import score_views
from ops.training.seen_clips import describe_seen, seen, seen_clips
from ops.weights.checkpoint_network import Weights
from ops.weights.file import file_hash
from opts import data_options, parse_test


def main(argv: list[str] | None = None, crops: int = 1) -> None:
    args = parse_test(crops, argv)
    runtime = start_runtime(args.gpus, malloc=args.malloc, compiled=args.compile)

    # weights, and what they were trained on
    weights = Weights.read(args.weights)
    given = canonical_name(args.dataset) if args.dataset else None
    dataset, options = weights.data_options(given, data_options(args))
    subset = args.subset or list_to_score(dataset, **options)
    spec = resolve(dataset, **options, need=(subset,))
    model = weights.build(
        list(spec.class_names), net=args.net, arch=args.arch, num_segments=args.test_segments, dataset=spec.name
    )

    # views
    made_for = weights.trained_on
    preprocessing = eval_preprocessing(
        made_for.input_size if made_for else model.input_size, args.test_crops, args.full_res
    )
    random_clips = {"random": True, "centre": False}.get(
        args.sampling, spec.name == "kinetics" or args.clip_index != [0]
    )
    clips = clip_ids(read_list(spec.lists[subset], spec.num_class))
    record = seen_clips(weights.content, args.weights)
    trained = seen(record, folder_and_lists(spec.name)[0], clips)
    alike = seen(record, folder_and_lists(made_for.dataset)[0], clips) if made_for and not trained else []
    protocol = {
        "dataset": spec.name, "net": model.net, "arch": model.arch, "num_segments": model.num_segments,
        "frames_per_segment": model.frames_per_segment, "num_class": spec.num_class,
        "class_names": list(spec.class_names), "test_crops": crops, "full_res": args.full_res,
        "preprocessing": preprocessing.describe(), "crop_size": preprocessing.crop_size,
        "frame_order": args.frame_order, "ablate": list(model.ablate),
        "sampling": f"random starts, seed {args.seed}" if random_clips else "centre of each segment",
        "weights": str(weights.path), "weights_sha256": file_hash(weights.path),
        "subset": subset, "val_list": str(spec.lists[subset]), "list_hash": list_hash(spec.lists[subset]),
        "training_clips": len(trained),
    }  # fmt: skip
    folder = make_folder(Path(args.output_dir), "--output_dir")
    claim_folder(folder, protocol, overwrite=args.overwrite)
    if made_for and subset == "val" and made_for.val_list_hash != protocol["list_hash"]:
        logging.info("Note: %s is not the list that the training evaluated on.", spec.lists["val"])
    order = "" if args.frame_order == "normal" else f" {args.frame_order}"
    logging.info("%s %s, %d x %d frames%s, %s, %s", model.net, model.arch, model.num_segments, model.frames_per_segment,
                 order, preprocessing.describe(), protocol["sampling"])  # fmt: skip
    logging.info("%s list: %s", subset, spec.lists[subset])
    if trained:
        logging.warning("warning: %s", describe_seen(trained, len(clips), spec.lists[subset], args.weights))
    if alike:  # the same clips under another name of the data set, or other clips of the same names
        logging.warning(
            "warning: by their names, %s", describe_seen(alike, len(clips), spec.lists[subset], args.weights)
        )

    # scores: one pass over the videos for all clips that are not there, each batch kept until the pickles are written
    files = {clip: [pickle_path(folder, clip, crop) for crop in range(crops)] for clip in args.clip_index}
    missing = [clip for clip, paths in files.items() if args.overwrite or not all(path.exists() for path in paths)]
    depends_on = {name: value for name, value in protocol.items() if name not in BY_HASH}
    depends_on |= {"batch_size": args.batch_size, "amp": args.amp, "compile": args.compile}
    take_sigterm_as_ctrl_c()
    with ScoreJournal(journal_path(folder, args.clip_index), depends_on, missing, overwrite=args.overwrite) as journal:
        for clip in sorted(files.keys() - set(journal.clips)):
            logging.info("clip %d: already scored (--overwrite scores it again)", clip)
        if journal.clips:
            plan = ClipPlan(
                model.num_segments, model.frames_per_segment, preprocessing, seed=args.seed,
                frame_order=args.frame_order,
            )  # fmt: skip
            plans = [replace(plan, clip_index=clip if random_clips else None) for clip in journal.clips]
            dataset = ViewDataset(spec, plans, args.decoder, which=subset)
            if journal.videos:
                logging.info("resuming after video %d of %d", journal.videos, len(dataset))
            loader = make_view_loader(
                dataset, workers=args.workers, pin_memory=runtime.device.type == "cuda", first=journal.videos
            )
            batches = score_views(
                runtime.wrap(fuse_for_inference(runtime.place(model))), loader, runtime,
                batch_size=args.batch_size, amp=args.amp, title=f"clip {', '.join(map(str, journal.clips))}:",
                print_freq=args.print_freq * args.batch_size, start=journal.videos,
            )  # fmt: skip
            claim = partial(claim_folder, folder, protocol, overwrite=args.overwrite, scored=journal.path)
            if journal.batches:
                claim()
            for batch in batches:
                if not journal.batches:  # there are scores, so the flags were right
                    claim()
                journal.append(batch.numpy())
            labels = [record.label for record in dataset.records]
            video_ids = [record.path for record in dataset.records]
            for clip, views in zip(journal.clips, np.concatenate(journal.batches, 2), strict=True):
                for path, view in zip(files[clip], views, strict=True):
                    write_scores(path, view, labels, video_ids)
                logging.info("clip %d: %s, %s", clip, counted(len(labels), "video"), ", ".join(map(str, files[clip])))
    flags = ["--num_clips", max(args.clip_index) + 1, "--test_crops", crops, "--output_dir", folder]
    logging.info("Merge: %s", command("python", "pkl_to_results.py", *flags))


if __name__ == "__main__":
    run_script(main)
