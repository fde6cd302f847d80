"""--split and --subset: which lists of a prepared folder are trained on, checked and scored."""

import json
from pathlib import Path

import pytest
from video_files import write_dataset

import test_models_center_crop as center_crop
import train
from common.errors import InputError
from datasets.catalogue import list_to_score, resolve
from ops.scoring.pickles import read_scores
from ops.weights.file import read_checkpoint
from options.groups import data_options
from opts import parse_test, parse_train
from scripts import check_data, show_clips

TINY = ["--net", "Tiny", "--num_segments", "1", "--input_size", "32", "--epochs", "1", "-j", "0"]
FOLDS = [f"fold{number}" for number in (1, 2, 10)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch, tiny_network) -> Path:
    """A prepared data set "mine" with three folds, whose lists share no clips, and no other lists."""
    home = write_dataset(tmp_path / "data" / "mine", train=9, val=9, num_frames=2)
    trains, vals = ((home / f"{which}.txt").read_text().splitlines(keepends=True) for which in ("train", "val"))
    for number, fold in enumerate(FOLDS):
        (home / f"train_{fold}.txt").write_text("".join(trains[3 * number :][:3]))
        (home / f"val_{fold}.txt").write_text(vals[2 * number])
        (home / f"test_{fold}.txt").write_text(vals[2 * number + 1])
    for which in ("train", "val"):
        (home / f"{which}.txt").unlink()
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def plain(home: Path) -> Path:
    """The same with plain lists beside the folds, and a test list."""
    for which in ("train", "val", "test"):
        (home / f"{which}.txt").write_text((home / f"{which}_fold1.txt").read_text())
    return home


def test_the_lists_of_a_split(home: Path) -> None:
    spec = resolve("mine", split="fold10", need=("train", "val", "test"))
    assert spec.lists == {which: Path(f"data/mine/{which}_fold10.txt") for which in ("train", "val", "test")}
    assert resolve("mine", split="fold2", need=None).lists.keys() == {"train", "val", "test"}
    assert resolve("mine", split="fold2", train_list="data/mine/train_fold1.txt").lists["train"].stem == "train_fold1"


@pytest.mark.parametrize(
    ("split", "absent"), [("fold3", "train_fold3.txt, no val_fold3.txt"), (None, "train.txt, no val.txt")]
)
def test_a_wrong_split_lists_those_that_are_there(home: Path, split: str | None, absent: str) -> None:
    (home / "train_half.txt").touch()
    with pytest.raises(InputError, match=rf"data/mine has no {absent}; .* with --split: fold1, fold2, fold10$"):
        resolve("mine", split=split)


def test_data_sets_without_splits_and_named_by_splits(tmp_path: Path, home: Path) -> None:
    write_dataset(tmp_path / "data" / "other", train=1, val=1, num_frames=2)
    with pytest.raises(InputError, match="data/other has no train_x.txt, no val_x.txt; .* leave --split out"):
        resolve("other", split="x")
    with pytest.raises(InputError, match="no test.txt; .*--test_share or --folds; --subset val"):
        resolve("other", need=("test",))
    for name in ("egtea2", "egaze1", "egtea"):
        with pytest.raises(
            InputError, match="--split split1: egtea is named by its split, egtea1 or egtea2 or egtea3; leave"
        ):
            resolve(name, split="split1")
    (tmp_path / "data" / "other").rename(tmp_path / "data" / "ucf101")
    for which in ("train", "val"):
        (tmp_path / "data" / "ucf101" / f"{which}.txt").rename(tmp_path / "data" / "ucf101" / f"{which}_split2.txt")
    with pytest.raises(InputError, match="data/ucf101 has no train_split1.txt, no val_split1.txt; .* --split: split2$"):
        resolve("ucf101")
    with pytest.raises(InputError, match="'gone' is not known"):
        resolve("gone", split="x")


@pytest.mark.parametrize("flag", ["--train_list", "--val_list"])
def test_a_split_beside_a_list_is_a_contradiction(flag: str) -> None:
    with pytest.raises(InputError, match=f"--split fold1 .*{flag} x"):
        data_options(parse_train(["mine", "--split", "fold1", flag, "x"]))


def test_which_list_is_scored(plain: Path) -> None:
    nothing = {"data_root": None, "split": None, "val_list": None}
    assert list_to_score("mine", **nothing) == "test"
    assert list_to_score("mine", **(nothing | {"val_list": "x"})) == "val"
    assert list_to_score("mine", **(nothing | {"split": "fold2"})) == "test"
    (plain / "test_fold2.txt").unlink()
    assert list_to_score("mine", **(nothing | {"split": "fold2"})) == "val"
    plain.rename(plain.parent / "jester")  # made by hand, or another project's file
    assert list_to_score("jester", **nothing) == "val"
    with pytest.raises(InputError, match="--subset test .* --val_list x"):
        parse_test(1, ["--weights", "w", "--output_dir", "d", "--subset", "test", "--val_list", "x"])


