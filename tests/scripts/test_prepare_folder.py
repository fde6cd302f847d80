"""scripts/prepare_data.py folder: the user's own class folders, and their split."""

import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from video_files import write_frames, write_video

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.lists import VideoRecord, read_list
from datasets.preparing.extraction import Extraction
from datasets.preparing.folder_split import split_records
from scripts.prepare_data import main

CLIPS = [
    VideoRecord(f"{name}/p{person:02d}_t{trial}", 9, label)
    for label, name in enumerate(("clap", "throw", "wave"))
    for person in range(10)
    for trial in range(4)
]


def test_the_share_of_each_class_and_the_seed() -> None:
    lists = split_records(CLIPS, val_share=0.2, seed=0)
    assert set(lists["train"] + lists["val"]) == set(CLIPS)
    assert Counter(clip.label for clip in lists["val"]) == {0: 8, 1: 8, 2: 8}
    assert lists == split_records(CLIPS[::-1], val_share=0.2, seed=0)
    assert lists != split_records(CLIPS, val_share=0.2, seed=1)


@pytest.mark.parametrize("pattern", [r"p\d+", r"/(p\d+)_", r"(.+)/(p\d+)"])
@pytest.mark.parametrize("seed", range(3))
def test_a_group_is_on_one_side(pattern: str, seed: int) -> None:
    """A person is one group over all classes, or one per class."""
    regex = re.compile(pattern)
    lists = split_records(CLIPS, val_share=0.3, seed=seed, group_pattern=regex)
    groups = {
        key: {regex.search(clip.path).groups() or regex.search(clip.path)[0] for clip in clips}
        for key, clips in lists.items()
    }
    assert not groups["train"] & groups["val"]
    assert Counter(clip.label for clip in lists["val"]) == {0: 12, 1: 12, 2: 12}


def test_every_class_is_in_both_lists_if_its_groups_allow() -> None:
    few = [VideoRecord("a/1", 9, 0), VideoRecord("a/2", 9, 0), VideoRecord("b/1", 9, 1), *CLIPS[80:]]
    lists = split_records(few, val_share=0.1, seed=0)
    assert {clip.label for clip in lists["val"]} == {0, 2}
    assert {clip.label for clip in lists["train"]} == {0, 1, 2}


def test_splits_that_cannot_be_made() -> None:
    with pytest.raises(InputError, match=r"'x\(' matches nothing|'q' matches nothing in 'clap/p00_t0'"):
        split_records(CLIPS, val_share=0.2, seed=0, group_pattern=re.compile("q"))
    with pytest.raises(InputError, match="120 clips in 1 group cannot be split"):
        split_records(CLIPS, val_share=0.2, seed=0, group_pattern=re.compile("p"))


