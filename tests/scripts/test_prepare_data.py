"""scripts/prepare_data.py: every sub-command on made-up official files with videos and with frames, and bad media."""

import json
import os
from pathlib import Path

import pytest
from annotation_files import (
    SOMETHING,
    WRITERS,
    Expected,
    write_hmdb51,
    write_kinetics,
    write_something_csv,
    write_ucf101,
)
from video_files import write_video

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.lists import read_list
from scripts import check_data
from scripts.prepare_data import main

ENDINGS = {"somethingv2": ".webm", "ucf101": ".avi", "hmdb51": ".avi"}


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> bytes:
    """The content of a video file."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(path, 3, codec="libx264")
    return path.read_bytes()


def clips_of(expected: Expected) -> list[str]:
    return sorted({path for clips in expected.values() for path in clips})


def write_empty_frames(folder: Path, numbers: range = range(1, 4), tmpl: str = "{:05d}.jpg") -> None:
    """Files with the names of frames; their content is never read."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / tmpl.format(number)).touch()


def write_videos(root: Path, clips: list[str], content: bytes, ending: str = ".mp4") -> None:
    for clip in clips:
        path = root / f"{clip}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("data_set", sorted(WRITERS.keys() - {"kinetics600", "kinetics700", "minikinetics200"}))
@pytest.mark.parametrize("kind", ["videos", "frames"])
def test_each_data_set(tmp_path: Path, monkeypatch, capsys, video: bytes, data_set: str, kind: str) -> None:
    """One command prepares a data set; it is then found by its name, with lists that match the annotations."""
    monkeypatch.chdir(tmp_path)
    expected = WRITERS[data_set](Path("official"))
    name = "egtea1" if data_set == "egtea" else data_set
    tmpl = "img_{:05d}.jpg" if data_set == "egtea" else "{:06d}.jpg" if data_set == "somethingv2" else "{:05d}.jpg"
    ending = ENDINGS.get(data_set, ".mp4")
    if kind == "videos":
        write_videos(Path("media"), clips_of(expected), video, ending)
    else:
        for number, clip in enumerate(clips_of(expected)):
            write_empty_frames(Path("media") / clip, range(1, 3 + number % 3), tmpl)
    main([data_set, "--annotations", "official", f"--{kind}", "media"])

    spec = resolve(name)
    assert spec.root_path == Path("data") / data_set / kind
    assert spec.image_tmpl == tmpl
    for key, clips in expected.items():
        records = read_list(Path("data") / data_set / f"{key}.txt", spec.num_class, may_lack_labels=key == "test")
        names = {label: spec.class_names[label] for label in range(spec.num_class)}
        assert {record.path.removesuffix(ending): names.get(record.label) for record in records} == clips
        for record in records:
            place = spec.root_path / record.path
            assert record.num_frames == (None if kind == "videos" else len(list(place.iterdir())))
            assert place.exists()
    report = json.loads((Path("data") / data_set / "report.json").read_text())
    assert {key: (r["annotated"], r["listed"]) for key, r in report["reports"].items()} == {
        key: (len(clips), len(clips)) for key, clips in expected.items()
    }
    out = capsys.readouterr().out
    assert "published" in out
    others = "    # and egtea2, egtea3" if data_set == "egtea" else ""
    assert f"\nNext: python scripts/check_data.py {name}{others}\n" in out


def prepared_somethingv1(tmp_path: Path, *flags: str) -> dict[str, str]:
    """Prepare the five made-up clips of Something-Something V1; returns clip -> its line in a list."""
    main(["somethingv1", "--annotations", str(tmp_path / "official"), "--data_root", str(tmp_path / "data"), *flags])
    home = tmp_path / "data" / "somethingv1"
    lines = (home / "train.txt").read_text().splitlines() + (home / "val.txt").read_text().splitlines()
    return {line.split()[0]: line for line in lines}


@pytest.fixture
def something(tmp_path: Path) -> Path:
    """Official files and frames; returns the folder of the frames."""
    write_something_csv(tmp_path / "official")
    for clip in ("1", "2", "30", "4", "5"):
        write_empty_frames(tmp_path / "frames" / clip)
    return tmp_path / "frames"


def test_the_report_accounts_for_every_unlisted_video(tmp_path: Path, something: Path, capsys) -> None:
    """Missing, empty, with a gap, starting late; a frame 0 only causes a remark."""
    for frame in something.glob("[1235]/*"):
        frame.unlink()
    (something / "1").rmdir()
    write_empty_frames(something / "2", range(4))
    (something / "30" / "00001.jpg").touch()
    (something / "30" / "00003.jpg").touch()
    (something / "30" / "00002.jpg").unlink(missing_ok=True)
    write_empty_frames(something / "6", range(5, 9))
    lines = prepared_somethingv1(tmp_path, "--frames", str(something))
    assert set(lines) == {"2", "4"}
    assert lines["2"].split()[1] == "3"
    report = json.loads((tmp_path / "data" / "somethingv1" / "report.json").read_text())
    train, val = report["reports"]["train"], report["reports"]["val"]
    assert train["missing"] == ["1"]
    assert "frame 2 is missing, but 3 exists" in train["dropped"]["30"]
    assert "it is empty" in val["dropped"]["5"]
    out = capsys.readouterr().out
    assert "1 video with a frame 0" in out
    assert "3 clips annotated; 86,017 published" in out
    assert "11,522 published (not confirmed)" in out


