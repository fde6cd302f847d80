"""What a SOURCE of predict.py is: files, frame folders, archives, folders of videos, lists, live addresses."""

import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from video_files import write_dataset, write_frames, write_video

from common.errors import InputError
from datasets.reading.sources import find_sources, is_live, open_source


def reds(source: Path) -> list[int]:
    """The red value of each frame, from grey PNGs."""
    reader = open_source(source, "auto")
    return [int(image[0, 0, 0]) for _, image in reader.frames(range(reader.num_frames))]


def names(*arguments: str, root_path: Path | None = None) -> list[str]:
    return [source.record.path for source in find_sources(arguments, root_path)]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Even without leading zeros; optical flow and files added by macOS are skipped."""
    frames = tmp_path / "clip"
    frames.mkdir()
    for number in range(1, 13):
        Image.new("L", (4, 4), 10 * number).save(frames / f"{number}.png")
        for flow in ("flow_x", "flow_y"):
            Image.new("L", (4, 4)).save(frames / f"{flow}_{number:05d}.png")
        (frames / f"._{number}.png").write_bytes(b"\0\5\x16\7")
    shutil.make_archive(str(frames), "zip", frames)
    assert reds(frames) == reds(tmp_path / "clip.zip") == [10 * number for number in range(1, 13)]
    assert open_source(frames, "auto", 5).num_frames == 5
    with pytest.raises(InputError, match=r"clip has 12 of the 13 listed frames"):
        open_source(frames, "auto", 13)


def test_a_truncated_archive(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "clip" / "1.png")
    archive = Path(shutil.make_archive(str(tmp_path / "clip"), "zip", tmp_path / "clip"))
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"clip\.zip cannot be read \(File is not a zip file\)"):
        reds(archive)


def test_paths_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    """Archives are read, not unpacked; members in folders are no frames."""
    Image.new("L", (4, 4), 10).save(tmp_path / "1.png")
    archive = tmp_path / "in" / "clip.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("../0.png", "1.png", f"{tmp_path}/2.png"):
            file.writestr(zipfile.ZipInfo(name), (tmp_path / "1.png").read_bytes())
    assert reds(archive) == [10]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.png", "clip.zip", "in"]


@pytest.mark.parametrize("name", ["clip.zip", "clip.mp4"])
def test_a_missing_source_suggests_a_similar_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=rf"or a folder or \.zip of frames \(there is {name}\)"):
        reds(tmp_path / "clip")


@pytest.mark.parametrize("text", ["a list\tof videos\r\n", "Grüße, 日本語"])
def test_a_text_file_named_as_a_video(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.mp4").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"notes\.mp4 is a text file, not a video; .* \.txt"):
        open_source(tmp_path / "notes.mp4", "auto")


def test_a_folder_of_videos(tmp_path: Path, monkeypatch) -> None:
    """At any depth, in the order of numbers; with frame folders and archives, but no thumbnails and hidden files."""
    monkeypatch.chdir(tmp_path)
    for name in ("v/10.mp4", "v/2.MP4", "v/2.jpg", "v/a/b/c/d/e.avi", "v/notes.txt", "v/.hidden.mp4", "v/.x/y.mp4"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    write_frames(Path("v/frames/clip"), 2)
    Path("v/frames/packed.zip").touch()
    Path("v/a/up").symlink_to(tmp_path / "v")
    found = ["v/2.MP4", "v/10.mp4", "v/a/b/c/d/e.avi", "v/frames/clip", "v/frames/packed.zip"]
    assert names("v") == found
    assert names("v/frames/clip", "v/10.mp4") == ["v/frames/clip", "v/10.mp4"]
    Path("nothing").mkdir()
    with pytest.raises(InputError, match="nothing has no frames and no videos"):
        names("nothing")


def test_a_list(tmp_path: Path, monkeypatch) -> None:
    """Paths with or without numbers, below the list's folder or another one."""
    monkeypatch.chdir(tmp_path)
    write_frames(Path("data/clip 5"), 2)
    for name in ("a b.mp4", "c.mp4", "packed.zip"):
        Path("data", name).touch()
    Path("data/val.txt").write_text("\ufeffa b.mp4\nc.mp4 7\nclip 5\nclip 5 2 1\npacked 9 0\n\nmissing.mp4\n")
    sources = find_sources(["data/val.txt"])
    assert [(str(source.path), source.record.path, source.record.num_frames) for source in sources] == [
        ("data/a b.mp4", "a b.mp4", None),
        ("data/c.mp4", "c.mp4", None),
        ("data/clip 5", "clip 5", None),
        ("data/clip 5", "clip 5", 2),
        ("data/packed.zip", "packed", 9),
        ("data/missing.mp4", "missing.mp4", None),
    ]
    shutil.move("data/val.txt", "val.txt")
    assert find_sources(["val.txt"], Path("data")) == sources
    with pytest.raises(InputError, match=r"none of the 6 videos of the list val\.txt is in \.;.* --root_path"):
        find_sources(["val.txt"])
    Path("odd.txt").write_text("/\n.\n")
    assert [str(source.path) for source in find_sources(["odd.txt"])] == ["/", "."]
    Path("empty.txt").write_text("\n")
    with pytest.raises(InputError, match=r"the list empty\.txt has no videos"):
        find_sources(["empty.txt"])


def test_an_empty_source_is_not_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(write_dataset(tmp_path / "own") / "frames")
    with pytest.raises(InputError, match="SOURCE is empty"):
        find_sources([""])
    assert len(find_sources(["."])) == 11


def test_live_addresses(tmp_path: Path, monkeypatch) -> None:
    """An existing folder 0 is no webcam."""
    monkeypatch.chdir(tmp_path)
    live = ["0", "12", "http://h/x.mp4", "rtsp://u:p@h/x", "file:/x.mp4"]
    assert [is_live(name) for name in live] == [True] * len(live)
    assert not any(map(is_live, ["a.mp4", "C:\\x.mp4", "folder/0", "-1"]))
    write_video(Path("0/a.mp4"), 1)
    assert not is_live("0")
