"""The built-in data set: deterministic, whole or not there, and telling its pairs apart by order alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import moving_digits
from datasets.lists import read_list
from datasets.motions import CLASS_NAMES, draw_motion
from datasets.moving_digits import Settings, draw_clip, ensure_moving_digits
from errors import InputError

SMALL = Settings(train_per_class=2, val_per_class=1, num_frames=6, height=24, width=32)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return ensure_moving_digits(tmp_path_factory.mktemp("data"), SMALL)


def test_it_has_the_form_of_real_data(made: Path) -> None:
    records = read_list(made / "train.txt", len(CLASS_NAMES))
    assert len(records) == 2 * len(CLASS_NAMES)
    assert {record.label for record in records} == set(range(len(CLASS_NAMES)))
    for record in records:
        frames = sorted((made / "frames" / record.path).iterdir())
        assert [path.name for path in frames] == [f"{i:05d}.jpg" for i in range(1, 7)]
    assert Image.open(frames[0]).size == (32, 24)
    assert (made / "classes.txt").read_text().splitlines() == list(CLASS_NAMES)


def test_the_same_seed_makes_the_same_bytes_whatever_the_processes(made: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(moving_digits.os, "cpu_count", lambda: 1)
    assert contents(ensure_moving_digits(tmp_path, SMALL)) == contents(made)


def test_a_whole_folder_is_left_alone_and_another_version_refused(made: Path, tmp_path: Path) -> None:
    folder = ensure_moving_digits(tmp_path, SMALL)
    before = (folder / "train.txt").stat().st_mtime_ns
    ensure_moving_digits(tmp_path, SMALL)
    assert (folder / "train.txt").stat().st_mtime_ns == before
    (folder / "made_by.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(InputError, match="delete it"):
        ensure_moving_digits(tmp_path, SMALL)


def test_a_folder_without_its_settings_is_made_anew(made: Path, tmp_path: Path) -> None:
    (tmp_path / "moving_digits" / "frames").mkdir(parents=True)
    assert contents(ensure_moving_digits(tmp_path, SMALL)) == contents(made)
    assert [path.name for path in tmp_path.iterdir()] == ["moving_digits"]


@pytest.mark.parametrize("label", range(0, len(CLASS_NAMES), 2))
def test_the_second_of_a_pair_is_the_first_played_backwards(label: int) -> None:
    forwards, backwards = (draw_motion(lab, np.random.default_rng(5)) for lab in (label, label + 1))
    for p in (0.0, 0.25, 1.0):  # exact in binary
        assert forwards(p) == backwards(1 - p)
    assert forwards(0.0) != forwards(1.0)


@pytest.mark.parametrize(
    ("label", "axis", "sign"), [(0, "x", 1), (1, "x", -1), (2, "y", -1), (3, "y", 1), (4, "size", 1)]
)
def test_names_say_what_is_seen(label: int, axis: str, sign: int) -> None:
    for seed in range(20):
        motion = draw_motion(label, np.random.default_rng(seed))
        assert sign * (getattr(motion(1.0)[0], axis) - getattr(motion(0.0)[0], axis)) > 0.2


def test_a_card_turns_clockwise_on_the_screen() -> None:
    """Pillow turns counterclockwise for growing angles."""
    motion = draw_motion(CLASS_NAMES.index("Turning something clockwise"), np.random.default_rng(0))
    assert motion(1.0)[0].angle < motion(0.0)[0].angle - 90


def test_clips_of_a_class_differ() -> None:
    clips = [draw_clip(0, SMALL, np.random.default_rng(seed)) for seed in (0, 1)]
    assert clips[0][0].tobytes() != clips[1][0].tobytes()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--data_root"):
        ensure_moving_digits(tmp_path / "file", SMALL)
