"""Clips of controlled displacement, and the study that uses them."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo  # forked workers inherit it; each would import it at its first step, for a second

from common.errors import InputError
from scripts import displacement_study
from scripts.studying import study
from scripts.studying.drifting import Drift, DriftingClips, draw_drift

pytestmark = pytest.mark.slow


def test_every_network_of_the_family_is_a_choice(monkeypatch) -> None:
    monkeypatch.setattr("ops.models.FAMILY", ("H2CN", "Own"))
    variants = runpy.run_path(displacement_study.__file__)["VARIANTS"]
    assert [name for name in variants if "H2CN" not in name] == ["Own"]


@pytest.mark.parametrize("displacement", [1, 4, 24])
@pytest.mark.parametrize("label", [0, 1])
def test_the_card_moves_by_the_displacement(displacement: int, label: int) -> None:
    drift = Drift(displacement, 40, 5)  # frames enough for the median to be the background
    frames = np.stack([np.asarray(frame) for frame in draw_drift(drift, label, np.random.default_rng(1))])
    assert len(frames) == 44
    card = (np.abs(frames - np.median(frames, axis=0)) > 30).any(-1)  # (frames, H, W), where the card is
    step = displacement if label == 0 else -displacement
    for before, after in zip(card, card[1:], strict=False):
        overlap = [(np.roll(before, shift, axis=1) & after).sum() for shift in range(-31, 32)]
        assert int(np.argmax(overlap)) - 31 == step


def test_networks_with_one_frame_per_segment_see_the_same_key_frames() -> None:
    five, one = (DriftingClips(Drift(4, 3, frames), 10, seed=2)[0, 3].clip for frames in (5, 1))
    assert five.shape == (3, 5, 32, 64, 3)
    assert torch.equal(five[:, 2:3], one)
    assert torch.equal(five[0, 1:], five[1, :4])  # segments begin one frame apart


def test_clips_depend_on_seed_and_epoch() -> None:
    clips = DriftingClips(Drift(4, 3, 1), 10, seed=2)
    assert torch.equal(clips[0, 3].clip, DriftingClips(Drift(4, 3, 1), 10, seed=2)[0, 3].clip)
    assert not torch.equal(clips[0, 3].clip, clips[1, 3].clip)
    assert [clips[0, index].label for index in range(4)] == [0, 1, 0, 1]


def test_reversed_clips_are_the_same_frames() -> None:
    normal, backwards = (DriftingClips(Drift(4, 3, 5, frame_order=o), 10, 0)[0, 0].clip for o in ("normal", "reversed"))
    assert torch.equal(backwards, normal.flip(0, 1))


@pytest.mark.parametrize("displacement", [0, 32])
def test_ambiguous_displacements_are_refused(displacement: int) -> None:
    with pytest.raises(InputError, match=f"a displacement of {displacement} .* give 1 to 31"):
        Drift(displacement, 2, 5)


TINY = ["--displacement", "2", "8", "--epochs", "1", "--clips", "4", "-b", "4", "--val_clips", "4",
        "--num_segments", "2", "--arch", "resnet10"]  # fmt: skip


def test_a_study_writes_a_table_and_a_figure_and_can_be_extended(tmp_path: Path, capsys) -> None:
    flags = [*TINY, "--output_dir", str(tmp_path), "-j", "2"]
    displacement_study.main([*flags, "--net", "TSN", "--seeds", "0", "1", "0"])
    displacement_study.main([*flags, "--net", "TSN", "H2CN-shift", "--seeds", "0"])
    printed = capsys.readouterr().out
    assert "2 trainings to run, 4 already in" in printed
    assert printed.count("±") == 2 + 2  # one seed has no spread
    with (tmp_path / "displacement.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["variant"], row["displacement"], row["seed"]) for row in rows[:4]} == {
        ("TSN", displacement, seed) for seed in "01" for displacement in "28"
    }
    assert {row["variant"] for row in rows[4:]} == {"H2CN-shift"}
    assert (tmp_path / "displacement.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="another budget"):
        displacement_study.main([*flags, "--lr", "0.5"])
    (tmp_path / "displacement.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a table of this script"):
        displacement_study.main(flags)


def test_an_interrupted_study_keeps_the_finished_trainings(tmp_path: Path, monkeypatch, capsys) -> None:
    def after_one(rows, *_args):
        yield next(rows)
        rows.throw(KeyboardInterrupt)

    flags = [*TINY, "--output_dir", str(tmp_path), "-j", "1", "--net", "TSN", "--seeds", "0", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(study, "track", after_one)
        with pytest.raises(SystemExit) as stop:
            displacement_study.main(flags)
    assert stop.value.code == 130
    assert "has 1 training; run the same command to resume" in capsys.readouterr().out
    assert len(study.read_rows(tmp_path / "displacement.csv", displacement_study.Row)) == 1


def test_tables_in_the_stored_format_are_read(tmp_path: Path, capsys) -> None:
    """The formats of displacement.csv and settings.json; a variant that no longer exists is not shown.

    A table whose settings do not name H2CN's start is refused: its rows of "H2CN" had the published one.
    """
    (tmp_path / "displacement.csv").write_text(
        "variant,displacement,seed,top1,top1_reversed,train_loss,seconds\n"
        "TSN,1,0,53.67,46.33,0.7158,37.34\nH2CN-gone,1,0,50,50,0.7,1\n"
    )
    budget = {"arch": "resnet18", "num_segments": 4, "epochs": 5, "clips": 320, "batch_size": 16, "lr": 0.02}
    flags = ["--output_dir", str(tmp_path), "--net", "TSN", "--displacement", "1", "--seeds", "0"]
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"runs": [{"budget": {**budget, "val_clips": 300}}]}))
    with pytest.raises(InputError, match="another budget"):
        displacement_study.main(flags)
    settings.write_text(
        json.dumps({"runs": [{"budget": {**budget, "val_clips": 300, "hourglass_start": "difference"}}]})
    )
    displacement_study.main(flags)
    assert "H2CN-gone" not in capsys.readouterr().out
    (row, _) = study.read_rows(tmp_path / "displacement.csv", displacement_study.Row)
    assert (row.variant, row.displacement, row.seed, row.top1, row.top1_reversed) == ("TSN", 1, 0, 53.67, 46.33)
    assert len(json.loads(settings.read_text())["runs"]) == 2
