"""The split of own clips: test lists and folds of whole sources, and their report."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from common.errors import InputError
from datasets.lists import VideoRecord, read_list
from datasets.preparing.folder_split import split_records
from scripts.prepare_data import main

CLIPS = [
    VideoRecord(f"{name}/p{person:02d}_t{trial}", 9, label)
    for label, name in enumerate(("clap", "throw", "wave"))
    for person in range(10)
    for trial in range(4)
]
PERSON = re.compile(r"(p\d+)_")


def persons(clips: list[VideoRecord]) -> set[str]:
    return {PERSON.search(clip.path)[1] for clip in clips}


def labels(clips: list[VideoRecord]) -> Counter[int]:
    return Counter(clip.label for clip in clips)


def test_the_split_without_a_test_list_never_changes() -> None:
    """Accuracies stay comparable with those of earlier preparations."""
    lists = split_records(CLIPS, val_share=0.2, seed=0, group_pattern=PERSON)
    assert persons(lists["val"]) == {"p04", "p06"}
    lists = split_records(CLIPS, val_share=0.2, seed=0)
    assert [clip.path[-6:] for clip in lists["val"] if clip.label == 1] == [
        "p01_t0", "p02_t2", "p03_t0", "p03_t1", "p03_t3", "p06_t2", "p06_t3", "p08_t0",
    ]  # fmt: skip
    assert list(lists) == ["train", "val"]


@pytest.mark.parametrize("seed", range(3))
def test_a_test_list_of_whole_sources(seed: int) -> None:
    lists = split_records(CLIPS, val_share=0.25, seed=seed, group_pattern=PERSON, test_share=0.2)
    assert sorted(clip.path for clips in lists.values() for clip in clips) == [clip.path for clip in CLIPS]
    assert [len(persons(lists[which])) for which in ("train", "val", "test")] == [6, 2, 2]
    assert labels(lists["test"]) == {0: 8, 1: 8, 2: 8}
    assert lists == split_records(CLIPS[::-1], val_share=0.25, seed=seed, group_pattern=PERSON, test_share=0.2)


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("pattern", [PERSON, re.compile(r"(.+)/(p\d+)"), None])
def test_folds(folds: int, pattern: re.Pattern | None) -> None:
    """Each clip is in one test list; lists of a fold share no source; the folds are balanced over the classes."""
    lists = split_records(CLIPS, val_share=0.2, seed=1, group_pattern=pattern, folds=folds)
    assert list(lists) == [f"{which}_fold{k}" for k in range(1, folds + 1) for which in ("train", "val", "test")]
    tested = [clip.path for key, clips in lists.items() if key.startswith("test") for clip in clips]
    assert sorted(tested) == [clip.path for clip in CLIPS]
    for k in range(1, folds + 1):
        train, val, test = (lists[f"{which}_fold{k}"] for which in ("train", "val", "test"))
        assert {*train, *val, *test} == set(CLIPS)
        assert len(train) + len(val) + len(test) == len(CLIPS)
        unit = 4 if pattern else 1
        assert all(abs(count - 40 / folds) <= unit for count in labels(test).values())
        assert all(0 < count <= 0.2 * (40 - 40 // folds) + unit for count in labels(val).values())
        if pattern == PERSON:
            assert not persons(test) & persons(train + val)
            assert not persons(train) & persons(val)
    assert lists == split_records(CLIPS[::-1], val_share=0.2, seed=1, group_pattern=pattern, folds=folds)
    assert lists != split_records(CLIPS, val_share=0.2, seed=2, group_pattern=pattern, folds=folds)


def test_frames_get_the_folds_of_their_videos() -> None:
    videos = [VideoRecord(f"{clip.path}.mp4", None, clip.label) for clip in CLIPS]
    of_videos = split_records(videos, val_share=0.2, seed=0, folds=4)
    of_frames = split_records(CLIPS, val_share=0.2, seed=0, folds=4)
    assert {key: [clip.path[:-4] for clip in clips] for key, clips in of_videos.items()} == {
        key: [clip.path for clip in clips] for key, clips in of_frames.items()
    }


def test_folds_of_rare_classes_and_of_one_large_source() -> None:
    """Three clips per class in five folds; a source with half of the clips gets its own fold."""
    rare = [VideoRecord(f"{label}/{i}", 9, label) for label in range(10) for i in range(3)]
    lists = split_records(rare, val_share=0.2, seed=0, folds=5)
    sizes = [len(lists[f"test_fold{k}"]) for k in range(1, 6)]
    assert sum(sizes) == 30
    assert min(sizes) >= 5
    assert all(max(labels(lists[f"test_fold{k}"]).values()) == 1 for k in range(1, 6))
    large = [VideoRecord(f"a/p{max(i - 20, 0):02d}_t{i}", 9, 0) for i in range(41)]
    lists = split_records(large, val_share=0.2, seed=0, group_pattern=PERSON, folds=3)
    assert sorted(len(lists[f"test_fold{k}"]) for k in (1, 2, 3)) == [10, 10, 21]


@pytest.mark.parametrize(
    ("pattern", "options", "words"),
    [
        (
            r"(p\d+)_",
            {"folds": 11},
            "10 groups cannot be split: nothing is left for test_fold11",
        ),
        (r"_(t)", {"folds": 2}, "1 group cannot be split: nothing is left for train_fold1, val_fold1, val_fold2, "),
        (r"_t([0-2]|3)", {"folds": 5}, "4 groups cannot be split: nothing is left for test_fold5"),
        (r"clap|throw|wave", {"test_share": 0.5}, "3 groups cannot be split: nothing is left for val, test"),
        (r"p0\d_t([01])", {"folds": 2}, "matches nothing"),
    ],
)
def test_too_few_sources(pattern: str, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        split_records(CLIPS, val_share=0.2, seed=0, group_pattern=re.compile(pattern), **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for clip in CLIPS:
        (tmp_path / "clips" / clip.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / f"{clip.path}.mp4").write_bytes(b"video")
    return tmp_path / "clips"


def test_the_report_lists_the_sources_of_folds(root: Path, tmp_path: Path, capsys) -> None:
    main(["folder", "mine", str(root), "--folds", "5", "--group_pattern", r"(p\d+)_", "--data_root", str(tmp_path)])
    out = capsys.readouterr().out
    assert "10 sources by --group_pattern '(p\\d+)_'\nfold1: 6 in train, 2 in val (p0" in out
    assert "source p00 has 12 clips" in out
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    tested = [source for k in range(1, 6) for source in report["sources"][f"test_fold{k}"]]
    assert sorted(tested) == [f"p{person:02d}" for person in range(10)]
    assert sum(report["sources"]["train_fold2"].values()) == report["reports"]["train_fold2"]["listed"] == 72
    assert "check_data.py mine --split fold1 " in out
    assert "# and fold2, fold3, fold4, ..." in out


def test_lists_of_another_split_are_removed(root: Path, tmp_path: Path, capsys) -> None:
    """Otherwise weights would be scored on a test.txt of an earlier split, whose clips they were trained on."""
    prepare = ["folder", "mine", str(root), "--data_root", str(tmp_path)]
    home = tmp_path / "mine"

    def lists() -> list[str]:
        return sorted(path.stem for path in home.glob("*.txt"))

    main([*prepare, "--test_share", "0.2"])
    (home / "train_by_hand.txt").touch()
    (home / "all.txt").touch()
    others = ["all", "classes", "train_by_hand"]
    assert lists() == sorted([*others, "test", "train", "val"])
    assert len(read_list(home / "test.txt")) == 24
    assert "Removed" not in capsys.readouterr().out
    main([*prepare, "--folds", "2"])
    assert "Removed test.txt, train.txt, val.txt " in capsys.readouterr().out
    assert lists() == sorted([*others, *(f"{w}_fold{k}" for w in ("test", "train", "val") for k in (1, 2))])
    main(prepare)
    assert lists() == sorted([*others, "train", "val"])
    assert "train_fold2.txt, val_fold1.txt, val_fold2.txt " in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--test_share", "0.1"], ["--folds", "3"]])
def test_split_folders_takes_no_random_split(root: Path, tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(InputError, match=f"{flags[0]} belongs to a random split"):
        main(["folder", "mine", str(root), "--split", "folders", *flags, "--data_root", str(tmp_path)])


def test_a_test_folder_beside_a_val_folder(root: Path, tmp_path: Path) -> None:
    for which in ("validation", "Test"):
        (tmp_path / "split" / which / "wave").mkdir(parents=True)
        (root / "wave" / f"p0{len(which) % 5}_t0.mp4").rename(tmp_path / "split" / which / "wave" / "a.mp4")
    root.rename(tmp_path / "split" / "train")
    main(["folder", "mine", str(tmp_path / "split"), "--split", "folders", "--data_root", str(tmp_path)])
    assert read_list(tmp_path / "mine" / "val.txt") == [VideoRecord("validation/wave/a.mp4", None, 2)]
    assert read_list(tmp_path / "mine" / "test.txt") == [VideoRecord("Test/wave/a.mp4", None, 2)]
    (tmp_path / "split" / "Test" / "wave").rename(tmp_path / "split" / "Test" / "jump")
    with pytest.raises(InputError, match="train has no folder of the class 'jump', but Test has one"):
        main(["folder", "mine", str(tmp_path / "split"), "--split", "folders", "--data_root", str(tmp_path)])
