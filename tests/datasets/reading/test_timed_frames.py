"""Times of frames, and live sources that are not there."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from video_files import damage_frame, write_frames, write_video

from common.errors import InputError
from datasets.lists import VideoRecord
from datasets.reading.sources import Source, shown_address
from datasets.reading.timed_frames import live_frames, timed_frames
from datasets.reading.video_decoding import decode_video


def times(path: Path, fps: float | None = None) -> list[float]:
    with timed_frames(Source(path, VideoRecord(str(path), None, 0)), fps) as video:
        return [round(time, 3) for time, _ in video.frames]


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 4, times=[3, 4, 8, 9])
    assert times(path) == [0.0, 0.1, 0.5, 0.6]
    assert times(path, 5) == [0.0, 0.2, 0.4, 0.6]


def test_a_recording_that_starts_again_follows_the_first(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{i}.ts", 30, codec="mpeg2video", rate=25) for i in range(2)]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    found = times(tmp_path / "joined.ts")
    assert len(found) == 60
    assert np.allclose(np.diff(found), 0.04, atol=0.005)


def test_images_and_raw_streams_need_a_frame_rate(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 3)
    raw = write_video(tmp_path / "raw.h264", 3, codec="libx264")
    for path in (tmp_path / "clip", raw):
        with pytest.raises(InputError, match=rf"{path.name}.*--fps"):
            times(path)
        assert times(path, 2) == [0.0, 0.5, 1.0]


def test_a_video_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    found = []
    with (
        timed_frames(Source(path, VideoRecord("a", None, 0)), None) as video,
        pytest.raises(InputError, match=r"a\.avi breaks off after 56 frames \(it breaks off"),
    ):
        found.extend(video.frames)
    assert len(found) == 56


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the test's folder."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.func.log_message = lambda *_: None  # type: ignore[method-assign]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_stream_has_the_frames_of_its_file(tmp_path: Path, server: str) -> None:
    path = write_video(tmp_path / "a.mkv", 12)
    for address in (f"{server}/a.mkv", f"file:{path}"):
        with live_frames(address, None) as video:
            assert not video.is_endless
            frames = list(video.frames)
        assert np.array_equal([image for _, image in frames], list(decode_video(path)))
        assert [round(time, 3) for time, _ in frames] == times(path)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("7", r"webcam 7 \(.*7\) cannot be opened"),
        ("http://user:secret@127.0.0.1:1/x", r"^http://127\.0\.0\.1:1/x cannot be opened \(Connection refused\)"),
        ("nothing://x", "Protocol not found"),
    ],
)
def test_a_source_that_is_not_there(address: str, words: str) -> None:
    with pytest.raises(InputError, match=words), live_frames(address, None):
        pass


def test_a_missing_file_on_a_server(server: str) -> None:
    with pytest.raises(InputError, match=r"none\.mkv cannot be opened .*404"), live_frames(f"{server}/none.mkv", None):
        pass


def test_damage_ends_a_file_but_not_a_stream(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 40, codec="libx264", options={"g": "12", "bf": "2"})
    damage_frame(path, 12)
    with live_frames(f"file:{path}", None) as video:
        assert [round(10 * time) for time, _ in video.frames] == [*range(12), *range(13, 40)]
    with pytest.raises(InputError, match=r"breaks off after 12 frames \(a frame is damaged\)"):
        times(path)


def test_passwords_are_not_shown() -> None:
    assert shown_address("rtsp://me:secret@camera/live@2") == "rtsp://camera/live@2"
