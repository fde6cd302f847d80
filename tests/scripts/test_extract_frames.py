"""scripts/extract_frames.py: what it writes, how it resumes and fails, and frames at a constant rate."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from platform import node
from shutil import rmtree

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interruptions import stop_after_first
from PIL import Image
from processes import exit_statuses_at_once
from started_python import run_python
from video_files import write_sound, write_video

from common.errors import InputError
from datasets.lists import VideoRecord, read_list
from datasets.preparing import extraction, parallel
from datasets.preparing.extraction import Extraction, frames_at_rate
from datasets.reading.video_decoding import decode_video
from scripts import extract_frames

pytestmark = pytest.mark.slow

SCRIPT = Path(extract_frames.__file__)
PATHS = ["videos.txt", "videos", "frames", "train.txt"]
AS_ANOTHER_RUN = "import os, time\nfrom pathlib import Path\nfrom datasets.preparing.extraction import Extraction\n"
Run = Callable[..., None]


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """A folder with two videos and their list."""
    write_video(tmp_path / "videos" / "a b.mp4", 7)
    write_video(tmp_path / "videos" / "c" / "dé 'q'.mp4", 5)
    (tmp_path / "videos.txt").write_text("a b.mp4 99 1\nc/dé 'q'.mp4 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*flags: str) -> None:
    extract_frames.main([*PATHS, "-j", "1", *flags])


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}/{number:05d}.jpg" for number in range(1, count + 1)]


WHOLE = [".extraction.json", *numbered("a b", 7), *numbered("c/dé 'q'", 5)]


def test_as_a_user_runs_it(here: Path) -> None:
    command = [sys.executable, str(SCRIPT), *PATHS, "--short_side", "24"]
    done = run_python(command)
    assert done.returncode == 0, done.stderr
    assert "extracting 2/2 12 frames, 0 videos failed" in done.stdout
    assert "2 videos, 12 frames" in done.stdout
    assert read_list(here / "train.txt", 2) == [VideoRecord("a b", 7, 1), VideoRecord("c/dé 'q'", 5, 0)]
    assert files(here / "frames") == WHOLE
    assert Image.open(here / "frames" / "a b" / "00007.jpg").size == (32, 24)


def test_frames_are_in_order_and_upright(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 9)
    frames = list(decode_video(tmp_path / "a.mp4"))
    reds = [np.asarray(frame)[..., 0].mean() for frame in frames]
    assert np.allclose(reds, np.arange(9) * 20, atol=6)


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ([], (64, 48)),
        (["--short_side", "24"], (32, 24)),
        (["--short_side", "99"], (64, 48)),  # smaller videos keep their size
        (["--size", "50", "70"], (50, 70)),
    ],
)
def test_sizes(here: Path, flags: list[str], size: tuple[int, int]) -> None:
    run(*flags)
    assert Image.open(here / "frames" / "a b" / "00001.jpg").size == size


def test_a_tall_video_is_shrunk_by_its_width(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 2, (48, 100))
    Extraction(short_side=24)(tmp_path / "a.mp4", tmp_path / "a")
    assert Image.open(tmp_path / "a" / "00001.jpg").size == (24, 50)


def test_archives_hold_the_same_files(here: Path) -> None:
    run()
    extract_frames.main(["videos.txt", "videos", "packed", "packed.txt", "--pack"])
    assert (here / "packed.txt").read_text() == (here / "train.txt").read_text()
    assert files(here / "packed") == [".extraction.json", "a b.zip", "c/dé 'q'.zip"]
    with zipfile.ZipFile(here / "packed" / "a b.zip") as archive:
        assert archive.namelist() == [f"{number:05d}.jpg" for number in range(1, 8)]
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert archive.read(member) == (here / "frames" / "a b" / member.filename).read_bytes()


def test_png_loses_nothing(here: Path) -> None:
    run("--image_tmpl", "{:03d}.png")
    for number, frame in enumerate(decode_video(here / "videos" / "a b.mp4"), start=1):
        assert Image.open(here / "frames" / "a b" / f"{number:03d}.png").tobytes() == frame.tobytes()


def test_quality(here: Path) -> None:
    run("--quality", "10")
    extract_frames.main(["videos.txt", "videos", "good", "good.txt", "--quality", "95"])
    assert (here / "frames" / "a b" / "00003.jpg").stat().st_size < (here / "good" / "a b" / "00003.jpg").stat().st_size


def test_resuming_extracts_only_incomplete_videos(here: Path) -> None:
    run()
    frames = here / "frames"
    kept = (frames / "a b").stat().st_mtime_ns
    (frames / "c" / "dé 'q'" / "00002.jpg").unlink()
    run()
    assert (frames / "a b").stat().st_mtime_ns == kept
    assert files(frames) == WHOLE


def test_repeated_lines_of_a_train_list(here: Path) -> None:
    """A clip that is listed twice is extracted once and listed twice."""
    (here / "videos.txt").write_text("a b.mp4 1\nc/dé 'q'.mp4 0\na b.mp4 1\ngone.mp4 1\ngone.mp4 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"1 of 3 videos failed"):
        run()
    assert read_list(here / "train.txt", may_repeat=True) == [
        VideoRecord("a b", 7, 1), VideoRecord("c/dé 'q'", 5, 0), VideoRecord("a b", 7, 1),
    ]  # fmt: skip


def test_a_name_that_a_list_cannot_hold(here: Path) -> None:
    """The video's name can be listed, but that of its frames ends in a blank."""
    (here / "videos" / "a b.mp4").rename(here / "videos" / "a b .mp4")
    (here / "videos.txt").write_text("a b .mp4 1\nc/dé 'q'.mp4 0\n", encoding="utf-8")
    with pytest.raises(InputError, match="1 of 2 videos failed.*\n'a b ': .*rename it"):
        run()


