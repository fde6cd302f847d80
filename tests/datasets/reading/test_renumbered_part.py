"""Windows of a video are read as videos of their own."""

from pathlib import Path

import numpy as np
import pytest
from video_files import write_frames, write_video

from common.errors import InputError
from datasets.lists import VideoRecord, parse_line
from datasets.reading.readers import Reader, open_record
from datasets.reading.renumbered import Part, at_rate

TMPL = "{:05d}.jpg"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 frames and a video of 30 frames, 10 per second."""
    root = tmp_path_factory.mktemp("root")
    write_frames(root / "long", 12)
    write_video(root / "long.mp4", 30, codec="libx264", options={"g": "8", "bf": "2"})
    return root


def read(reader: Reader, numbers: list[int]) -> dict[int, np.ndarray]:
    return dict(reader.frames(numbers))


@pytest.mark.parametrize(
    ("words", "first", "count"),
    [
        ("long 3f 7f", 2, 5),
        ("long 12f 12f", 11, 1),
        ("long.mp4 4 20", 3, 17),
        ("long.mp4 0.5s 1.25s", 5, 8),
        ("long.mp4 1.0 1.1", 10, 1),
        ("long.mp4 2s 99s", 20, 10),
    ],
)
def test_a_window_has_the_frames_of_its_part(root: Path, words: str, first: int, count: int) -> None:
    record = parse_line(f"{words} 0", 1)
    part, whole = open_record(root, record, TMPL), open_record(root, VideoRecord(record.path, None, 0), TMPL)
    assert isinstance(part, Part)
    assert (part.num_frames, part.path) == (count, whole.path)
    numbers = sorted({0, count // 2, count - 1})
    expected = read(whole, [first + number for number in numbers])
    for number, frame in read(part, numbers).items():
        assert np.array_equal(frame, expected[first + number])


def test_windows_that_have_no_frames(root: Path) -> None:
    with pytest.raises(InputError, match=r"long\.mp4 has no frame in the window 3s 4s: its last one is at 2\.9 s"):
        open_record(root, parse_line("long.mp4 3s 4s 0", 1), TMPL)
    with pytest.raises(InputError, match=r"long has images.*write the window 1s 2s in frames"):
        open_record(root, parse_line("long 1s 2s 0", 1), TMPL)
    with pytest.raises(InputError, match="12 of the 15 listed frames"):
        read(open_record(root, parse_line("long 9f 15f 0", 1), TMPL), [0, 5])


def test_training_replaces_an_unreadable_frame_of_a_window(root: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "torn", 6)
    (tmp_path / "torn" / "00004.jpg").write_bytes(b"")
    replaced: list[str] = []
    part = open_record(tmp_path, parse_line("torn 3f 5f 0", 1), TMPL)
    assert sorted(number for number, _ in part.frames([0, 1, 2], replaced)) == [0, 1, 2]
    assert [Path(name).name for name in replaced] == ["00004.jpg"]


def test_a_window_at_another_frame_rate(root: Path) -> None:
    """Half of the 10 frames per second, from the window's first frame on."""
    whole = open_record(root, VideoRecord("long.mp4", None, 0), TMPL)
    part = at_rate(open_record(root, parse_line("long.mp4 1s 2.2s 0", 1), TMPL), 5)
    assert part.num_frames == 6
    assert np.array_equal(read(part, [2])[2], read(whole, [14])[14])
    with pytest.raises(InputError, match="long has images"):
        at_rate(open_record(root, parse_line("long 3f 7f 0", 1), TMPL), 5)
    with pytest.raises(InputError, match="30 frames"):
        at_rate(open_record(root, parse_line("long.mp4 40f 50f 0", 1), TMPL), 5)
