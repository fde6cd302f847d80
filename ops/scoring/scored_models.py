"""The scored views of models: finds and reads a folder's pickles, and checks that several models can be merged."""

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import InputError, command, counted, few
from ops.scoring.pickles import Scores, pickle_path, read_scores
from ops.scoring.protocol import PROTOCOL, describe_protocol, read_protocol


class ScoredModel(NamedTuple):
    """The views of one model."""

    folder: Path
    clips: Sequence[Sequence[Scores]]  # for each clip its crops
    protocol: dict[str, Any]  # empty for files of the official code

    def describe(self) -> str:
        views = clips_by_crops(len(self.clips), len(self.clips[0]))
        if not self.protocol:
            return f"{self.folder}: {views}; protocol unknown (no {PROTOCOL})"
        return f"{self.folder}: {describe_protocol(self.protocol)}, {views}, weights {self.protocol['weights']}"


def clips_by_crops(clips: int, crops: int) -> str:
    return f"{counted(clips, 'clip')} x {counted(crops, 'crop')}"


def find_views(folder: Path) -> tuple[int, int]:
    """Return the numbers of clips and of crops of which a folder has pickles."""
    names = [re.fullmatch(r"(\d+)_crop(\d+)\.pkl", path.name) for path in folder.glob("*_crop*.pkl")]
    numbers = [(int(name[1]), int(name[2])) for name in names if name]
    if not numbers:
        fault = "has no score pickles" if folder.is_dir() else "is not a folder"
        raise InputError(f"{folder} {fault}; give the --output_dir of a test script")
    return 1 + max(clip for clip, _ in numbers), 1 + max(crop for _, crop in numbers)


def read_model(folder: Path, num_clips: int, crops: int) -> ScoredModel:
    """Read these views of a model; log it if the folder has more."""
    paths = [[pickle_path(folder, clip, crop) for crop in range(crops)] for clip in range(num_clips)]
    missing = [(clip, path) for clip, row in enumerate(paths) for path in row if not path.exists()]
    if missing:
        clips = ",".join(str(clip) for clip in sorted({clip for clip, _ in missing}))
        script = "test_models_center_crop.py" if crops == 1 else "test_models_three_crops.py"
        raise InputError(
            f"{len(missing)} of {num_clips * crops} views are missing, the first is {missing[0][1]}; create them with "
            f"{command(script, '--weights', 'CKPT', '--clip_index', clips, '--output_dir', folder)}, or lower "
            "--num_clips or --test_crops"
        )
    found = find_views(folder)
    if found[0] > num_clips or found[1] > crops:
        logging.info("%s: merging %s of %s", folder, clips_by_crops(num_clips, crops), clips_by_crops(*found))
    protocol = read_protocol(folder)
    views = [[read_scores(path) for path in row] for row in paths]
    known, scored = len(protocol.get("class_names", [])), views[0][0].logits.shape[1]
    if protocol and known != scored:
        raise InputError(
            f"{folder}: {PROTOCOL} has {counted(known, 'class name')}, but the scores have "
            f"{counted(scored, 'class')}; test the model again"
        )
    return ScoredModel(folder, views, protocol)


def require_same_data(models: Sequence[ScoredModel]) -> None:
    """Make sure that all models were tested on the same list with the same classes."""
    first = models[0]
    for other in models[1:]:
        for name, what in (("dataset", "data set"), ("class_names", "class names"), ("list_hash", "list of videos")):
            if first.protocol and other.protocol and first.protocol[name] != other.protocol[name]:
                raise InputError(
                    f"{first.folder} and {other.folder} differ in their {what}; test both models on the same list "
                    "before merging them"
                )


def warn_of_repeated_scores(models: Sequence[ScoredModel]) -> None:
    """Warn of views with the same scores, such as copies of a pickle: each is counted."""
    first: dict[bytes, Path] = {}
    repeated = []
    for view in (view for model in models for clip in model.clips for view in clip):
        other = first.setdefault(hashlib.sha256(view.logits.tobytes()).digest(), view.path)
        if other != view.path:
            repeated.append(f"{view.path} has the scores of {other}")
    if repeated:
        logging.warning("warning: repeated scores in %s: %s", counted(len(repeated), "view"), few(repeated, 1))