def test_files_added_by_macos_are_ignored(here: Path) -> None:
    (here / "frames").mkdir()
    (here / "frames" / ".DS_Store").touch()
    run()
    added = here / "frames" / "a b" / "._00001.jpg"
    added.touch()
    run()
    assert added.exists()  # the folder is complete and stays


def test_leftovers_of_killed_runs_are_removed(here: Path) -> None:
    """But not the files of a running process, here or on another machine."""
    run()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, living = (here / "frames" / "c" / f".unfinished.{node()}.{pid}" for pid in (gone.pid, os.getppid()))
    old, new = (here / "frames" / f".unfinished.{host}.elsewhere.{gone.pid}" for host in ("old", "new"))
    for folder in (left, living, old, new):
        folder.mkdir()
        (folder / "00009.jpg").write_bytes(b"half")
    os.utime(old, (0, 0))
    run()
    assert [folder.exists() for folder in (left, living, old, new)] == [False, True, False, True]


@pytest.mark.parametrize("pack", [False, True])
def test_the_same_video_twice_at_once(tmp_path: Path, monkeypatch, pack: bool) -> None:
    """Another run ends in the middle of this one: both succeed and leave nothing but the frames."""
    video = write_video(tmp_path / "a.mp4", 5)
    frames = list(decode_video(video))

    def meanwhile(_source: Path) -> Iterator[np.ndarray]:
        yield frames[0]
        other = run_python(
            [sys.executable, "-c", f"{AS_ANOTHER_RUN}Extraction(pack={pack})(Path('a.mp4'), Path('out/a'))"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])},
        )  # fmt: skip
        assert other.returncode == 0
        yield from frames[1:]

    monkeypatch.setattr(extraction, "decode_video", meanwhile)
    assert Extraction(pack=pack)(video, tmp_path / "out" / "a") == 5
    assert files(tmp_path / "out") == (["a.zip"] if pack else numbered("a", 5))