@pytest.mark.parametrize("pattern", [r"(x?)", r"p\d*?$|", r"p00_(t9)?"])
def test_a_pattern_that_matches_an_empty_name(pattern: str) -> None:
    """It would make all these clips one source."""
    with pytest.raises(InputError, match="matches nothing in 'clap/p00_t0'"):
        split_records(CLIPS, val_share=0.2, seed=0, group_pattern=re.compile(pattern))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            r"(p\d+)_",
            [
                "10 sources by --group_pattern '(p\\d+)_': ",
                "8 in train, 2 in val (p0",
                "source p00 has 12 clips: clap/p00",
            ],
        ),
        (r"_(t\d)", ["4 sources", "3 in train, 1 in val (t", "has 30 clips: clap/p0"]),
        (r"(.+)", ["120 sources", "24 in val (clap/p0", "warning: every clip is its own source"]),
    ],
)
def test_the_report_lists_the_sources(tmp_path: Path, capsys, pattern: str, words: list[str]) -> None:
    """The user must notice a pattern that matches the trial instead of the person."""
    for clip in CLIPS:
        (tmp_path / "clips" / clip.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / f"{clip.path}.mp4").write_bytes(b"video")
    flags = ["--group_pattern", pattern, "--data_root", str(tmp_path)]
    main(["folder", "mine", str(tmp_path / "clips"), *flags])
    out = capsys.readouterr().out
    assert all(word in out for word in words), out
    assert ("warning" in out) == (pattern == "(.+)")
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    sources = report["sources"]
    assert set(sources["train"]).isdisjoint(sources["val"])
    assert sum(sources["train"].values()) == report["reports"]["train"]["listed"]
    assert f"({', '.join(list(sources['val'])[:2])}" in out
    assert any("--group_pattern" in remark for remark in report["remarks"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Frame folders, an archive and a video in two classes, with blanks, quotes and accents in the names."""
    root = tmp_path / "my clips"
    for number in range(4):
        write_frames(root / "größer 'zoom'" / f'take "{number}" é', 3 + number)
        write_video(root / "wave" / f"take {number}.avi", 3)
    write_video(root / "größer 'zoom'" / 'take "0" é.mp4', 9)  # same name: the frames win
    with zipfile.ZipFile(root / "wave" / "packed.zip", "w") as archive:
        for number in range(1, 6):
            archive.writestr(f"{number:05d}.jpg", b"")
    (root / "wave" / ".hidden").touch()
    (root / "notes.txt").touch()
    return root


def test_videos_frames_and_archives_of_any_names(tmp_path: Path, root: Path) -> None:
    main(["folder", "mine", str(root), "--val_share", "0.3", "--data_root", str(tmp_path)])
    spec = resolve("mine", data_root=str(tmp_path))  # without a flag
    assert spec.class_names == ("größer 'zoom'", "wave")
    records = [record for which in ("train", "val") for record in read_list(spec.lists[which], 2)]
    assert sorted(records, key=lambda record: record.path) == [
        *(VideoRecord(f"größer 'zoom'/take \"{i}\" é", 3 + i, 0) for i in range(4)),
        VideoRecord("wave/packed", 5, 1),
        *(VideoRecord(f"wave/take {i}.avi", 3, 1) for i in range(4)),
    ]
    assert spec.root_path.name == "frames"
    assert all((spec.root_path / r.path).exists() or r.path == "wave/packed" for r in records)


def test_unusable_clips_are_dropped_before_the_split(tmp_path: Path, root: Path) -> None:
    (root / "wave" / "link").symlink_to("link")  # to itself
    (root / "wave" / "other.mp4").symlink_to("gone.mp4")
    (root / "wave" / "empty.mp4").touch()
    (root / "wave" / "no frames").mkdir()
    main(["folder", "mine", str(root), "--data_root", str(tmp_path)])
    reports = json.loads((tmp_path / "mine" / "report.json").read_text())["reports"]
    dropped = {"wave/link", "wave/other.mp4", "wave/empty.mp4", "wave/no frames"}
    assert set(reports["all"]["dropped"]) == dropped
    assert (reports["all"]["annotated"], reports["all"]["listed"]) == (13, 9)
    assert (reports["train"]["listed"], reports["val"]["listed"]) == (7, 2)
    (root / "jump").mkdir()
    (root / "jump" / "empty.mp4").touch()
    main(["folder", "mine", str(root), "--data_root", str(tmp_path)])
    reports = json.loads((tmp_path / "mine" / "report.json").read_text())["reports"]
    assert [reports[key]["absent_classes"] for key in ("all", "train", "val")] == [["jump"]] * 3


def test_every_file_is_accounted_for(tmp_path: Path, root: Path, capsys) -> None:
    """Files that are ignored, a video beside a faulty folder of its name, two videos of one name, nested folders."""
    for name in ("camera.m2ts", "disc.VOB", "take 0.mp4"):
        (root / "wave" / name).write_bytes((root / "wave" / "take 0.avi").read_bytes())
    for name in ("suffixless", "b.xyz"):
        (root / "wave" / name).touch()
    (root / "wave" / "take 1").mkdir()
    write_video(root / "wave" / "person 7" / "take 9.avi", 3)
    main(["folder", "mine", str(root), "--data_root", str(tmp_path)])
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report["reports"]["all"]["listed"] == 11
    (reason,) = report["reports"]["all"]["dropped"].values()
    assert reason.endswith("person 7: it contains take 9.avi instead of frames; nested folders are not searched: "
                           "move the clips one folder up")  # fmt: skip
    out = capsys.readouterr().out
    assert "3 files ignored, not a video or archive in a class folder: notes.txt, wave/b.xyz, " in out
    assert "wave/suffixless" in out
    assert "3 clips found twice or more" in out
    listed = {record.path for which in ("train", "val") for record in read_list(tmp_path / "mine" / f"{which}.txt")}
    assert {"wave/camera.m2ts", "wave/disc.VOB", "wave/take 1.avi", "wave/take 0.avi"} <= listed
    assert "wave/take 0.mp4" not in listed
    (root / "none").mkdir()
    (root / "none" / "a.xyz").touch()
    with pytest.raises(InputError, match=r"none has no video and no frame folder \(there is a\.xyz\)"):
        main(["folder", "mine", str(root), "--data_root", str(tmp_path)])


def test_the_lists_may_not_be_written_into_the_class_folders(tmp_path: Path, root: Path) -> None:
    """Their folder would be a class in the next run."""
    home = tmp_path / "data" / "mine"
    home.parent.mkdir()
    root.rename(home)
    before = sorted(home.rglob("*"))
    for folder in (home, home.parent, tmp_path):
        with pytest.raises(InputError, match="would be taken for a class; move the class folders .*mine/videos"):
            main(["folder", "mine", str(folder), "--data_root", str(home.parent)])
    assert sorted(home.rglob("*")) == before
    (tmp_path / "clips").mkdir()
    for folder in [path for path in home.iterdir() if path.is_dir()]:
        folder.rename(tmp_path / "clips" / folder.name)
    (tmp_path / "clips").rename(home / "videos")
    for _ in range(2):
        main(["folder", "mine", str(home / "videos"), "--data_root", str(home.parent)])
        assert len(resolve("mine", data_root=str(home.parent)).class_names) == 2


def test_videos_after_frames(tmp_path: Path, root: Path) -> None:
    """The link to the frames would be read instead of the videos. Videos may be in a folder named frames, though."""
    main(["folder", "mine", str(root), "--data_root", str(tmp_path)])
    write_video(tmp_path / "videos" / "a" / "1.mp4", 3)
    write_video(tmp_path / "videos" / "a" / "2.mp4", 3)
    with pytest.raises(InputError, match="frames exists and would be read instead of the videos.*give it as ROOT"):
        main(["folder", "mine", str(tmp_path / "videos"), "--data_root", str(tmp_path)])
    (tmp_path / "other").mkdir()
    (tmp_path / "videos").rename(tmp_path / "other" / "frames")
    for _ in range(2):
        main(["folder", "other", str(tmp_path / "other" / "frames"), "--data_root", str(tmp_path)])
    spec = resolve("other", data_root=str(tmp_path))
    assert (spec.root_path / read_list(spec.lists["val"])[0].path).is_file()
    assert not (tmp_path / "other" / "videos").exists()


def test_split_folders(tmp_path: Path, root: Path, capsys) -> None:
    (tmp_path / "split").mkdir()
    root.rename(tmp_path / "split" / "train")
    write_video(tmp_path / "split" / "test" / "wave" / "new.mp4", 3)
    with pytest.raises(InputError, match="test, train, which look like a split: add --split folders"):
        main(["folder", "mine", str(tmp_path / "split"), "--data_root", str(tmp_path)])
    flags = ["folder", "mine", str(tmp_path / "split"), "--split", "folders", "--data_root", str(tmp_path)]
    (tmp_path / "split" / "test" / "new").mkdir()
    with pytest.raises(InputError, match="train has no folder of the class 'new', but test has one"):
        main(flags)
    (tmp_path / "split" / "test" / "new").rmdir()
    main(flags)
    assert len(read_list(tmp_path / "mine" / "train.txt", 2)) == 9
    assert read_list(tmp_path / "mine" / "val.txt", 2) == [VideoRecord("test/wave/new.mp4", 3, 1)]
    (tmp_path / "split" / "train").rename(tmp_path / "split" / "Train")
    (tmp_path / "split" / "test").rename(tmp_path / "split" / "VAL")
    (tmp_path / "split" / "other").mkdir()
    main(flags)
    assert read_list(tmp_path / "mine" / "val.txt", 2) == [VideoRecord("VAL/wave/new.mp4", 3, 1)]
    assert "1 folder beside Train and VAL not read: other" in capsys.readouterr().out
    (tmp_path / "split" / "VAL" / "wave").rename(tmp_path / "split" / "VAL" / "Wave")
    with pytest.raises(
        InputError, match="no folder of the class 'Wave', but VAL has one; Train has 'wave': rename one"
    ):
        main(flags)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("wave/line\nbreak", "dropped.*cannot hold it"),
        ("wave/blank ", "dropped.*cannot hold it"),
        ("empty/", "no video"),
    ],
)
def test_names_that_a_list_cannot_hold(tmp_path: Path, root: Path, capsys, path: str, words: str) -> None:
    (root / path).mkdir(parents=True)
    try:
        main(["folder", "mine", str(root), "--data_root", str(tmp_path)])
        message = capsys.readouterr().out
    except InputError as error:
        message = str(error)
    assert re.search(words, message, re.DOTALL)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["kinetics"], "'kinetics' cannot be a name"),
        (["egtea"], "'egtea' cannot be a name"),
        (["something"], "'something' cannot be a name"),
        (["a/b"], "'a/b' cannot be a name"),
        (["a" * 300], "cannot be a name .* at most 50 letters"),
        (["mine", "--group_pattern", "("], "'\\(' is not a regular expression"),
        (["mine", "--image_tmpl", "00001.jpg"], "00001.jpg.*{:05d}.jpg"),
        (["mine", "--split", "folders", "--group_pattern", "p"], "--group_pattern belongs to a random split"),
        (["mine", "--split", "folders"], "must have the folders train and val"),
    ],
)
def test_bad_flags(tmp_path: Path, root: Path, flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        main(["folder", flags[0], str(root), *flags[1:], "--data_root", str(tmp_path)])
    assert not any(path.name == flags[0] for path in tmp_path.iterdir())


def test_replaced_lists_are_reported_from_videos_to_frames(tmp_path: Path, capsys) -> None:
    """Frames are split like their videos, although names sort differently with and without a suffix."""
    for number, name in enumerate(["a", "a b", "a-b", "b", "b c", "c", "c-d", "d e"]):
        for class_name in ("run", "walk"):
            write_video(tmp_path / "clips" / class_name / f"{name}.mp4", 2 + number % 2)
    prepare = ["--data_root", str(tmp_path)]
    home = tmp_path / "mine"
    main(["folder", "mine", str(tmp_path / "clips"), *prepare])
    of_videos = {which: read_list(home / f"{which}.txt") for which in ("train", "val")}
    for record in [*of_videos["train"], *of_videos["val"]]:
        target = home / "frames" / record.path.removesuffix(".mp4")
        Extraction()(tmp_path / "clips" / record.path, target)
    assert "Replaced" not in capsys.readouterr().out
    for flags, words in [([], "(same clips)"), (["--seed", "1"], "(different split: ")]:
        main(["folder", "mine", str(home / "frames"), *prepare, *flags])
        assert f"Replaced train.txt, val.txt {words}" in capsys.readouterr().out
        if not flags:
            for which, videos in of_videos.items():
                frames = {f"{record.path}.mp4" for record in read_list(home / f"{which}.txt")}
                assert frames == {record.path for record in videos}
    main(["folder", "mine", str(home / "frames"), *prepare, "--seed", "1"])
    assert "Replaced" not in capsys.readouterr().out


def test_a_class_name_with_a_blank_at_its_end(tmp_path: Path, root: Path) -> None:
    (root / "wave").rename(root / "wave ")
    with pytest.raises(InputError, match="the class 'wave '.*rename"):
        main(["folder", "mine", str(root), "--data_root", str(tmp_path)])
