"""prepare_data.py counts frames by decoding only where nothing else tells their number."""

import json
from pathlib import Path

import pytest
from video_files import write_video

from datasets.lists import read_list
from datasets.preparing import parallel
from datasets.reading.video_file import VideoFile
from scripts.prepare_data import main

CODECS = {"a.avi": "mpeg4", "b.webm": "libvpx", "c.wmv": "wmv2", "d.mp4": "libx264", "e.webm": "libvpx-vp9"}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name, codec in CODECS.items():
        write_video(tmp_path / "clips" / "wave" / name, 20, codec=codec)
    return tmp_path / "clips"


def counts(tmp_path: Path, clips: Path) -> dict[str, int | None]:
    """Name of a video -> its number of frames in the lists."""
    main(["folder", "mine", str(clips), "--data_root", str(tmp_path), "--val_share", "0.4", "-j", "2"])
    lists = (tmp_path / "mine" / "train.txt", tmp_path / "mine" / "val.txt")
    return {Path(r.path).name: r.num_frames for path in lists for r in read_list(path)}


def test_frames_are_counted_where_only_decoding_tells(tmp_path: Path, clips: Path) -> None:
    assert counts(tmp_path, clips) == {"a.avi": 20, "b.webm": 20, "c.wmv": 20, "d.mp4": None, "e.webm": None}
    assert "3 video files decoded to count" in (tmp_path / "mine" / "report.json").read_text()


def test_truncated_and_unreadable_videos_are_named(tmp_path: Path, clips: Path) -> None:
    broken = clips / "wave" / "a.avi"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size * 7 // 10])
    for name in ("text.avi", "words.mp4"):  # of a suffix whose files are decoded, and of another
        (clips / "wave" / name).write_text("no video")
    found = counts(tmp_path, clips)
    assert (found["a.avi"], found["text.avi"], found["words.mp4"], found["c.wmv"]) == (None, None, None, 20)
    remarks = json.loads((tmp_path / "mine" / "report.json").read_text())["remarks"]
    assert any("1 listed video file cannot be decoded" in remark and "wave/a.avi" in remark for remark in remarks)
    assert any("2 listed video files cannot be opened" in remark and "wave/words.mp4" in remark for remark in remarks)


def test_one_unreadable_video_among_many_is_named(tmp_path: Path, clips: Path) -> None:
    for number in range(40):
        (clips / "wave" / f"{number:02d}.mp4").write_bytes((clips / "wave" / "d.mp4").read_bytes())
    (clips / "wave" / "17.mp4").write_text("no video")
    counts(tmp_path, clips)
    report = (tmp_path / "mine" / "report.json").read_text()
    assert "1 listed video file cannot be opened (check_data.py --decode says why): wave/17.mp4" in report


def test_nothing_is_decoded_if_packets_tell_the_count(tmp_path: Path, clips: Path, monkeypatch) -> None:
    for name in ("a.avi", "b.webm", "c.wmv"):
        (clips / "wave" / name).unlink()
    monkeypatch.setattr(VideoFile, "_whole", None)
    assert counts(tmp_path, clips) == {"d.mp4": None, "e.webm": None}


def test_ctrl_c_writes_nothing(tmp_path: Path, clips: Path, monkeypatch) -> None:
    def track(items, _total, title, *_args):
        yield next(iter(items))
        if title.startswith("counting"):
            raise KeyboardInterrupt
        yield from items

    monkeypatch.setattr(parallel, "track", track)
    with pytest.raises(KeyboardInterrupt):
        counts(tmp_path, clips)
    assert not (tmp_path / "mine").exists()