def scored(folder: str, *flags: str) -> str:
    """The list that a test script scored, according to its pickle and its protocol."""
    center_crop.main(
        ["--weights", "runs/Tiny_mine_fold2_none_1f/ckpt.pth.tar", "--output_dir", folder, "-j", "0", *flags]
    )
    protocol = json.loads(Path(folder, "protocol.json").read_text())
    listed = [line.rsplit(maxsplit=2)[0] for line in Path(protocol["val_list"]).read_text().splitlines()]
    assert list(read_scores(Path(folder, "0_crop0.pkl")).video_ids) == listed
    assert protocol["subset"] == Path(protocol["val_list"]).stem.partition("_")[0]
    return Path(protocol["val_list"]).name


def test_a_test_knows_the_split_of_its_weights(plain: Path, capsys) -> None:
    (plain / "test_fold2.txt").rename("unread.txt")
    (plain / "test_fold2.txt").mkdir()  # training reads no test list
    train.main(["mine", "--split", "fold2", *TINY, "--check_data", "-b", "3"])
    (plain / "test_fold2.txt").rmdir()
    Path("unread.txt").rename(plain / "test_fold2.txt")
    stored = read_checkpoint("runs/Tiny_mine_fold2_none_1f/ckpt.pth.tar")
    assert (stored["options"]["split"], stored["trained_on"]["dataset"]) == ("fold2", "mine")
    assert scored("s1") == "test_fold2.txt"
    assert "test list: data/mine/test_fold2.txt" in capsys.readouterr().out
    assert scored("s2", "--subset", "val") == "val_fold2.txt"
    assert "is not the val list of the training" not in capsys.readouterr().out
    assert scored("s3", "--val_list", "data/mine/val_fold1.txt") == "val_fold1.txt"
    assert scored("s4", "--split", "fold10") == "test_fold10.txt"
    (plain / "test_fold2.txt").unlink()
    assert scored("s5") == "val_fold2.txt"
    with pytest.raises(InputError, match=r"holds views with (list_hash|subset)"):
        scored("s5", "--split", "fold1")


def test_weights_trained_with_given_lists(plain: Path) -> None:
    """Their val list is scored, unless a split or the test list is given."""
    lists = ["--train_list", "data/mine/train_fold1.txt", "--val_list", "data/mine/val_fold1.txt"]
    train.main(["mine", *lists, *TINY, "-b", "3", "--root_model", "other", "--root_log", "other"])
    Path("runs/Tiny_mine_fold2_none_1f").mkdir(parents=True)
    Path("other/Tiny_mine_none_1f/ckpt.pth.tar").rename("runs/Tiny_mine_fold2_none_1f/ckpt.pth.tar")
    assert scored("s1") == "val_fold1.txt"
    assert scored("s2", "--subset", "test") == "test.txt"
    assert scored("s3", "--split", "fold2") == "test_fold2.txt"


def test_the_check_of_three_lists(plain: Path, capsys) -> None:
    check_data.main(["mine", "--split", "fold2"])
    out = capsys.readouterr().out
    assert all(f"data/mine/{which}_fold2.txt: " in out for which in ("train", "val", "test"))
    with (plain / "train.txt").open("a") as file:
        file.write((plain / "val.txt").read_text() + (plain / "test.txt").read_text())
    with (plain / "val.txt").open("a") as file:
        file.write((plain / "test.txt").read_text())
    with pytest.raises(SystemExit):
        check_data.main(["mine", "--write_clean", "clean"])
    out = capsys.readouterr().out
    for place, other in (("train.txt:4", "val.txt:1"), ("train.txt:5", "test.txt:1"), ("val.txt:2", "test.txt:1")):
        assert any(f"/{place}: 'val " in line and f"/{other}; remove" in line for line in out.splitlines()), place
    for which in ("train", "val", "test"):
        assert Path("clean", f"{which}.txt").read_text() == (plain / f"{which}_fold1.txt").read_text()
    capsys.readouterr()
    check_data.main(["mine", "--train_list", "clean/train.txt", "--val_list", "clean/test.txt"])  # of another split
    assert "data/mine/test.txt" not in capsys.readouterr().out


def test_clips_of_a_split_are_shown(home: Path, capsys) -> None:
    show_clips.main(
        ["mine", "--split", "fold10", "--clips", "1", "--num_segments", "1", "--input_size", "32", "-j", "0"]
    )
    assert "train_fold10.txt" in capsys.readouterr().out