def test_other_frame_names_are_detected(tmp_path: Path, monkeypatch, something: Path) -> None:
    for folder in something.iterdir():
        for frame in folder.iterdir():
            frame.rename(folder / f"img_{frame.name}")
    prepared_somethingv1(tmp_path, "--frames", str(something))
    assert resolve("something", data_root=str(tmp_path / "data")).image_tmpl == "img_{:05d}.jpg"
    with pytest.raises(InputError, match=r"none of the 5 .* frames are named img_\{:05d\}\.jpg"):
        prepared_somethingv1(tmp_path, "--frames", str(something), "--image_tmpl", "{:05d}.jpg")


def test_kinetics_in_other_folders_and_spellings(tmp_path: Path, video: bytes) -> None:
    """Blanks for underscores, no brackets or apostrophes, train/ and val/, a suffix in capitals."""
    expected = write_kinetics(tmp_path / "official")
    for key, clips in expected.items():
        plain = [f"{key}_256/{clip.replace('_(', '_').replace(')/', '/').replace(chr(39), '')}" for clip in clips]
        write_videos(tmp_path / "videos", plain, video, ".MP4")
    flags = ["--annotations", str(tmp_path / "official"), "--videos", str(tmp_path / "videos")]
    main(["kinetics", *flags, "--data_root", str(tmp_path / "data")])
    records = read_list(tmp_path / "data" / "kinetics" / "val.txt", 400)
    assert [record.path for record in records] == [
        "val_256/petting_animal_not_cat/0wR5jVB-WPk_000417_000427.MP4",
        "val_256/massaging_persons_head/aBcDeFgHiJk_000003_000013.MP4",
    ]


@pytest.mark.parametrize(
    ("form", "kind"),
    [("{}", "videos"), ("{}_{:06d}", "frames"), ("{}_{}", "videos"), ("{}_{}_{}", "frames")],
)
def test_kinetics_with_other_file_names(tmp_path: Path, capsys, video: bytes, form: str, kind: str) -> None:
    expected = write_kinetics(tmp_path / "official")
    for clip in clips_of(expected):
        folder, _, name = clip.rpartition("/")
        other = f"{folder}/{form.format(name[:-14], int(name[-13:-7]), int(name[-6:]))}"
        if kind == "videos":
            write_videos(tmp_path / "media", [other], video)
        else:
            write_empty_frames(tmp_path / "media" / other, range(1, 2))
    flags = ["--annotations", str(tmp_path / "official"), f"--{kind}", str(tmp_path / "media")]
    main(["kinetics", *flags, "--data_root", str(tmp_path / "data")])
    spec = resolve("kinetics", data_root=str(tmp_path / "data"))
    for which in ("train", "val"):
        records = read_list(spec.lists[which], 400)
        names = [f"{record.path.split('/')[0]}" for record in records]
        assert names == [clip.split("/")[0] for clip in expected[which]]
        assert [spec.class_names[record.label] for record in records] == list(expected[which].values())
    out = capsys.readouterr().out
    assert "402 clips found under a shorter name" in out
    assert "2 clips listed; 19,796 published (the videos in mmaction2's copy)" in out
    assert "annotated, published" not in out


def test_the_handstands_of_ucf101_in_either_spelling(tmp_path: Path, video: bytes) -> None:
    clips = [clip.replace("v_HandStand", "v_Handstand") for clip in clips_of(write_ucf101(tmp_path / "official"))]
    write_videos(tmp_path / "videos", clips, video, ".avi")
    flags = ["--annotations", str(tmp_path / "official"), "--videos", str(tmp_path / "videos")]
    main(["ucf101", *flags, "--data_root", str(tmp_path / "data")])
    text = (tmp_path / "data" / "ucf101" / "train_split2.txt").read_text()
    assert text == "HandstandPushups/v_HandstandPushups_g02_c01.avi 1\n"


