"""Which epochs are kept, and which files are removed."""

from pathlib import Path

from ops.training.best_epochs import BestEpochs


def test_the_best_epochs_are_kept_and_the_earlier_of_equal_ones() -> None:
    best = BestEpochs(2)
    assert [best.add(epoch, accuracy) for epoch, accuracy in enumerate((10.0, 20.0, 5.0, 10.0, 15.0), start=1)] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert best.accuracies == {2: 20.0, 5: 15.0}
    assert best.add(5, 15.0)  # again, after a resume
    assert not BestEpochs(1).add(1, 50.0)


def test_only_files_of_other_epochs_are_removed(tmp_path: Path) -> None:
    names = ["ckpt.pth.tar", "ckpt.best.pth.tar", *(f"ckpt.epoch_{number}.pth.tar" for number in (1, 2, 12))]
    for name in [*names, ".ckpt.epoch_3.pth.tar.17.tmp"]:
        (tmp_path / name).touch()
    BestEpochs(2, {2: 20.0, 12: 15.0}).remove_others(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names) - {"ckpt.epoch_1.pth.tar"}
