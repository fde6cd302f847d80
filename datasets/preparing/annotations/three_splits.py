"""EGTEA Gaze+, UCF101 and HMDB51, which have three splits. Their test lists become the val lists."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from common.errors import InputError, quoted
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, Clip, Official, Published

SPLITS = (1, 2, 3)
EGTEA_CLASSES = 106
HMDB51_FILE = r"(.+)_test_split([123])\.txt"
LIST_OF = {"1": "train", "2": "val"}  # flag of HMDB51 -> list; a clip with flag 0 is in neither


def _parse_egtea(files: AnnotationFiles) -> Annotations:
    """`action_idx.txt` and `{train,test}_split{1,2,3}.txt`."""
    index_file = files.find("action_idx.txt")
    names = _numbered_names(index_file, r"(?P<name>.+) (?P<number>\d+)", "`name number`")
    class_names = base.require_classes(names, EGTEA_CLASSES, index_file, "EGTEA Gaze+")
    return Annotations(class_names, _read_lists(files, "{}_split{}.txt", _egtea_clip), "the official numbers, minus 1")


def _egtea_clip(origin: str, line: str) -> Clip:
    """A line is `clip action verb noun [noun ...]`, numbers start at 1.

    The clip `OP01-R01-PastaSalad-66680-68130-F001597-F001639` is in its session's folder, `OP01-R01-PastaSalad`.
    """
    name, *numbers = line.split()
    if len(numbers) < 2 or not numbers[0].isdecimal() or not 1 <= int(numbers[0]) <= EGTEA_CLASSES:
        form = f"`clip action verb noun` with an action in 1 ... {EGTEA_CLASSES}"
        raise ValueError(f"{quoted(line)} is not {form}; use the official file")
    return Clip(name, int(numbers[0]) - 1, origin, "-".join(name.split("-")[:3]))


def _parse_ucf101(files: AnnotationFiles) -> Annotations:
    """`classInd.txt`, `trainlist0{1,2,3}.txt` and `testlist0{1,2,3}.txt`."""
    index_file = files.find("classInd.txt")
    names = _numbered_names(index_file, r"(?P<number>\d+) (?P<name>.+)", "`number name`")
    class_names = base.require_classes(names, 101, index_file, "UCF101")
    # Trap: files of the class HandstandPushups are named v_HandStandPushups_..., in some copies with a small s.
    labels = {name.casefold(): label for label, name in enumerate(class_names)}
    lists = _read_lists(files, "{}list0{}.txt", partial(_ucf101_clip, labels))
    return Annotations(class_names, lists, "the official numbers, minus 1, as in TSN and mmaction2")


def _ucf101_clip(labels: dict[str, int], origin: str, line: str) -> Clip:
    """A line is `Class/v_Class_gXX_cYY.avi label` with labels from 1; test lists have no labels."""
    path, *number = line.split()
    folder, _, file = path.rpartition("/")
    label = labels.get(folder.casefold())
    if label is None:
        raise ValueError(f"the class {quoted(folder)} is not in classInd.txt; use files of one release")
    if number and number != [str(label + 1)]:
        raise ValueError(f"label {number[0]}, but {folder} is number {label + 1} in classInd.txt")
    return Clip(PurePosixPath(file).stem, label, origin, folder)


def _parse_hmdb51(files: AnnotationFiles) -> Annotations:
    """`<class>_test_split{1,2,3}.txt`, one file per class and split; classes in alphabetical order."""
    names = {file.name for file in files.find_all(HMDB51_FILE)}
    if not names:
        files.find("<class>_test_split1.txt")  # raises an error that lists the files found
    found = {re.sub(HMDB51_FILE, r"\1", name) for name in names}
    class_names = base.require_classes(sorted(found), 51, files.paths[0], "HMDB51")
    lists: dict[str, list[Clip]] = {f"{key}_split{split}": [] for split in SPLITS for key in ("train", "val")}
    for split in SPLITS:
        for label, class_name in enumerate(class_names):
            parse = partial(_hmdb51_clip, label, class_name)
            for flag, clip in files.parse_lines(f"{class_name}_test_split{split}.txt", parse):
                if flag in LIST_OF:
                    lists[f"{LIST_OF[flag]}_split{split}"].append(clip)
    order = (
        "sorted by name, as in mmaction2; TSN's class_list.txt has kick_ball before kick and sword_exercise before "
        "sword: for weights trained with it give --classes class_list.txt"
    )
    return Annotations(class_names, lists, order)


def _hmdb51_clip(label: int, class_name: str, origin: str, line: str) -> tuple[str, Clip]:
    """Flag and clip of a line `video.avi flag`."""
    file, _, flag = line.rpartition(" ")
    if flag not in {"0", *LIST_OF} or not file.strip():
        raise ValueError(f"{quoted(line)} is not `video.avi flag` with flag 0, 1 or 2; use the official file")
    return flag, Clip(PurePosixPath(file.strip()).stem, label, origin, class_name)


def _numbered_names(index_file: Path, form: str, described: str) -> list[str]:
    """Class names by number, from 1; `form` matches the `name` and `number` of a line. Names may contain blanks."""

    def parse(_origin: str, line: str) -> tuple[int, str]:
        match = re.fullmatch(form, line)
        if not match:
            raise ValueError(f"{quoted(line)} is not {described}; use the official file")
        return int(match["number"]), match["name"].strip()

    classes = sorted(base.parse_each(base.numbered_lines(index_file), parse))
    if [number for number, _ in classes] != list(range(1, len(classes) + 1)):
        raise InputError(f"{index_file} does not number its classes 1 ... {len(classes)}; use the official file")
    return [name for _, name in classes]


def _read_lists(files: AnnotationFiles, file_name: str, parse: Callable[[str, str], Clip]) -> dict[str, list[Clip]]:
    """The lists of all splits; `file_name` has fields for "train" or "test" and the split."""
    return {
        f"{key}_split{split}": files.parse_lines(file_name.format(which, split), parse)
        for split in SPLITS
        for key, which in (("train", "train"), ("val", "test"))
    }


def _published(*sizes: tuple[int, int]) -> dict[str, Published]:
    """Published sizes of the train and the val list of each split."""
    return {
        f"{key}_split{split}": Published(clips)
        for split, pair in enumerate(sizes, start=1)
        for key, clips in zip(("train", "val"), pair, strict=True)
    }


EGTEA = Official(
    _parse_egtea,
    files="action_idx.txt {train,test}_split{1,2,3}.txt",
    media="<session>/<clip>.mp4",
    published=_published((8_299, 2_022)),
)
UCF101 = Official(
    _parse_ucf101,
    files="classInd.txt {train,test}list0{1,2,3}.txt",
    media="<class>/v_<class>_g<..>_c<..>.avi",
    published=_published((9_537, 3_783), (9_586, 3_734), (9_624, 3_696)),
    fold_case=True,
)
HMDB51 = Official(
    _parse_hmdb51,
    files="<class>_test_split{1,2,3}.txt",
    media="<class>/<video>.avi",
    published=_published(*[(3_570, 1_530)] * 3),
)