def test_clips_with_one_name_in_two_classes(tmp_path: Path, video: bytes) -> None:
    """They were once confused: the wrong video with the wrong label."""
    clips = clips_of(write_hmdb51(tmp_path / "official"))
    for class_name, split in (("brush_hair", 2), ("wave", 1)):
        with (tmp_path / "official" / f"{class_name}_test_split{split}.txt").open("a") as file:
            file.write("same.avi 1 \n")
    write_videos(tmp_path / "videos", [*clips, "brush_hair/same", "wave/same"], video, ".avi")
    flags = ["--annotations", str(tmp_path / "official"), "--videos", str(tmp_path / "videos")]
    main(["hmdb51", *flags, "--data_root", str(tmp_path)])
    spec = resolve("hmdb51", data_root=str(tmp_path))
    for split, class_name in ((1, "wave"), (2, "brush_hair")):
        records = read_list(tmp_path / "hmdb51" / f"train_split{split}.txt")
        assert [(r.path, spec.class_names[r.label]) for r in records if "same" in r.path] == [
            (f"{class_name}/same.avi", class_name)
        ]


def test_a_clip_that_exists_twice(tmp_path: Path, something: Path, capsys) -> None:
    write_empty_frames(something / "more" / "4")
    assert prepared_somethingv1(tmp_path, "--frames", str(something))["4"].startswith("4 ")
    text = "1 clip found twice or more, first usable one taken: 4 or more/4"
    assert text in capsys.readouterr().out
    (something / "4" / "00002.jpg").unlink()
    (something / "rest" / "4").mkdir(parents=True)
    assert "more/4" in prepared_somethingv1(tmp_path, "--frames", str(something))
    (something / "more" / "4" / "00002.jpg").unlink()
    assert set(prepared_somethingv1(tmp_path, "--frames", str(something))) == {"1", "2", "30", "5"}


def test_the_val_set_alone(tmp_path: Path, something: Path, capsys) -> None:
    """Enough to test published weights. The train list of an earlier preparation is removed with its videos."""
    prepared_somethingv1(tmp_path, "--frames", str(something))
    for clip in ("1", "2", "30"):
        (something / clip).rename(tmp_path / clip)
    with pytest.raises(FileNotFoundError, match=r"train\.txt"):
        prepared_somethingv1(tmp_path, "--frames", str(something))
    home = tmp_path / "data" / "somethingv1"
    assert [record.path for record in read_list(home / "val.txt")] == ["4", "5"]
    out = capsys.readouterr().out
    assert "train: 3 missing: 1, 2, 30" in out
    assert "train, test: none of its clips can be used" in out
    check_data.main(["somethingv1", "--data_root", str(tmp_path / "data")])
    out = capsys.readouterr().out
    assert "Only the val list exists" in out
    assert "val.txt: 2 rows, 2 good, 0 bad" in out


def test_links_are_followed_and_broken_ones_reported(tmp_path: Path, something: Path) -> None:
    (something / "1").rename(tmp_path / "elsewhere")
    (something / "1").symlink_to(tmp_path / "elsewhere")
    (something / "2").rename(tmp_path / "gone")
    (something / "2").symlink_to(tmp_path / "nowhere")
    lines = prepared_somethingv1(tmp_path, "--frames", str(something))
    assert "1" in lines
    report = json.loads((tmp_path / "data" / "somethingv1" / "report.json").read_text())
    assert "is a link to" in report["reports"]["train"]["dropped"]["2"]


