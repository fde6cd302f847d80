"""Anybody's own data, one folder a class: its clips, and a seeded split that keeps clips of one source together."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.class_names import loose
from datasets.lists import VideoRecord
from datasets.preparing.annotations.files import Annotations, Clip
from datasets.preparing.media import KINDS, bare_path, clip_name, is_dir, list_path, scan_folder
from errors import InputError, counted, few, quoted, refuse

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
    if {"train"} <= {name.casefold() for name in class_names} <= {"train", *VAL_FOLDERS}:
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
    by_name = {name.casefold(): name for name in folders}
    train, val = by_name.get("train"), next((by_name[name] for name in VAL_FOLDERS if name in by_name), None)
    if train is None or val is None:
        raise InputError(f"--split folders: {root} must have the folders train and val; it has {', '.join(folders)}")
    class_names = _folders(root / train)
    only_val = [name for name in _folders(root / val) if name not in class_names]
    if only_val:
        similar = [name for name in class_names if loose(name) == loose(only_val[0])]
        hint = f"; it has {similar[0]!r}: rename one" if similar else ""
        raise InputError(f"{root / train} lacks a folder of the class {only_val[0]!r}, which {val} has{hint}")
    annotations, located = _read_lists(root, class_names, {"train": train, "val": val})
    unused = [name for name in folders if name not in (train, val)]
    if unused:
        annotations.remarks.append(f"{counted(len(unused), 'folder')} beside {train} and {val} not read: {few(unused)}")
    return annotations, located


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
    refuse(faults, "more empty class")
    remark = f"{counted(len(ignored), 'file')} left out, neither video nor archive in a class folder: {few(ignored)}"
    return Annotations(tuple(class_names), lists, remarks=[remark] if ignored else []), located


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
    groups: dict[str, list[VideoRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: bare_path(record.path)):  # frames are split as their videos
        groups[source_of(record.path, group_pattern) if group_pattern else record.path].append(record)
    if group_pattern:
        nothing = [f"--group_pattern '{group_pattern.pattern}' finds nothing in {quoted(r.path)}" for r in groups[""]]
        refuse(nothing, "more such clip", "; it must find something in every clip")
        del groups[""]
    in_val = _choose_groups(list(groups.values()), val_share, seed)
    lists: dict[str, list[VideoRecord]] = {"train": [], "val": []}
    for members, val in zip(groups.values(), in_val, strict=True):
        lists["val" if val else "train"] += members
    if not lists["train"] or not lists["val"]:
        raise InputError(
            f"{counted(len(records), 'clip')} in {counted(len(groups), 'group')} cannot be split into two lists; "
            "more clips, or a pattern that tells more groups apart, are needed"
        )
    return {key: sorted(members, key=lambda record: record.path) for key, members in lists.items()}


def source_of(path: str, group_pattern: re.Pattern) -> str:
    """The part of a clip's path that the pattern (its bracketed parts, if it has any) finds; empty if there is none."""
    match = group_pattern.search(path)
    return "/".join(filter(None, match.groups() or [match.group()])) if match else ""


def count_sources(
    lists: Mapping[str, Sequence[VideoRecord]], group_pattern: re.Pattern
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """The sources in each list, each with its number of clips, and lines that show what the pattern finds."""
    of_lists = {key: Counter(sorted(source_of(r.path, group_pattern) for r in group)) for key, group in lists.items()}
    of_all = sum(of_lists.values(), Counter[str]())
    (largest, clips), val = of_all.most_common(1)[0], list(of_lists["val"])
    example = [r.path for group in lists.values() for r in group if source_of(r.path, group_pattern) == largest]
    lines = [
        f"{counted(len(of_all), 'source')} by --group_pattern '{group_pattern.pattern}': {len(of_lists['train']):,} in "
        f"train, {len(val):,} in val ({few(val, 20)})",
        f"source {largest} has {counted(clips, 'clip')}: {few(example)}",
    ]
    if clips == 1:
        lines[1:] = [
            "warning: every clip is a source of its own, so the pattern keeps no clips together; it must find what the "
            "clips of one source share"
        ]
    return {key: dict(counts) for key, counts in of_lists.items()}, lines


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
