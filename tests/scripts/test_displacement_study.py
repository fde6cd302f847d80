"""Clips with a controlled displacement, and the study that is made with them."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputError
from scripts import displacement_study
from scripts.studying import study
from scripts.studying.drifting import Drift, DriftingClips, draw_drift


@pytest.mark.parametrize("displacement", [1, 4, 24])
@pytest.mark.parametrize("label", [0, 1])
def test_the_card_moves_by_so_many_pixels_a_frame(displacement: int, label: int) -> None:
    drift = Drift(displacement, 40, 5)  # frames enough for the median to be the background
    frames = np.stack([np.asarray(frame) for frame in draw_drift(drift, label, np.random.default_rng(1))])
    assert len(frames) == 44
    card = (np.abs(frames - np.median(frames, axis=0)) > 30).any(-1)  # (frames, H, W), where the card is
    step = displacement if label == 0 else -displacement
    for before, after in zip(card, card[1:], strict=False):
        overlap = [(np.roll(before, shift, axis=1) & after).sum() for shift in range(-31, 32)]
        assert int(np.argmax(overlap)) - 31 == step


def test_a_network_of_single_frames_sees_the_key_frames_of_the_others() -> None:
    five, one = (DriftingClips(Drift(4, 3, frames), 10, seed=2)[0, 3].clip for frames in (5, 1))
    assert five.shape == (3, 5, 32, 64, 3)
    assert torch.equal(five[:, 2:3], one)
    assert torch.equal(five[0, 1:], five[1, :4])  # segments begin one frame apart


def test_every_epoch_has_clips_of_its_own_and_a_seed_gives_them_again() -> None:
    clips = DriftingClips(Drift(4, 3, 1), 10, seed=2)
    assert torch.equal(clips[0, 3].clip, DriftingClips(Drift(4, 3, 1), 10, seed=2)[0, 3].clip)
    assert not torch.equal(clips[0, 3].clip, clips[1, 3].clip)
    assert [clips[0, index].label for index in range(4)] == [0, 1, 0, 1]


def test_reversed_clips_are_the_same_frames() -> None:
    normal, backwards = (DriftingClips(Drift(4, 3, 5, frame_order=o), 10, 0)[0, 0].clip for o in ("normal", "reversed"))
    assert torch.equal(backwards, normal.flip(0, 1))


@pytest.mark.parametrize("displacement", [0, 32])
def test_displacements_that_nobody_can_tell(displacement: int) -> None:
    with pytest.raises(InputError, match=f"a displacement of {displacement} .* give 1 to 31"):
        Drift(displacement, 2, 5)


def test_the_study_writes_a_table_and_a_figure_and_goes_on_where_it_stopped(tmp_path: Path, capsys) -> None:
    flags = ["--output_dir", str(tmp_path), "--displacement", "2", "8", "--epochs", "1", "--clips", "4", "-b", "4",
             "--val_clips", "4", "--num_segments", "2", "-j", "2"]  # fmt: skip
    displacement_study.main([*flags, "--net", "TSN", "--seeds", "0", "1"])
    displacement_study.main([*flags, "--net", "TSN", "H2CN-shift", "--seeds", "0"])
    printed = capsys.readouterr().out
    assert "2 trainings, 4 are in" in printed
    assert printed.count("±") == 2 + 2  # one seed has no spread
    with (tmp_path / "displacement.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["variant"], row["displacement"], row["seed"]) for row in rows[:4]} == {
        ("TSN", displacement, seed) for seed in "01" for displacement in "28"
    }
    assert {row["variant"] for row in rows[4:]} == {"H2CN-shift"}
    assert (tmp_path / "displacement.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="has rows of another budget"):
        displacement_study.main([*flags, "--lr", "0.5"])
    (tmp_path / "displacement.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no table of this script"):
        displacement_study.main(flags)


def test_a_stopped_study_gives_up_what_has_not_ended_and_keeps_the_rest(tmp_path: Path, monkeypatch, capsys) -> None:
    def after_one(rows, *_args):
        yield next(rows)
        rows.throw(KeyboardInterrupt)

    flags = ["--output_dir", str(tmp_path), "--displacement", "2", "8", "--epochs", "1", "--clips", "4", "-b", "4",
             "--val_clips", "4", "--num_segments", "2", "-j", "1", "--net", "TSN", "--seeds", "0", "1"]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(study, "track", after_one)
        with pytest.raises(SystemExit) as stop:
            displacement_study.main(flags)
    assert stop.value.code == 130
    assert ": 1 training; the same command goes on" in capsys.readouterr().out
    assert len(study.read_rows(tmp_path / "displacement.csv", displacement_study.Row)) == 1