def test_a_system_without_links(tmp_path: Path, something: Path, monkeypatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(22, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(InputError, match="a link to .*A required privilege.*developer mode.*Nothing was changed"):
        prepared_somethingv1(tmp_path, "--frames", str(something))
    assert not (tmp_path / "data" / "somethingv1").exists()


def test_an_unreadable_folder(tmp_path: Path, monkeypatch, something: Path) -> None:
    """A clip's folder is dropped with the reason; a folder that may contain clips is an error."""

    def close(name: str, ending: str) -> None:
        real = getattr(os, name)

        def closed(path):
            if str(path).endswith(ending):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, name, closed)

    close("listdir", "/2")
    assert "2" not in prepared_somethingv1(tmp_path, "--frames", str(something))
    report = json.loads((tmp_path / "data" / "somethingv1" / "report.json").read_text())
    assert "Permission denied" in report["reports"]["train"]["dropped"]["2"]

    close("scandir", "/frames")
    with pytest.raises(InputError, match="cannot read the folder .*frames: Permission denied"):
        prepared_somethingv1(tmp_path, "--frames", str(something))


def content_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_full_disk_leaves_the_earlier_preparation(tmp_path: Path, monkeypatch, something: Path) -> None:
    prepared_somethingv1(tmp_path, "--frames", str(something))
    home = tmp_path / "data" / "somethingv1"
    before = content_of(home)
    (something / "4" / "00004.jpg").touch()
    real = Path.write_text

    def write_text(self, *args, **kwargs):
        if self.name == "val.txt":
            raise OSError(28, "No space left on device", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(InputError, match="No space left on device; free some space. Nothing was changed"):
        prepared_somethingv1(tmp_path, "--frames", str(something))
    assert content_of(home) == before
    assert sorted(path.name for path in home.iterdir()) == sorted([*before, "frames"])  # nothing left behind
    with pytest.raises(InputError, match="No space left"):
        main(["somethingv1", "--annotations", str(tmp_path / "official"), "--frames", str(something),
              "--data_root", str(tmp_path / "new")])  # fmt: skip
    assert not (tmp_path / "new" / "somethingv1").exists()


def test_bad_annotations_leave_the_earlier_preparation(tmp_path: Path, something: Path) -> None:
    prepared_somethingv1(tmp_path, "--frames", str(something))
    before = content_of(tmp_path / "data" / "somethingv1")
    train = tmp_path / "official" / "something-something-v1-train.csv"
    train.write_text(train.read_text().replace("30;", "1;"))
    with pytest.raises(InputError, match=r"train\.csv:3: '1' is already at .*train\.csv:1"):
        prepared_somethingv1(tmp_path, "--frames", str(something))
    assert content_of(tmp_path / "data" / "somethingv1") == before


def test_the_wrong_folder_says_what_is_there(tmp_path: Path, something: Path, video: bytes) -> None:
    """It shows three names that were looked for and three that were found, for videos and for frames."""
    write_videos(tmp_path / "films", ["a/b/c", "a/1x", "d", "e"], video)
    for flag in ("--videos", "--frames"):
        with pytest.raises(InputError) as error:
            prepared_somethingv1(tmp_path, flag, str(tmp_path / "films"))
        assert "none of the 7 clips is in" in str(error.value)
        assert "Looked for: '1', '2', '30', ..., as in " in str(error.value)
        assert "Found: videos 'd.mp4', 'e.mp4', 'a/1x.mp4', ..." in str(error.value)
    with pytest.raises(InputError, match=r"Found: frames 'frames/1', 'frames/2', 'frames/30', \.\.\."):
        prepared_somethingv1(tmp_path, "--videos", str(something.parent), "--image_tmpl", "{:05d}.jpg")
    with pytest.raises(InputError, match="Found: no media"):
        prepared_somethingv1(tmp_path, "--videos", str(tmp_path / "official"))
    with pytest.raises(InputError, match="--frames: there is no folder .*gone"):
        prepared_somethingv1(tmp_path, "--frames", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="no videos or frames in"):
        prepared_somethingv1(tmp_path)


def test_frames_and_videos_at_once_are_refused(tmp_path: Path, something: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        prepared_somethingv1(tmp_path, "--frames", str(something), "--videos", str(something))
    assert "not allowed with argument" in capsys.readouterr().err


def test_media_in_the_folder_of_the_data_set_are_found_and_not_replaced(
    tmp_path: Path, video: bytes, something: Path
) -> None:
    home = tmp_path / "data" / "somethingv1"
    home.mkdir(parents=True)
    something.rename(home / "frames")
    write_videos(tmp_path / "videos", ["1", "4"], video)
    assert len(prepared_somethingv1(tmp_path)) == 5
    assert not (home / "frames").is_symlink()
    with pytest.raises(InputError, match="would be read instead of the videos"):
        prepared_somethingv1(tmp_path, "--videos", str(tmp_path / "videos"))
    write_empty_frames(tmp_path / "other" / "1")
    write_empty_frames(tmp_path / "other" / "4")
    with pytest.raises(InputError, match="frames exists and is not"):
        prepared_somethingv1(tmp_path, "--frames", str(tmp_path / "other"))


def test_moved_frames_replace_the_link(tmp_path: Path, something: Path) -> None:
    prepared_somethingv1(tmp_path, "--frames", str(something))
    something.rename(tmp_path / "moved")
    prepared_somethingv1(tmp_path, "--frames", str(tmp_path / "moved"))
    assert (tmp_path / "data" / "somethingv1" / "frames").resolve() == tmp_path / "moved"


def test_classes_in_the_order_of_other_weights(tmp_path: Path, something: Path, capsys) -> None:
    """The annotations' spelling is kept, and the report says whose order it is."""
    order = tmp_path / "order.txt"
    order.write_text("".join(f"{name.replace(' ', '_')}\n" for name in SOMETHING))
    lines = prepared_somethingv1(tmp_path, "--frames", str(something))
    assert "classes: sorted by name, as in TSM" in capsys.readouterr().out
    lines = prepared_somethingv1(tmp_path, "--frames", str(something), "--classes", str(order))
    assert [lines[clip].split()[2] for clip in ("1", "2", "30", "4", "5")] == ["0", "1", "2", "3", "0"]
    home = tmp_path / "data" / "somethingv1"
    assert (home / "classes.txt").read_text().splitlines() == SOMETHING
    out = capsys.readouterr().out
    assert f"classes: as in {order}" in out
    assert "(same clips; labels changed" in out
    assert "sorted" not in out + (home / "report.json").read_text()
