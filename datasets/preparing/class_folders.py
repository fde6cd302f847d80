"""The user's own data in class folders -> clips, in one list or in one list per folder."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import InputError, few, quoted, refuse
from datasets.class_names import loose
from datasets.preparing.annotations.base import Annotations, Clip, remark_on
from datasets.preparing.find_media import KINDS, clip_name, is_dir, list_path, scan_folder

VAL_FOLDERS = ("val", "validation", "test")
ClipPaths = dict[str, list[str]]  # id of a clip -> its paths below the root, as in lists


def read_class_folders(root: Path) -> tuple[Annotations, ClipPaths]:
    """Clips in `<root>/<class>/<video, frame folder or archive>`, as one list "all"; classes sorted by name.

    Frames and videos of one name are one clip, frames first. A clip's name is its path, as in lists. A class without
    clips is refused.
    """
    class_names = _folders(root)
    if not class_names:
        raise InputError(f"{root} has no folders; put the clips of each class into {root}/<class>/")
    if {"train"} <= {name.casefold() for name in class_names} <= {"train", *VAL_FOLDERS}:
        raise InputError(
            f"{root} has the folders {', '.join(class_names)}, which look like a split: add --split folders"
        )
    return _read_lists(root, class_names, {"all": ""})


def read_split_folders(root: Path) -> tuple[Annotations, ClipPaths]:
    """Clips in `<root>/train/<class>/...` and `<root>/val/<class>/...` (or validation/, test/), as two lists.

    With both val/ (or validation/) and test/ there are three lists. A class that is not in train/ is refused.
    """
    folders = _folders(root)
    by_name = {name.casefold(): name for name in folders}
    train, val = by_name.get("train"), next((by_name[name] for name in VAL_FOLDERS if name in by_name), None)
    if train is None or val is None:
        raise InputError(f"--split folders: {root} must have the folders train and val; it has {', '.join(folders)}")
    lists = {"train": train, "val": val, "test": by_name.get("test", val)}
    if lists["test"] == val:
        del lists["test"]
    class_names = _folders(root / train)
    for other in lists.values():
        for name in [name for name in _folders(root / other) if name not in class_names]:
            similar = [known for known in class_names if loose(known) == loose(name)]
            hint = f"; {train} has {quoted(similar[0])}: rename one" if similar else ""
            raise InputError(f"{root / train} has no folder of the class {quoted(name)}, but {other} has one{hint}")
    annotations, located = _read_lists(root, class_names, lists)
    unused = [name for name in folders if name not in lists.values()]
    annotations.remarks.extend(remark_on(unused, "folder", f"beside {' and '.join(lists.values())} not read"))
    return annotations, located


def _folders(root: Path) -> list[str]:
    return [entry.name for entry in scan_folder(root) if is_dir(entry)]


def _read_lists(root: Path, class_names: Sequence[str], folders: Mapping[str, str]) -> tuple[Annotations, ClipPaths]:
    """Clips of the class folders; `folders`: list -> its folder below the root."""
    lists: dict[str, list[Clip]] = {key: [] for key in folders}
    located: ClipPaths = {}
    ignored, faults = [], []
    for key, folder in folders.items():
        ignored += [f"{folder}/{e.name}".lstrip("/") for e in scan_folder(root / folder) if not is_dir(e)]
        for class_name in _folders(root / folder):
            home = f"{folder}/{class_name}" if folder else class_name
            groups, others = _read_class(root, home)
            ignored += others
            if not groups:
                there = f" (there is {few([path.rpartition('/')[2] for path in others])})" if others else ""
                faults.append(f"{root / home} has no video and no frame folder{there}; remove it, or put clips into it")
            for paths in groups:
                clip = Clip(paths[0], class_names.index(class_name), str(root / paths[0]))
                lists[key].append(clip)
                located[clip.id] = paths
    refuse(faults, "more empty class")
    remarks = remark_on(ignored, "file", "ignored, not a video or archive in a class folder")
    return Annotations(tuple(class_names), lists, remarks=remarks), located


def _read_class(root: Path, home: str) -> tuple[list[list[str]], list[str]]:
    """Paths of each clip in a class folder, frames first, and the other files."""
    entries = scan_folder(root / home)
    paths: dict[str, list[str]] = defaultdict(list)
    for kind in KINDS:
        for entry in entries:
            name, path = clip_name(entry, kind), list_path(f"{home}/{entry.name}", kind)
            if name is not None and path not in paths[name]:  # a folder and an archive have one path
                paths[name].append(path)
    ignored = [f"{home}/{entry.name}" for entry in entries if all(clip_name(entry, kind) is None for kind in KINDS)]
    return sorted(paths.values()), ignored