@pytest.mark.parametrize("flags", [[], ["--pack"]])
def test_two_extractions_into_one_folder(here: Path, flags: list[str]) -> None:
    run(*flags)
    whole = {name: (here / "frames" / name).read_bytes() for name in files(here / "frames")}
    rmtree(here / "frames")
    assert exit_statuses_at_once(lambda: run(*flags)) == [0, 0]
    assert {name: (here / "frames" / name).read_bytes() for name in files(here / "frames")} == whole
    assert [record.num_frames for record in read_list(here / "train.txt")] == [7, 5]


def test_workers_end_with_a_killed_main_process(tmp_path: Path) -> None:
    program = f"""{AS_ANOTHER_RUN}
from datasets.preparing import extraction
from datasets.preparing import parallel
parallel.PARENT_POLL = 0.05
def work(_item):
    print(os.getpid(), flush=True)
    time.sleep(0.2)
parallel.in_processes(work, range(1000), "waiting", 2)
"""
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    main = subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True)
    assert main.stdout is not None
    main.stdout.readline()
    main.kill()
    main.wait()
    main.stdout.read()  # to its end: until all workers have closed it


@pytest.mark.parametrize("damage", [b"", b"PK half"])
def test_a_damaged_archive_is_replaced(here: Path, damage: bytes) -> None:
    run("--pack")
    (here / "frames" / "a b.zip").write_bytes(damage)
    run("--pack")
    assert zipfile.ZipFile(here / "frames" / "a b.zip").testzip() is None


def test_a_changed_video_is_extracted_again(here: Path) -> None:
    run()
    write_video(here / "videos" / "a b.mp4", 4)
    run()
    assert read_list(here / "train.txt")[0].num_frames == 4
    assert len(files(here / "frames" / "a b")) == 4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--quality", "80"], "quality 90, now 80"),
        (["--short_side", "24"], "short_side None, now 24"),
        (["--size", "32", "24"], r"size None, now \[32, 24\]"),
        (["--fps", "5"], "fps None, now 5"),
        (["--image_tmpl", "{:06d}.jpg"], "image_tmpl"),
        (["--pack"], "pack False, now True"),
    ],
)
def test_frames_made_differently_are_refused(here: Path, flags: list[str], words: str) -> None:
    run()
    with pytest.raises(InputError, match=f"frames made with .*{words}.*another folder"):
        run(*flags)
    assert files(here / "frames") == WHOLE


