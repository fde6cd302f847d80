"""Mirrored labels come from names."""

import pytest

from datasets.labels import mirrored_labels
from datasets.motions import CLASS_NAMES


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


def test_classes_without_their_opposite_keep_their_label() -> None:
    names = ["Showing something to the left of something", "Leftover food", "Uprighting", "counterclockwise"]
    assert mirrored_labels(names) == (0, 1, 2, 3)


def test_order_of_the_names_does_not_matter() -> None:
    names = list(CLASS_NAMES)
    mirrored = {names[i]: names[j] for i, j in enumerate(mirrored_labels(names))}
    names.reverse()
    assert mirrored == {names[i]: names[j] for i, j in enumerate(mirrored_labels(names))}


def test_mirroring_twice_is_no_change() -> None:
    labels = mirrored_labels(CLASS_NAMES)
    assert all(labels[labels[i]] == i for i in range(len(labels)))
    assert sum(labels[i] != i for i in range(len(labels))) == 4
