"""scripts/probe.py: a probe of separable features, and folders that cannot be probed."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from ops.scoring.features import INDEX, features_path, write_features, write_index
from ops.scoring.pickles import pickle_path
from scripts.probe import load, main

PROTOCOL = {
    "dataset": "mine", "net": "H2CN", "arch": "resnet18", "num_segments": 8, "frames_per_segment": 5,
    "class_names": ["left", "right", "up"], "sampling": "centre of each segment", "preprocessing": "centre crop",
    "weights": "x.pth.tar", "list_hash": "1", "weights_sha256": "2",
}  # fmt: skip
CENTRES = 4 * np.eye(6)[:3]  # of the features of a class


def dump(folder: Path, labels: list[int], wrong: int = 0, **protocol) -> Path:
    """Features of two views; those of the first `wrong` videos are near the next class."""
    folder.mkdir()
    rng = np.random.default_rng(len(labels))
    shown = np.array(labels)
    shown[:wrong] = (shown[:wrong] + 1) % 3
    views = [CENTRES[shown] + 0.1 * rng.normal(size=(len(labels), 6)) for _ in range(2)]
    pickles = [[pickle_path(folder, 0, crop) for crop in (0, 1)]]
    write_features(pickles, [np.array([views], np.float16)], views[0].shape, "float16")
    videos = [f"{folder.name} {row}" for row in range(len(labels))]
    write_index(folder / INDEX, videos, [[label] for label in labels], PROTOCOL["class_names"])
    (folder / "protocol.json").write_text(json.dumps(PROTOCOL | protocol))
    return folder


def test_a_table_of_probes(tmp_path: Path, capsys) -> None:
    train, test = dump(tmp_path / "train", [0, 1, 2] * 5), dump(tmp_path / "test", [2, 1, 0, 0], wrong=1)
    main([str(train), str(test), "--neighbours", "1", "3"])
    printed = capsys.readouterr().out
    assert f"{train}: 15 videos, 2 views, H2CN resnet18" in printed
    assert "in both lists" not in printed
    rows = dict(re.findall(r"^(linear probe|\d nearest) +(.*)$", printed, re.MULTILINE))
    assert [*rows] == ["linear probe", "1 nearest", "3 nearest"]
    assert {re.sub(" +", " ", row) for row in rows.values()} == {"75.00 % 30.1 to 95.4 66.67 %"}


def test_views_are_averaged(tmp_path: Path) -> None:
    folder = dump(tmp_path / "a", [0, 1, 2])
    views = [np.load(features_path(pickle_path(folder, 0, crop))).astype(np.float32) for crop in (0, 1)]
    assert np.array_equal(load(folder).values, (views[0] + views[1]) / 2)
    assert load(folder).labels.tolist() == [0, 1, 2]


def test_a_class_that_is_only_in_one_list(tmp_path: Path, capsys) -> None:
    main([str(dump(tmp_path / "a", [1, 2] * 9)), str(dump(tmp_path / "b", [0, 1])), "--neighbours", "2"])
    assert capsys.readouterr().out.count("50.00 %") == 4


def test_videos_in_both_lists(tmp_path: Path, capsys) -> None:
    folder = dump(tmp_path / "a", [0, 1] * 9)
    main([str(folder), str(folder), "--neighbours", "2"])
    assert "18 videos in both lists ('a 0', " in capsys.readouterr().out


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove("protocol.json"), "no features.*--dump_features"),
        (remove(INDEX), f"{INDEX} is missing"),
        (write(INDEX, "row,video\n0,a\n"), f"{INDEX} is missing or damaged"),
        (write(INDEX, "row,video,label\n0,a,x\n"), f"{INDEX} is missing or damaged"),
        (write(INDEX, "row,video,label,class\n0,a,1,right\n"), "differ in size"),
        (write(INDEX, "row,video,label,class\n" + "0,a,-1,\n" * 20), f"{INDEX} has no labels; fill in"),
        (write("0_crop1_features.npy", ""), "0_crop1_features.npy has no valid features"),
        (write("protocol.json", json.dumps(PROTOCOL | {"weights_sha256": "3"})), "different weights"),
    ],
)
def test_folders_that_cannot_be_probed(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    folders = [dump(tmp_path / name, [0, 1] * 10) for name in "ab"]
    damage(folders[1])
    with pytest.raises(InputError, match=words):
        main([*map(str, folders)])


def test_bad_numbers(tmp_path: Path) -> None:
    few, one_class = dump(tmp_path / "a", [0, 1] * 3), dump(tmp_path / "b", [1] * 30)
    with pytest.raises(InputError, match="--neighbours 20: there are only 6 training videos"):
        main([str(few), str(one_class)])
    with pytest.raises(InputError, match="the same label"):
        main([str(one_class), str(few)])
    with pytest.raises(InputError, match="gone has no features"):
        main([str(few), str(tmp_path / "gone")])
