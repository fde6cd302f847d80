"""HMDB51, three splits."""

import re
from functools import partial
from pathlib import PurePosixPath

from common.errors import InputError, quoted
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import SPLITS, AnnotationFiles, Annotations, Clip, Official, Published

NAME = r"(.+)_test_split([123])\.txt"
LIST_OF = {"1": "train", "2": "val"}  # flag -> list; a clip with flag 0 is in neither


def _parse(files: AnnotationFiles) -> Annotations:
    """`<class>_test_split{1,2,3}.txt`, one file per class and split; classes in alphabetical order."""
    names = {file.name for file in files.find_all(NAME)}
    if not names:
        files.find("<class>_test_split1.txt")  # raises an error that lists the files found
    found = {re.sub(NAME, r"\1", name) for name in names}
    class_names = base.require_classes(sorted(found), 51, files.paths[0], "HMDB51")
    lists: dict[str, list[Clip]] = {f"{key}_split{split}": [] for split in SPLITS for key in ("train", "val")}
    for split in SPLITS:
        for label, class_name in enumerate(class_names):
            name = f"{class_name}_test_split{split}.txt"
            if name not in names:
                raise InputError(f"--annotations {files.paths[0]}: there is no {name}; give all 153 official files")
            for flag, clip in files.parse_lines(name, partial(_parse_line, label, class_name)):
                if flag in LIST_OF:
                    lists[f"{LIST_OF[flag]}_split{split}"].append(clip)
    order = (
        "sorted by name, as in mmaction2; TSN's class_list.txt has kick_ball before kick and sword_exercise before "
        "sword: for weights trained with it give --classes class_list.txt"
    )
    return Annotations(class_names, lists, order)


def _parse_line(label: int, class_name: str, origin: str, line: str) -> tuple[str, Clip]:
    """Flag and clip of a line `video.avi flag`."""
    file, _, flag = line.rpartition(" ")
    if flag not in {"0", *LIST_OF} or not file.strip():
        raise ValueError(f"{quoted(line)} is not `video.avi flag` with flag 0, 1 or 2; use the official file")
    return flag, Clip(PurePosixPath(file.strip()).stem, label, origin, class_name)


HMDB51 = Official(
    _parse,
    files="<class>_test_split{1,2,3}.txt",
    media="<class>/<video>.avi",
    published={f"{key}_split{s}": Published(n) for s in SPLITS for key, n in (("train", 3_570), ("val", 1_530))},
)