def test_a_folder_with_other_files_is_refused(here: Path) -> None:
    (here / "frames" / "a b").mkdir(parents=True)
    with pytest.raises(InputError, match="has files that were not made by this script"):
        run()
    (here / "frames" / ".extraction.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        run()


def test_videos_that_fail_are_named_with_the_reason(here: Path) -> None:
    videos = here / "videos"
    (videos / "text.mp4").write_bytes(b"no video")
    (videos / "empty.mp4").write_bytes(b"")
    write_sound(videos / "sound.wav")
    whole = write_video(videos / "cut.avi", 30, codec="mjpeg", pix_fmt="yuvj420p").read_bytes()
    (videos / "cut.avi").write_bytes(whole[: len(whole) // 2])
    names = ["text.mp4", "empty.mp4", "sound.wav", "cut.avi", "gone.mp4"]
    with (here / "videos.txt").open("a") as file:
        file.writelines(f"{name} 1\n" for name in names)
    with pytest.raises(InputError) as error:
        run()
    assert "5 of 7 videos failed, left out of the list; reasons in train.txt.failed.txt:" in str(error.value)
    assert "and 2 more" in str(error.value)
    reasons = dict(line.split("\t") for line in (here / "train.txt.failed.txt").read_text().splitlines())
    assert list(reasons) == names
    words = ["cannot be opened", "cannot be opened", "no video stream", "cannot be decoded", "there is no video file"]
    assert all(part in reasons[name] for name, part in zip(names, words, strict=True)), reasons
    assert [record.path for record in read_list(here / "train.txt")] == ["a b", "c/dé 'q'"]
    assert files(here / "frames") == WHOLE  # nothing half-written
    (here / "videos.txt").write_text("a b.mp4 1\n")
    run()
    assert not (here / "train.txt.failed.txt").exists()


@pytest.mark.usefixtures("forked_workers")
def test_an_unforeseen_error_fails_one_video(here: Path, monkeypatch) -> None:
    extract = Extraction.__call__

    def fail(self: Extraction, source: Path, target: Path) -> int:
        if source.name == "a b.mp4":
            raise RuntimeError("a new one")
        return extract(self, source, target)

    monkeypatch.setattr(Extraction, "__call__", fail)
    with pytest.raises(InputError, match="1 of 2 videos failed"):
        run()
    assert "a b.mp4 cannot be read (RuntimeError: a new one)" in (here / "train.txt.failed.txt").read_text()
    assert [record.path for record in read_list(here / "train.txt")] == ["c/dé 'q'"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("a.mp4", r"videos\.txt:1: 'a\.mp4' does not end in a whole number"),
        ("a.mp4 0\na.avi 0", r"'a\.avi' and 'a\.mp4' would both be extracted to a"),
        ("a.mp4 0\na/b/c.mp4 0", r"'a/b/c\.mp4' would be extracted into the frames of 'a\.mp4'"),
        ("/a.mp4 0", r"'/a\.mp4'; give paths below"),
        ("b/../../a.mp4 0", "give paths below"),
        ("", "no clips"),
    ],
)
def test_bad_lists(here: Path, lines: str, words: str) -> None:
    (here / "videos.txt").write_text(f"{lines}\n")
    with pytest.raises(InputError, match=words):
        run()
    assert not (here / "frames").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--size", "0", "10"], "--size"),
        (["--size", "10"], "--size"),
        (["--size", "10", "10", "--short_side", "10"], "not allowed with"),
        (["--fps", "0"], "above 0"),
        (["--quality", "96"], "at most 95"),
        (["-j", "0"], "1 or more"),
    ],
)
def test_bad_numbers(here: Path, flags: list[str], words: str, capsys) -> None:
    with pytest.raises(SystemExit):
        run(*flags)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("template", ["{:05d}", "{}.mp3", "{}.pdf", "frame.jpg", "x/{:05d}.jpg", "../{:05d}.jpg"])
def test_bad_templates(here: Path, template: str) -> None:
    with pytest.raises(InputError, match="--image_tmpl"):
        run("--image_tmpl", template)
    assert not (here / "frames").exists()


@pytest.mark.parametrize("paths", [["/proc/no/frames", "train.txt"], ["frames", "/proc/no/train.txt"]])
def test_places_that_cannot_be_written(here: Path, paths: list[str]) -> None:
    with pytest.raises(InputError, match="cannot write.*/proc/no"):
        extract_frames.main(["videos.txt", "videos", *paths])


def test_wrong_places(here: Path) -> None:
    with pytest.raises(InputError, match="is the list of the videos"):
        extract_frames.main(["videos.txt", "videos", "frames", "./videos.txt"])
    with pytest.raises(InputError, match="no folder gone; VIDEO_ROOT"):
        extract_frames.main(["videos.txt", "gone", "frames", "train.txt"])
    assert sorted(path.name for path in here.iterdir()) == ["videos", "videos.txt"]


