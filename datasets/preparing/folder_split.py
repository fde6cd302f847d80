"""Anybody's own data, one folder a class: its clips, and a seeded split that keeps clips of one source together."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.lists import VideoRecord
from datasets.preparing.annotations.files import Annotations, Clip
from datasets.preparing.media import KINDS, bare_path, clip_name, is_dir, list_path, scan_folder
from errors import InputError, few, refuse

VAL_FOLDERS = ("val", "validation", "test")
Places = dict[str, list[str]]  # id of a clip -> its paths below the root, as lists write them


def read_class_folders(root: Path) -> tuple[Annotations, Places]:
    """Clips in `<root>/<class>/<video, frame folder or archive>`, as one list "all"; classes sorted by name.

    A clip's name is its path below the root, as lists write it.

    Returns:
        The clips, and where each lies: frames and videos of one name are one clip, frames first.

    Raises:
        InputError: a folder cannot be read, there are no classes, or a class has no clips.
    """
    class_names = _folders(root)
    if not class_names:
        raise InputError(f"{root} has no folders; put the clips of each class into a folder {root}/<class>/")
    if "train" in class_names and set(class_names) <= {"train", *VAL_FOLDERS}:
        raise InputError(f"{root} has the folders {', '.join(class_names)}, which look like lists: add --split folders")
    return _read_lists(root, class_names, {"all": ""})


def read_split_folders(root: Path) -> tuple[Annotations, Places]:
    """Clips in `<root>/train/<class>/...` and `<root>/val/<class>/...` (or validation/, test/), as two lists.

    Returns:
        As `read_class_folders`.

    Raises:
        InputError: as `read_class_folders`; or a class is only in the val folder.
    """
    folders = _folders(root)
    val_folder = next((name for name in VAL_FOLDERS if name in folders), None)
    if "train" not in folders or val_folder is None:
        raise InputError(f"--split folders: {root} must have the folders train and val; it has {', '.join(folders)}")
    class_names = _folders(root / "train")
    only_val = [name for name in _folders(root / val_folder) if name not in class_names]
    if only_val:
        raise InputError(f"{root / 'train'} has no folder of the class {only_val[0]!r}, which {val_folder} has")
    return _read_lists(root, class_names, {"train": "train", "val": val_folder})


def _folders(root: Path) -> list[str]:
    return [entry.name for entry in scan_folder(root) if is_dir(entry)]


def _read_lists(root: Path, class_names: Sequence[str], folders: Mapping[str, str]) -> tuple[Annotations, Places]:
    """Clips of the class folders in each list's folder below the root."""
    lists: dict[str, list[Clip]] = {key: [] for key in folders}
    located: Places = {}
    ignored, faults = [], []
    for key, folder in folders.items():
        ignored += [f"{folder}/{e.name}".lstrip("/") for e in scan_folder(root / folder) if not is_dir(e)]
        for class_name in _folders(root / folder):
            home = f"{folder}/{class_name}" if folder else class_name
            groups, others = _read_class(root, home)
            ignored += others
            if not groups:
                there = f" (there is {few([path.rpartition('/')[2] for path in others])})" if others else ""
                faults.append(
                    f"{root / home} has no video and no frame folder{there}; remove the folder, or put clips into it"
                )
            for places in groups:
                clip = Clip(places[0], class_names.index(class_name), str(root / places[0]))
                lists[key].append(clip)
                located[clip.id] = places
    refuse(faults, "empty classes")
    remark = f"{len(ignored):,} files are left out, as they are no videos or archives in a class folder: {few(ignored)}"
    return Annotations(tuple(class_names), lists, [remark] if ignored else []), located


def _read_class(root: Path, home: str) -> tuple[list[list[str]], list[str]]:
    """Places of each clip of a class folder, frames first, and the files that can be none."""
    entries = scan_folder(root / home)
    places: dict[str, list[str]] = defaultdict(list)
    for kind in KINDS:
        for entry in entries:
            name, path = clip_name(entry, kind), list_path(f"{home}/{entry.name}", kind)
            if name is not None and path not in places[name]:  # a folder and an archive have one path
                places[name].append(path)
    ignored = [f"{home}/{entry.name}" for entry in entries if all(clip_name(entry, kind) is None for kind in KINDS)]
    return sorted(places.values()), ignored


def split_records(
    records: Sequence[VideoRecord], *, val_share: float, seed: int, group_pattern: re.Pattern | None = None
) -> dict[str, list[VideoRecord]]:
    """Split clips into a train and a val list: the share of each class as well as the groups allow.

    Depends on the clips and the seed alone. A class with two groups or more has clips in both lists where the groups
    allow it; one with a single group is in one list.

    Args:
        records: clips of all classes.
        val_share: share of the val list, in (0, 1).
        seed: of the order in which groups are tried.
        group_pattern: what it finds in a clip's path (its bracketed parts, if it has any) names the group, such as
            the person or the source video; a group is never divided. None: each clip is its own group.

    Raises:
        InputError: paths in which the pattern finds nothing, or a list without a clip.
    """
    groups: dict[object, list[VideoRecord]] = defaultdict(list)
    faults = []
    for record in sorted(records, key=lambda record: bare_path(record.path)):  # frames are split as their videos
        match = group_pattern.search(record.path) if group_pattern else None
        if group_pattern and match is None:
            faults.append(f"--group_pattern {group_pattern.pattern!r} finds nothing in {record.path!r}")
        groups[(match.groups() or match.group()) if match else record.path].append(record)
    refuse(faults, "such clips; it must find something in every clip")
    in_val = _choose_groups(list(groups.values()), val_share, seed)
    lists: dict[str, list[VideoRecord]] = {"train": [], "val": []}
    for members, val in zip(groups.values(), in_val, strict=True):
        lists["val" if val else "train"] += members
    if not lists["train"] or not lists["val"]:
        raise InputError(
            f"{len(records)} clips in {len(groups)} groups cannot be split into two lists; "
            "more clips, or a pattern that tells more groups apart, are needed"
        )
    return {key: sorted(members, key=lambda record: record.path) for key, members in lists.items()}


def _choose_groups(groups: Sequence[Sequence[VideoRecord]], val_share: float, seed: int) -> list[bool]:
    """For each group whether it goes to the val list: in random order, as long as the classes' shares get nearer."""
    per_group = [Counter(record.label for record in members) for members in groups]
    total: Counter[int] = sum(per_group, Counter())
    target = {label: val_share * count for label, count in total.items()}
    taken: Counter[int] = Counter()
    chosen = [False] * len(groups)

    def take(index: int) -> None:
        chosen[index] = True
        taken.update(per_group[index])

    def leaves_train(index: int) -> bool:
        return all(taken[label] + count < total[label] for label, count in per_group[index].items())

    def gain(index: int) -> float:
        missing = {label: target[label] - taken[label] for label in per_group[index]}
        return sum(abs(missing[label]) - abs(missing[label] - count) for label, count in per_group[index].items())

    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    for index in order:
        if gain(index) > 0 and leaves_train(index):
            take(index)
    for label in total:  # a class whose smallest group is far above its share
        fitting = [i for i in order if not taken[label] and label in per_group[i] and leaves_train(i)]
        if fitting:
            take(min(fitting, key=lambda i: len(groups[i])))
    return chosen
