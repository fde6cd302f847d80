"""UCF101, three splits."""

from functools import partial
from pathlib import PurePosixPath

from common.errors import InputError, quoted
from datasets.preparing.annotations import base
from datasets.preparing.annotations.base import SPLITS, AnnotationFiles, Annotations, Clip, Official, Published

SIZES = [(9_537, 3_783), (9_586, 3_734), (9_624, 3_696)]  # train, val of each split


def _parse(files: AnnotationFiles) -> Annotations:
    """`classInd.txt`, `trainlist0{1,2,3}.txt` and `testlist0{1,2,3}.txt`; the test lists become the val lists."""
    index_file = files.find("classInd.txt")
    class_names: list[str] = []
    for origin, line in base.numbered_lines(index_file):
        number, _, name = line.partition(" ")
        if number != str(len(class_names) + 1) or not name:
            raise InputError(f"{origin}: {quoted(line)} is not `{len(class_names) + 1} name`; use the official file")
        class_names.append(name.strip())
    base.require_classes(class_names, 101, index_file, "UCF101")
    # Trap: files of the class HandstandPushups are named v_HandStandPushups_..., in some copies with a small s.
    labels = {name.casefold(): label for label, name in enumerate(class_names)}
    lists = {
        f"{key}_split{split}": files.parse_lines(f"{which}0{split}.txt", partial(_clip, labels))
        for split in SPLITS
        for key, which in (("train", "trainlist"), ("val", "testlist"))
    }
    return Annotations(tuple(class_names), lists, "the official numbers, minus 1, as in TSN and mmaction2")


def _clip(labels: dict[str, int], origin: str, line: str) -> Clip:
    """A line is `Class/v_Class_gXX_cYY.avi label` with labels from 1; test lists have no labels."""
    path, *number = line.split()
    folder, _, file = path.rpartition("/")
    label = labels.get(folder.casefold())
    if label is None:
        raise ValueError(f"the class {quoted(folder)} is not in classInd.txt; use files of one release")
    if number and number != [str(label + 1)]:
        raise ValueError(f"label {number[0]}, but {folder} is number {label + 1} in classInd.txt")
    return Clip(PurePosixPath(file).stem, label, origin, folder)


UCF101 = Official(
    _parse,
    files="classInd.txt {train,test}list0{1,2,3}.txt",
    media="<class>/v_<class>_g<..>_c<..>.avi",
    published={
        f"{key}_split{split}": Published(clips)
        for split, sizes in zip(SPLITS, SIZES, strict=True)
        for key, clips in zip(("train", "val"), sizes, strict=True)
    },
    fold_case=True,
)
