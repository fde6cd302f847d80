"""UCF101 and HMDB51, three splits each."""

import re
from pathlib import Path, PurePosixPath

from common.errors import InputError, quoted, refuse
from datasets.preparing.annotations.files import AnnotationFiles, Annotations, Clip, numbered_lines, require_classes

UCF_CLASSES = 101
HMDB_CLASSES = 51
SPLITS = (1, 2, 3)


def parse_ucf101(files: AnnotationFiles) -> Annotations:
    """`classInd.txt`, `trainlist0{1,2,3}.txt` and `testlist0{1,2,3}.txt`; the test lists are the val lists.

    Trap: the class HandstandPushups has files `v_HandStandPushups_...`, in some copies with a small s.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    index_file = files.find(r"classInd\.txt", "classInd.txt")
    class_names: list[str] = []
    for place, line in numbered_lines(index_file):
        number, _, name = line.partition(" ")
        if number != str(len(class_names) + 1) or not name:
            raise InputError(f"{place}: {quoted(line)} is not `{len(class_names) + 1} name`; take the official file")
        class_names.append(name.strip())
    require_classes(class_names, UCF_CLASSES, index_file, "UCF101")
    labels = {name.casefold(): label for label, name in enumerate(class_names)}
    lists = {}
    for split in SPLITS:
        for key, which in (("train", "trainlist"), ("val", "testlist")):
            name = f"{which}0{split}.txt"
            lists[f"{key}_split{split}"] = _read_ucf_list(files.find(name.replace(".", r"\."), name), labels)
    return Annotations(tuple(class_names), lists, "the official numbers, minus 1, as in TSN and mmaction2")


def _read_ucf_list(list_file: Path, labels: dict[str, int]) -> list[Clip]:
    """A line is `Class/v_Class_gXX_cYY.avi label`, the label from 1; test lists have none."""
    clips, faults = [], []
    for place, line in numbered_lines(list_file):
        path, *number = line.split()
        folder, _, file = path.rpartition("/")
        label = labels.get(folder.casefold())
        if label is None:
            faults.append(
                f"{place}: the class {quoted(folder)} is not in classInd.txt; take both from the same release"
            )
        elif number and number != [str(label + 1)]:
            faults.append(f"{place}: label {number[0]}, but {folder} is number {label + 1} in classInd.txt")
        else:
            clips.append(Clip(PurePosixPath(file).stem, label, place, folder))
    refuse(faults)
    return clips


def parse_hmdb51(files: AnnotationFiles) -> Annotations:
    """`<class>_test_split{1,2,3}.txt`, one file a class; classes in alphabetical order.

    A line is `video.avi flag`: 1 train, 2 test (the val list), 0 neither.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    name = re.compile(r"(.+)_test_split([123])\.txt")
    split_files = {
        (match[1], int(match[2])): file for file in files.find_all(name.pattern) if (match := name.fullmatch(file.name))
    }
    if not split_files:
        files.find(name.pattern, "<class>_test_split1.txt")  # says what is there instead
    class_names = require_classes(
        sorted({class_name for class_name, _ in split_files}), HMDB_CLASSES, files.paths[0], "HMDB51"
    )
    missing = [f"{c}_test_split{s}.txt" for c in class_names for s in SPLITS if (c, s) not in split_files]
    if missing:
        raise InputError(f"--annotations {files.paths[0]}: there is no {missing[0]}; take all 153 official files")
    lists: dict[str, list[Clip]] = {f"{key}_split{split}": [] for split in SPLITS for key in ("train", "val")}
    for split in SPLITS:
        for label, class_name in enumerate(class_names):
            for flag, clip in _read_hmdb_file(split_files[class_name, split], label, class_name):
                if flag != "0":
                    lists[f"{'train' if flag == '1' else 'val'}_split{split}"].append(clip)
    order = (
        "sorted by name, as in mmaction2; TSN's class_list.txt has kick_ball before kick and sword_exercise before "
        "sword: for weights trained with it give --classes class_list.txt"
    )
    return Annotations(class_names, lists, order)


def _read_hmdb_file(split_file: Path, label: int, class_name: str) -> list[tuple[str, Clip]]:
    clips, faults = [], []
    for place, line in numbered_lines(split_file):
        file, _, flag = line.rpartition(" ")
        if flag not in {"0", "1", "2"} or not file.strip():
            faults.append(
                f"{place}: {quoted(line)} is not `video.avi flag` with flag 0, 1 or 2; take the official file"
            )
            continue
        clips.append((flag, Clip(PurePosixPath(file.strip()).stem, label, place, class_name)))
    refuse(faults)
    return clips
