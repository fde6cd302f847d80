"""The built-in data set: deterministic, complete or missing, with pairs that differ in order alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from datasets.built_in import moving_digits
from datasets.built_in.motions import CLASS_NAMES, sample_motion
from datasets.built_in.moving_digits import Settings, draw_clip, make_moving_digits
from datasets.lists import read_list
from datasets.mirrored_labels import mirrored_labels

SMALL = Settings(train_per_class=2, val_per_class=1, num_frames=6, height=24, width=32)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_moving_digits(tmp_path_factory.mktemp("data") / "moving_digits", SMALL)


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
    monkeypatch.setattr(moving_digits, "cpu_count", lambda: 1)
    assert contents(make_moving_digits(tmp_path / "moving_digits", SMALL)) == contents(made)


def test_a_complete_folder_is_kept_and_another_version_refused(made: Path, tmp_path: Path) -> None:
    folder = make_moving_digits(tmp_path / "moving_digits", SMALL)
    before = (folder / "train.txt").stat().st_mtime_ns
    make_moving_digits(tmp_path / "moving_digits", SMALL)
    assert (folder / "train.txt").stat().st_mtime_ns == before
    (folder / "made_by.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(InputError, match="delete it"):
        make_moving_digits(tmp_path / "moving_digits", SMALL)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_settings_file_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "moving_digits").mkdir()
    (tmp_path / "moving_digits" / "made_by.json").write_bytes(content)
    with pytest.raises(InputError, match=r"made_by\.json.*delete"):
        make_moving_digits(tmp_path / "moving_digits", SMALL)


def test_a_folder_without_its_settings_is_made_again(made: Path, tmp_path: Path) -> None:
    (tmp_path / "moving_digits" / "frames" / "train_00_000").mkdir(parents=True)
    assert contents(make_moving_digits(tmp_path / "moving_digits", SMALL)) == contents(made)
    assert [path.name for path in tmp_path.iterdir()] == ["moving_digits"]


def test_a_folder_that_is_not_ours_is_kept(tmp_path: Path) -> None:
    (tmp_path / "moving_digits").mkdir()
    (tmp_path / "moving_digits" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.txt.*--data_root"):
        make_moving_digits(tmp_path / "moving_digits", SMALL)
    assert (tmp_path / "moving_digits" / "thesis.txt").read_text() == "mine"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moving_digits, "ProcessPoolExecutor", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_moving_digits(tmp_path / "moving_digits", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_faster_process_is_used(made: Path, tmp_path: Path, monkeypatch) -> None:
    pool = moving_digits.ProcessPoolExecutor

    def pool_after_another_run(processes: int):
        monkeypatch.undo()
        make_moving_digits(tmp_path / "moving_digits", SMALL)
        inodes.append((tmp_path / "moving_digits").stat().st_ino)
        return pool(processes)

    inodes: list[int] = []
    monkeypatch.setattr(moving_digits, "ProcessPoolExecutor", pool_after_another_run)
    assert contents(make_moving_digits(tmp_path / "moving_digits", SMALL)) == contents(made)
    assert inodes == [(tmp_path / "moving_digits").stat().st_ino]


@pytest.mark.parametrize("label", range(0, len(CLASS_NAMES), 2))
def test_the_second_of_a_pair_is_the_first_played_backwards(label: int) -> None:
    forwards, backwards = (sample_motion(lab, np.random.default_rng(5)) for lab in (label, label + 1))
    for p in (0.0, 0.25, 1.0):  # exact in binary
        assert forwards(p) == backwards(1 - p)
    assert forwards(0.0) != forwards(1.0)


@pytest.mark.parametrize("label", range(0, len(CLASS_NAMES), 2))
def test_the_frames_of_a_pair_are_the_same_in_opposite_order(label: int, monkeypatch) -> None:
    monkeypatch.setattr(moving_digits, "JITTER", 0.0)  # it is drawn again for each frame
    first, second = (
        np.stack([np.asarray(frame, dtype=float) for frame in draw_clip(lab, SMALL, np.random.default_rng(3))])
        for lab in (label, label + 1)
    )
    np.testing.assert_array_equal(first, second[::-1])
    assert np.abs(first - second).max() > 50


@pytest.mark.parametrize("label", range(len(CLASS_NAMES)))
def test_a_mirrored_clip_belongs_to_the_mirrored_class(label: int) -> None:
    """On average over clips, cards are as far to the right in one class as to the left in the other."""

    def mean_x(label: int, time: float) -> float:
        motions = [sample_motion(label, np.random.default_rng([label, seed])) for seed in range(400)]
        return float(np.mean([card.x for motion in motions for card in motion(time)]))

    mirrored = mirrored_labels(CLASS_NAMES)[label]
    for time in (0.0, 1.0):
        assert mean_x(label, time) == pytest.approx(1 - mean_x(mirrored, time), abs=0.04)


@pytest.mark.parametrize(
    ("label", "axis", "sign"), [(0, "x", 1), (1, "x", -1), (2, "y", -1), (3, "y", 1), (4, "size", 1)]
)
def test_names_describe_the_motions(label: int, axis: str, sign: int) -> None:
    for seed in range(20):
        motion = sample_motion(label, np.random.default_rng(seed))
        assert sign * (getattr(motion(1.0)[0], axis) - getattr(motion(0.0)[0], axis)) > 0.2


def test_a_card_turns_clockwise_on_the_screen() -> None:
    """Pillow turns counterclockwise for growing angles."""
    motion = sample_motion(CLASS_NAMES.index("Turning something clockwise"), np.random.default_rng(0))
    assert motion(1.0)[0].angle < motion(0.0)[0].angle - 90


def test_clips_of_a_class_differ() -> None:
    clips = [draw_clip(0, SMALL, np.random.default_rng(seed)) for seed in (0, 1)]
    assert clips[0][0].tobytes() != clips[1][0].tobytes()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--data_root"):
        make_moving_digits(tmp_path / "file" / "moving_digits", SMALL)
