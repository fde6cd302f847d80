"""Seeded splits, or K folds, of the user's own clips that keep the clips of one source together."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter

import numpy as np

from common.errors import InputError, counted, few, quoted, refuse
from datasets.lists import VideoRecord, bare_path

Group = Sequence[VideoRecord]  # the clips of one source


def split_records(
    records: Sequence[VideoRecord],
    *,
    val_share: float,
    seed: int,
    group_pattern: re.Pattern | None = None,
    test_share: float = 0.0,
    folds: int = 0,
) -> dict[str, list[VideoRecord]]:
    """Split clips into lists, with the same shares of each class where the groups allow it.

    The split depends only on the clips and the seed. A class with two or more groups has clips in both lists where the
    groups allow it; a class with a single group is in one list.

    Args:
        val_share: share of the val list, in (0, 1), of the clips that are not in a test list.
        group_pattern: its match in a clip's path (or its bracketed parts, if it has any) names the group, such as a
            person or a source video. Groups are never divided. None: each clip is its own group.
        test_share: share of the test list, in (0, 1); 0: no test list.
        folds: K splits, with each clip in the test list of exactly one; 0: one split.

    Returns:
        "train" and "val"; with `test_share` also "test"; with `folds` "train_fold1", "val_fold1", "test_fold1", and so
        on. No list is empty. Clips are sorted by path.
    """
    groups: dict[str, list[VideoRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: bare_path(record.path)):  # frames are split as their videos
        groups[source_of(record.path, group_pattern) if group_pattern else record.path].append(record)
    if group_pattern:
        nothing = [f"--group_pattern '{group_pattern.pattern}' matches nothing in {quoted(r.path)}" for r in groups[""]]
        refuse(nothing, "more such clip", "; it must match something in every clip")
        del groups[""]
    sources = list(groups.values())
    tests = {"": _choose_groups(sources, test_share, seed) if test_share else set()}
    if folds:
        tests = {f"_fold{k + 1}": fold for k, fold in enumerate(_deal_groups(sources, folds, seed))}
    lists: dict[str, list[VideoRecord]] = {}
    for ending, test in tests.items():
        rest = [group for index, group in enumerate(sources) if index not in test]
        val = _choose_groups(rest, val_share, seed)
        parts = {"train": [rest[i] for i in range(len(rest)) if i not in val], "val": [rest[i] for i in val]}
        if folds or test_share:
            parts["test"] = [sources[i] for i in test]
        lists |= {f"{which}{ending}": sorted(chain(*part), key=attrgetter("path")) for which, part in parts.items()}
    empty = [key for key, members in lists.items() if not members]
    if empty:
        raise InputError(
            f"{counted(len(records), 'clip')} in {counted(len(groups), 'group')} cannot be split: nothing is left for "
            f"{few(empty)}; use more clips, a pattern that makes more groups, or fewer lists"
        )
    return lists


def source_of(path: str, group_pattern: re.Pattern) -> str:
    """The match of the pattern (or of its bracketed parts, if it has any) in a clip's path; empty if there is none."""
    match = group_pattern.search(path)
    return "/".join(filter(None, match.groups() or [match.group()])) if match else ""


def count_sources(
    lists: Mapping[str, Sequence[VideoRecord]], group_pattern: re.Pattern
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """The sources of each list with their numbers of clips, and lines that show the matches of the pattern."""
    of_lists = {key: Counter(sorted(source_of(r.path, group_pattern) for r in group)) for key, group in lists.items()}
    in_split: dict[str, list[str]] = defaultdict(list)
    for key, counts in of_lists.items():
        which, _, split = key.partition("_")
        names = "" if which == "train" else f" ({few(list(counts), 20)})"
        in_split[split].append(f"{len(counts):,} in {which}{names}")
    paths = sorted({record.path for group in lists.values() for record in group})
    of_all = Counter(source_of(path, group_pattern) for path in paths)
    largest, clips = of_all.most_common(1)[0]
    head = f"{counted(len(of_all), 'source')} by --group_pattern '{group_pattern.pattern}'"
    lines = [] if "" in in_split else [head]
    lines += [f"{split or head}: {', '.join(parts)}" for split, parts in in_split.items()]
    if clips == 1:
        lines.append(
            "warning: every clip is its own source, so the pattern keeps no clips together; it must match what the "
            "clips of one source have in common"
        )
    else:
        example = [path for path in paths if source_of(path, group_pattern) == largest]
        lines.append(f"source {largest} has {counted(clips, 'clip')}: {few(example)}")
    return {key: dict(counts) for key, counts in of_lists.items()}, lines


def _deal_groups(groups: Sequence[Group], folds: int, seed: int) -> list[set[int]]:
    """Indices of the groups in each fold: largest first, each to the fold with fewest clips of its classes."""
    per_group = [Counter(record.label for record in members) for members in groups]
    total: Counter[int] = sum(per_group, Counter())
    dealt = [Counter[int]() for _ in range(folds)]
    members: list[set[int]] = [set() for _ in range(folds)]
    order = np.random.default_rng(seed).permutation(len(groups)).tolist()
    for index in sorted(order, key=lambda index: -len(groups[index])):
        own = per_group[index].items()
        shares = [sum(fold[label] * count / total[label] ** 2 for label, count in own) for fold in dealt]
        fold = min(range(folds), key=lambda k: (shares[k], dealt[k].total()))
        members[fold].add(index)
        dealt[fold].update(per_group[index])
    return members


def _choose_groups(groups: Sequence[Group], share: float, seed: int) -> set[int]:
    """Indices of groups, tried in random order and chosen if that brings the classes' shares closer to `share`."""
    per_group = [Counter(record.label for record in members) for members in groups]
    total: Counter[int] = sum(per_group, Counter())
    target = {label: share * count for label, count in total.items()}
    taken: Counter[int] = Counter()
    chosen: set[int] = set()

    def take(index: int) -> None:
        chosen.add(index)
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
    for label in total:  # a class whose smallest group far exceeds its share
        fitting = [i for i in order if not taken[label] and label in per_group[i] and leaves_train(i)]
        if fitting:
            take(min(fitting, key=lambda i: len(groups[i])))
    return chosen
