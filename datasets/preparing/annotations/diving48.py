"""Diving48 with its V2 labels."""

from pathlib import Path

from common.errors import InputError, quoted, refuse
from datasets.preparing.annotations.files import (
    AnnotationFiles,
    Annotations,
    Clip,
    json_entries,
    read_json,
    require_classes,
)

CLASSES = 48
V1_CLIPS = {"train": 15943, "val": 2096}  # a file with just as many clips is V1 under another name


def parse_diving48(files: AnnotationFiles) -> Annotations:
    """`Diving48_V2_{train,test}.json` and `Diving48_vocab.json`; the test file is the val list.

    Raises:
        InputError: a file is missing, is not what its name says, or has the labels of V1.
    """
    if not files.find_all(r"Diving48_V2_.*\.json") and files.find_all(r"Diving48_(train|test)\.json"):
        raise InputError(
            f"{files.find_all('Diving48_(train|test).json')[0]} has the V1 labels, which were corrected in V2 and give "
            "results that cannot be compared; get Diving48_V2_train.json and Diving48_V2_test.json"
        )
    vocabulary = files.find(r"Diving48_vocab\.json", "Diving48_vocab.json")
    class_names = [" ".join(map(str, parts)) for parts in read_json(vocabulary, list)]
    names = require_classes(class_names, CLASSES, vocabulary, "Diving48")
    lists = {
        key: _read_clips(files.find(f"Diving48_V2_{which}\\.json", f"Diving48_V2_{which}.json"), V1_CLIPS[key])
        for key, which in (("train", "train"), ("val", "test"))
    }
    remark = "labels: V2 (results with V1 labels cannot be compared)"
    return Annotations(names, lists, "the official numbers, which mmaction2 uses as well", [remark])


def _read_clips(json_file: Path, v1_clips: int) -> list[Clip]:
    clips, faults = [], []
    for place, entry in json_entries(json_file, ("vid_name", "label")):
        label = entry["label"]
        if not isinstance(label, int) or not 0 <= label < CLASSES:
            faults.append(f"{place}: label {quoted(label)} is not in 0 ... {CLASSES - 1}; take the official file")
            continue
        clips.append(Clip(str(entry["vid_name"]), label, place))
    refuse(faults, "more bad entry")
    if len(clips) == v1_clips:
        raise InputError(f"{json_file} has {v1_clips:,} clips, as many as V1; get the V2 labels")
    return clips
