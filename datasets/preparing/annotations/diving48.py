"""Diving48 with its V2 labels."""

from common.errors import InputError, quoted
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, Clip, Official, Published

CLASSES = 48
V1_CLIPS = {"train": 15943, "val": 2096}  # a file with exactly as many clips is V1 under another name


def _parse(files: AnnotationFiles) -> Annotations:
    """`Diving48_V2_{train,test}.json` and `Diving48_vocab.json`; the test file becomes the val list."""
    v1_files = files.find_all(r"Diving48_(train|test)\.json")
    if v1_files and not files.find_all(r"Diving48_V2_.*\.json"):
        raise InputError(
            f"{v1_files[0]} has the V1 labels, which V2 corrects; their results cannot be compared. "
            "Get Diving48_V2_train.json and Diving48_V2_test.json"
        )
    vocabulary = files.find("Diving48_vocab.json")
    class_names = [" ".join(map(str, parts)) for parts in base.read_json(vocabulary, list)]
    lists = {}
    for key, which in (("train", "train"), ("val", "test")):
        name = f"Diving48_V2_{which}.json"
        lists[key] = files.parse_json(_parse_entry, name)
        if len(lists[key]) == V1_CLIPS[key]:
            raise InputError(f"{files.find(name)} has {V1_CLIPS[key]:,} clips, as many as V1; get the V2 labels")
    return Annotations(
        base.require_classes(class_names, CLASSES, vocabulary, "Diving48"),
        lists,
        "the official numbers, as in mmaction2",
        ["labels: V2 (results with V1 labels cannot be compared)"],
    )


def _parse_entry(origin: str, entry: object) -> Clip:
    label = base.value_of(entry, "label")
    if not isinstance(label, int) or not 0 <= label < CLASSES:
        raise ValueError(f"label {quoted(label)} is not in 0 ... {CLASSES - 1}; use the official file")
    return Clip(str(base.value_of(entry, "vid_name")), label, origin)


DIVING48 = Official(
    _parse,
    files="Diving48_V2_{train,test}.json Diving48_vocab.json",
    media="<vid_name>.mp4",
    published={"train": Published(15_027, "not confirmed"), "val": Published(1_970, "not confirmed")},
)
