"""Mirrored labels come from names."""

import pytest

from datasets.built_in.motions import CLASS_NAMES
from datasets.mirrored_labels import mirrored_labels, names_without_mirror


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pulling something from left to right", "Pulling something from right to left"),
        ("Pushing something from left to right", "Pushing something from right to left"),
        ("Turning the camera left while filming something", "Turning the camera right while filming something"),
        ("Swiping Left", "Swiping Right"),
        ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
        ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
        ("rolling clockwise", "rolling anti-clockwise"),
    ],
)
def test_pairs_of_something_something_and_jester(one: str, other: str) -> None:
    assert mirrored_labels(["wave", one, "Doing other things", other]) == (0, 3, 2, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("swipe_left", "swipe_right"),
        ("left_to_right_2", "right_to_left_2"),
        ("swipeLeft", "swipeRight"),
        ("Swipe-Left", "swipe-right"),
        ("turn left1", "turn right1"),
        ("turn clockwise", "turn counter clockwise"),
        ("turn clockwise", "turn anti clockwise"),
        ("turn clockwise", "turn counter-clockwise"),
        ("turn_clockwise", "turn_counterclockwise"),
        ("turn_clockwise", "turn_counter_clockwise"),
        ("TurnClockwise", "TurnCounterClockwise"),
        ("clockwise", "anticlockwise"),
        ("turnanticlockwise", "turnclockwise"),
        ("rotate_cw", "rotate_ccw"),
        ("RotateCW", "rotate counterclockwise"),
        ("swipeleft", "swiperight"),
        ("turn leftward", "turn rightward"),
        ("step leftwards", "step rightwards"),
        ("wave lefthand", "wave righthand"),
        ("left-handed throw", "right-handed throw"),
        ("leftmost", "rightmost"),
        ("leftfoot kick", "rightfoot kick"),
        ("leftup", "rightup"),
        ("lefttoright", "righttoleft"),
        ("left, then up", "right, then up"),
    ],
)
def test_pairs_in_any_spelling(one: str, other: str) -> None:
    assert mirrored_labels([one, other]) == (1, 0)
    assert mirrored_labels([other, "wave", one]) == (2, 1, 0)


def test_classes_without_their_opposite_keep_their_label() -> None:
    names = [
        "Showing something to the left of something",
        "Leftover food",
        "Uprighting",
        "counterclockwise",
        "Uplefting",
    ]
    assert mirrored_labels(names) == (0, 1, 2, 3, 4)


def test_order_of_the_names_does_not_matter() -> None:
    names = list(CLASS_NAMES)
    mirrored = {names[i]: names[j] for i, j in enumerate(mirrored_labels(names))}
    names.reverse()
    assert mirrored == {names[i]: names[j] for i, j in enumerate(mirrored_labels(names))}


def test_mirroring_twice_changes_nothing() -> None:
    labels = mirrored_labels(CLASS_NAMES)
    assert all(labels[labels[i]] == i for i in range(len(labels)))
    assert sum(labels[i] != i for i in range(len(labels))) == 4


@pytest.mark.parametrize(
    "names",
    [
        ["1 turn_left", "2 turn_right", "3 wave"],
        ["0 Swiping Left", "1 Swiping Right", "2 wave"],
        ["01_left", "02_right", "03_wave"],
        ["turn left\t0", "turn right\t1", "wave\t2"],
    ],
)
def test_an_index_is_not_part_of_a_name(names: list[str]) -> None:
    assert mirrored_labels(names) == (1, 0, 2)
    assert not names_without_mirror(names)


@pytest.mark.parametrize("names", [["90 left", "45 right"], ["turn left 2", "turn right 5"], ["1 left", "1 left hand"]])
def test_other_numbers_are_part_of_a_name(names: list[str]) -> None:
    assert mirrored_labels(names) == (0, 1)
    assert names_without_mirror(names) == names


def test_names_with_a_direction_and_without_a_mirror() -> None:
    one_sided = ["Pulling it right out", "turn leftward", "lefthand", "anti-clockwise", "left to right", "3 left"]
    others = ["left and right", "head left/right", "Uprighting", "copyright", "leftovers", "bright", "clock", "wave"]
    assert names_without_mirror([*one_sided, *others, "swipe left", "swipeRight"]) == one_sided