@pytest.mark.usefixtures("forked_workers")
@pytest.mark.parametrize("flags", [[], ["--pack"]])
def test_a_full_disk(here: Path, flags: list[str], monkeypatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        patch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(InputError, match="No space left on device; .*rerun the same command"):
            run(*flags)
    assert files(here / "frames") == [".extraction.json"]
    assert not (here / "train.txt").exists()
    run(*flags)
    assert len(read_list(here / "train.txt")) == 2


@pytest.mark.usefixtures("forked_workers")
def test_a_killed_worker(here: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Extraction, "__call__", lambda *_args: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(InputError, match="a process was killed.*-j 1"):
            run()
    run()
    assert files(here / "frames") == WHOLE


def test_ctrl_c(here: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(parallel, "track", stop_after_first)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert not (here / "train.txt").exists()
    run()
    assert files(here / "frames") == WHOLE


@pytest.mark.parametrize(
    ("times", "fps", "numbers"),
    [
        ([0, 0.1, 0.2, 0.3], 10, [0, 1, 2, 3]),
        ([0, 0.1, 0.2, 0.3], 5, [0, 2]),
        ([0, 0.1, 0.2, 0.3], 30, [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]),
        ([0, 0.033, 0.067, 0.1, 0.133, 0.167], 30, [0, 1, 2, 3, 4, 5]),  # times rounded to milliseconds
        ([0, 0.1, 0.9, 1.0], 4, [0, 1, 2, 2, 3]),  # a variable rate, with a still picture
        ([0], 25, [0]),
    ],
)
def test_a_constant_rate(times: list[float], fps: float, numbers: list[int]) -> None:
    assert frames_at_rate(times, fps) == numbers


@given(st.lists(st.floats(0.01, 0.5), max_size=60), st.floats(0.5, 60))
def test_a_constant_rate_shows_the_nearest_frame(steps: list[float], fps: float) -> None:
    times = np.cumsum([0, *steps])
    numbers = frames_at_rate(times.tolist(), fps)
    assert numbers
    for moment, number in enumerate(numbers):
        distances = np.abs(times - moment / fps)
        assert distances[number] <= distances.min() + 1e-9


def test_fps_writes_these_frames(here: Path) -> None:
    run("--fps", "5")
    reds = [
        np.asarray(Image.open(here / "frames" / "a b" / f"{number:05d}.jpg"))[..., 0].mean() for number in range(1, 5)
    ]
    assert np.allclose(reds, [0, 40, 80, 120], atol=6)
    assert read_list(here / "train.txt")[0].num_frames == 4
    run("--fps", "5")  # and recognises them


def test_a_video_without_times_has_no_rate(here: Path) -> None:
    write_video(here / "videos" / "raw.h264", 5, codec="libx264")
    (here / "videos.txt").write_text("raw.h264 0\n")
    with pytest.raises(InputError, match="lacks the times of its frames"):
        run("--fps", "5")


def joined(path: Path) -> None:
    """Double the file, so that its times restart in the middle."""
    path.write_bytes(path.read_bytes() * 2)


def start_in_the_middle(path: Path) -> None:
    with av.open(str(path)) as source, av.open(str(path.with_stem("copy")), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][20:]:
            packet.stream = stream
            copy.mux(packet)
    path.with_stem("copy").replace(path)


@pytest.mark.parametrize(
    ("name", "codec", "change"),
    [
        ("b_frames.avi", "mpeg4", None),  # as UCF101
        ("b_frames.mpg", "mpeg2video", None),
        ("joined.ts", "libx264", joined),
        ("joined.mpg", "mpeg2video", joined),
        ("cut.mkv", "libx265", start_in_the_middle),
    ],
)
def test_fps_of_videos_whose_last_frames_come_without_a_packet(
    tmp_path: Path, name: str, codec: str, change: Callable[[Path], None] | None
) -> None:
    options = {"x265-params": "bframes=3:keyint=12:log-level=none"} if codec == "libx265" else {"bf": "2"}
    path = write_video(tmp_path / name, 45 if change is joined else 90, codec=codec, options=options, rate=30)
    if change:
        change(path)
    frames = sum(1 for _ in decode_video(path))
    assert frames == 90 or change is start_in_the_middle
    assert Extraction(fps=10)(path, tmp_path / "out") == round(frames / 3)


def test_fps_of_a_video_without_a_frame(here: Path) -> None:
    video = write_video(here / "videos" / "cut.webm", 30, codec="libvpx")
    content = video.read_bytes()
    video.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75") + 12])  # to the head of the first cluster
    with (here / "videos.txt").open("a") as file:
        file.write("cut.webm 1\n")
    with pytest.raises(InputError, match="1 of 3 videos failed"):
        run("--fps", "5")
    assert [record.path for record in read_list(here / "train.txt")] == ["a b", "c/dé 'q'"]
