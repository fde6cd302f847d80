"""scripts/check_data.py and train.py --check_data: each kind of bad row, its fix, and the clean lists."""

import re
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import av
import pytest
from video_files import CLASSES, damage_frame, own_data_flags, write_dataset, write_frames, write_sound, write_video

import train
from common.errors import InputError
from datasets.lists import VideoRecord, read_list
from datasets.preparing import parallel, rows
from datasets.reading.readers import Reader, open_record
from scripts.check_data import main


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Frame folders "train 0" ... "train 3" and "val 0" ... "val 2" with 5, 6, ... frames."""
    return write_dataset(tmp_path / "own", train=4, val=3, num_frames=5)


def check(own: Path, capsys, *flags: str) -> tuple[int, str]:
    """Exit status and what was printed."""
    try:
        main(["mine", *own_data_flags(own), "-j", "1", *flags])
        status = 0
    except SystemExit as stop:
        status = stop.code
    return status, capsys.readouterr().out


def test_good_data(own: Path, capsys) -> None:
    status, out = check(own, capsys, "--decode")
    assert status == 0
    assert f"{own / 'train.txt'}: 4 rows, 4 good, 0 bad" in out
    assert "note" not in out
    assert [line.split()[0] for line in out.splitlines() if "#" in line] == [
        "2",
        "1",
        "1",
        "1",
        "1",
        "1",
    ]  # a histogram


def test_parts_of_a_video_in_two_lists(own: Path, capsys) -> None:
    (own / "train.txt").write_text("train 0 1f 3f 0\ntrain 1 1f 2f 1\ntrain 2 7 2\n")
    (own / "val.txt").write_text("train 0 3f 5f 0\ntrain 1 2f 5f 1\ntrain 2 1f 2f 2\n")
    status, out = check(own, capsys)
    assert status == 0
    assert re.search(r"note: 1 clip overlapping in time .*train\.py.*: train 2 1f 2f\n", out)


@pytest.mark.parametrize(
    ("line", "words", "clean"),
    [
        ("path", ["'path'", "a whole number, the label"], None),
        ("gone 5 0", ["no frame folder", "gone"], None),
        ("train 0 7 0", ["'train 0' has 5 frames, the list says 7", "write 5"], VideoRecord("train 0", 5, 0)),
        ("train 0 4 0", ["'train 0' has 5 frames, the list says 4", "write 5"], VideoRecord("train 0", 5, 0)),
        ("train 0 5 3", ["label 3", "1-based"], None),
        ("train 0 0 0", ["0 frames"], None),
        ("val 2 7 2", ["'val 2'", "val.txt:3"], None),
        ("late 3 0", ["late: its frames start at number 4"], None),
        ("gap 3 0", ["gap: frame 2 is missing"], None),
        ("named 3 0", ["give --image_tmpl 'img_{:05d}.jpg'"], None),
        ("zero 3 0", ["'zero' has 2 frames (and a frame 0", "write 2"], VideoRecord("zero", 2, 0)),
        ("empty.mp4 0", ["empty.mp4 is an empty file"], None),
        ("train 0 2f 6f 0", ["'train 0 2f 6f' ends after the video's 5 frames"], None),
        ("train 0 1s 2s 0", ["write the window 1s 2s in frames"], None),
        ("whole.mp4 5 9 0", ["'whole.mp4 5f 9f' ends after the video's 8 frames"], None),
        ("whole.mp4 1s 2s 0", ["whole.mp4 has no frame in the window 1s 2s"], None),
    ],
)
def test_a_bad_row_is_named_with_its_fix(
    own: Path, capsys, line: str, words: list[str], clean: VideoRecord | None
) -> None:
    frames = own / "frames"
    for name, numbers, tmpl in (
        ("late", (4, 5), "{:05d}.jpg"),
        ("gap", (1, 3), "{:05d}.jpg"),
        ("zero", (0, 1, 2), "{:05d}.jpg"),
        ("named", (1, 2), "img_{:05d}.jpg"),
    ):
        (frames / name).mkdir()
        for number in numbers:
            (frames / name / tmpl.format(number)).touch()
    (frames / "empty.mp4").touch()
    write_video(frames / "whole.mp4", 8, codec="libx264")
    others = (own / "train.txt").read_text().splitlines()[1:]
    (own / "train.txt").write_text("\n".join([line, "", *others]) + "\n")
    status, out = check(own, capsys, "--write_clean", str(own / "clean"))
    assert status == 1
    place = f"{own / 'train.txt'}:{3 if line.startswith('train 1') else 1}: "
    (fault,) = [text for text in out.splitlines() if text.startswith(f"{own / 'train.txt'}:") and " rows, " not in text]
    assert fault.startswith(place)
    assert all(word in fault for word in words), fault
    records = read_list(own / "clean" / "train.txt", 3)
    kept = [VideoRecord(f"train {i}", 5 + i, i % 3) for i in (1, 2, 3)]
    assert records == ([clean, *kept] if clean else kept)
    assert (own / "clean" / "val.txt").read_text() == (own / "val.txt").read_text()


@pytest.mark.parametrize("decode", [[], ["--decode"]])
def test_good_windows_and_several_labels(own: Path, capsys, decode: list[str]) -> None:
    write_video(own / "frames" / "long.mp4", 20)
    lines = "long.mp4 1 8 0\nlong.mp4 1.0s 1.9s 0,2\ntrain 0 2f 5f 1\ntrain 0 5 2\n"
    (own / "train.txt").write_text(lines)
    status, out = check(own, capsys, "--write_clean", str(own / "clean"), *decode)
    assert (status, "4 rows, 4 good" in out) == (0, True)
    assert re.findall(r"(\d)  #+ +(\d)", out)[:3] == [("2", "0"), ("2", "2"), ("1", "1")]
    assert (own / "clean" / "train.txt").read_text() == lines.replace("1 8", "1f 8f").replace("1.0s", "1s")


def test_bad_rows_of_one_kind_are_counted(own: Path, capsys) -> None:
    with (own / "val.txt").open("a") as file:
        file.writelines(f"gone/my clip {'xyz'[i % 3]} {i}.mp4 5 0\n" for i in range(60))
        file.write("other 5 7\n")
    status, out = check(own, capsys)
    assert status == 1
    assert out.count("no frame folder") == 3
    assert "... and 57 more rows like this (--show 60 for all)" in out
    assert "val.txt:64: label 7" in out
    assert check(own, capsys, "--show", "60")[1].count("no frame folder") == 60


def test_two_labels_of_one_clip(own: Path, capsys) -> None:
    with (own / "train.txt").open("a") as file:
        file.write("train 1 6 0\n")
    _, out = check(own, capsys)
    assert f"{own / 'train.txt'}:5: 'train 1' is in line 2 already, with label 1" in out


def test_without_a_good_row_there_is_no_histogram(own: Path, capsys) -> None:
    (own / "val.txt").write_text("gone 1 5 0\n")
    status, out = check(own, capsys)
    assert status == 1
    val = out[out.index(f"{own / 'val.txt'}: 1 row, 0 good, 1 bad") :]
    assert "note: 3 of 3 classes without a good clip" in val
    assert len(val.splitlines()) == 2


def test_repeated_lines_of_the_train_list(own: Path, capsys) -> None:
    """Good in a train list, and kept in a clean one; bad in a val list."""
    for name in ("train", "val"):
        text = (own / f"{name}.txt").read_text()
        (own / f"{name}.txt").write_text(text + text)
    status, out = check(own, capsys, "--write_clean", str(own / "clean"))
    assert status == 1
    assert "train.txt: 8 rows, 8 good, 0 bad" in out
    assert "note: 4 repeated lines" in out
    assert "val.txt: 6 rows, 3 good, 3 bad" in out
    assert (own / "clean" / "train.txt").read_text() == (own / "train.txt").read_text()


def damaged(own: Path) -> Path:
    """Damage an image of "train 1" and add video files to both lists; returns the folder of the media."""
    frames = own / "frames"
    (frames / "train 1" / "00003.jpg").write_bytes(b"no image")
    write_video(frames / "good.mp4", 6, codec="libx264")
    write_video(frames / "b_frames.avi", 6)
    with (own / "train.txt").open("a") as file:
        file.write("b_frames.avi 0\n")
    with (own / "val.txt").open("a") as file:
        file.write("b_frames.avi 9 0\ngood.mp4 0\n")
    return frames


def test_decoding_finds_damaged_images_and_wrong_counts(own: Path, capsys) -> None:
    damaged(own)
    (own / "train.txt").write_text((own / "train.txt").read_text().replace("b_frames.avi 0\n", ""))
    status, out = check(own, capsys)
    assert status == 0  # MPEG-4 packets are not frames
    assert "note: 2 video files opened but not decoded (1 frame count of the list not verified); scripts/" in out
    status, out = check(own, capsys, "--decode")
    assert status == 1
    assert "opened" not in out
    assert f"{own / 'train.txt'}:2: " in out
    assert "00003.jpg cannot be read" in out
    assert "'b_frames.avi' has 6 frames, the list says 9; write 6" in out


def test_decoding_finds_damaged_frames(own: Path, capsys) -> None:
    damage_frame(write_video(own / "frames" / "a.mp4", 40, codec="libx264", options={"g": "12", "bf": "2"}), 12)
    with (own / "train.txt").open("a") as file:
        file.write("a.mp4 40 0\n")
    assert check(own, capsys)[0] == 0
    status, out = check(own, capsys, "--decode")
    assert status == 1
    assert "a.mp4 cannot be decoded to its end (a frame is damaged)" in out


@pytest.mark.parametrize(("name", "codec"), [("cut.avi", "mpeg4"), ("cut.webm", "libvpx"), ("cut.mkv", "libx264")])
@pytest.mark.parametrize("flags", [[], ["--decode"]])
def test_a_video_that_lost_its_end_is_bad(own: Path, capsys, name: str, codec: str, flags: list[str]) -> None:
    video = write_video(own / "frames" / name, 60, codec=codec)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    with (own / "train.txt").open("a") as file:
        file.write(f"{name} 0\n")
    status, out = check(own, capsys, *flags)
    assert status == 1
    assert f"{own / 'train.txt'}:5: {video} is not whole (it breaks off" in out


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("text.mp4", "text.mp4 0", "text.mp4 cannot be opened"),
        ("sound.wav", "sound.wav 0", "sound.wav has no video stream"),
        ("picture.jpg", "picture.jpg 0", "picture.jpg is a picture"),
        ("short.mp4", "short.mp4 100 0", "'short.mp4' has 6 frames, the list says 100; write 6"),
    ],
)
def test_video_files_are_opened(own: Path, capsys, name: str, row: str, words: str) -> None:
    path = own / "frames" / name
    if name == "text.mp4":
        path.write_text("no video")
    elif name == "sound.wav":
        write_sound(path)
    elif name == "picture.jpg":
        (own / "frames" / "train 0" / "00001.jpg").rename(path)
        write_frames(own / "frames" / "new", 5)
        (own / "frames" / "new" / "00001.jpg").rename(own / "frames" / "train 0" / "00001.jpg")
    else:
        write_video(path, 6, codec="libx264")
    with (own / "train.txt").open("a") as file:
        file.write(f"{row}\n")
    status, out = check(own, capsys)
    assert status == 1
    assert f"{own / 'train.txt'}:5: " in out
    assert words in out


def test_one_clip_in_two_spellings(own: Path, capsys) -> None:
    with (own / "train.txt").open("a") as file:
        file.write("./val 1 6 0\nx/../train 0 5 0\n")
    _, out = check(own, capsys)
    assert f"train.txt:5: './val 1' is also at {own / 'val.txt'}:2" in out
    assert "train.txt:6: 'x/../train 0' is in line 1 already" in out


def test_backslashes_in_names_are_not_doubled(own: Path, capsys) -> None:
    write_video(own / "frames" / r"b\c.mp4", 6, codec="libx264")
    with (own / "train.txt").open("a") as file:
        file.write("b\\c.mp4 7 0\n")
    assert r"train.txt:5: 'b\c.mp4' has 6 frames" in check(own, capsys)[1]


def test_clean_lists_are_clean(own: Path, capsys) -> None:
    """A row with one corrected fault may have another."""
    frames = own / "frames"
    (frames / "train 1" / "00002.jpg").write_bytes(b"no image")
    write_video(frames / "short.mp4", 6, codec="libx264")
    rows = ["train 0 7 0", "train 1 9 1", "train 2 7 2", "train 3 8 0", "val 0 9 1", "short.mp4 9 2"]
    (own / "train.txt").write_text("\n".join(rows))
    clean = own / "clean"
    status, out = check(own, capsys, "--decode", "--write_clean", str(clean))
    assert status == 1
    assert "train.txt:2: 'train 1' has 6 frames, the list says 9; write 6, or extract the video again; also: " in out
    assert "train.txt:5: 'val 0' has 5 frames, the list says 9; write 5, or extract the video again; also: " in out
    kept = [("train 0", 5, 0), ("train 2", 7, 2), ("train 3", 8, 0), ("short.mp4", 6, 2)]
    assert read_list(clean / "train.txt") == [VideoRecord(*record) for record in kept]
    (own / "train.txt").write_bytes((clean / "train.txt").read_bytes())
    (own / "val.txt").write_bytes((clean / "val.txt").read_bytes())
    status, out = check(own, capsys, "--decode")
    assert status == 0, out


def stop_decoding(monkeypatch, error: BaseException) -> None:
    """Make the decoding of the train list end after three rows."""

    def track(items, total, title, *_args):
        for count, item in enumerate(items):
            if title == "decoding train videos" and count == 3:
                raise error
            yield item

    monkeypatch.setattr(parallel, "track", track)


def test_ctrl_c_shows_what_was_found(own: Path, capsys, monkeypatch) -> None:
    damaged(own)
    stop_decoding(monkeypatch, KeyboardInterrupt())
    status, out = check(own, capsys, "--decode", "--write_clean", str(own / "clean"))
    assert status == 130
    assert "00003.jpg cannot be read" in out
    assert "note: only 3 of 5 rows decoded" in out
    assert "note: only 0 of 5 rows decoded" in out
    assert not (own / "clean").exists()


def test_a_killed_worker(own: Path, capsys, monkeypatch) -> None:
    damaged(own)
    stop_decoding(monkeypatch, BrokenProcessPool())
    with pytest.raises(InputError, match="a process was killed.*-j 1.*results so far are above"):
        check(own, capsys, "--decode")
    assert "00003.jpg cannot be read" in capsys.readouterr().out


@pytest.mark.usefixtures("forked_workers")
def test_an_unforeseen_error(own: Path, capsys, monkeypatch) -> None:
    """It makes one row bad."""
    damaged(own)

    def opened(root: Path, record: VideoRecord, image_tmpl: str) -> Reader:
        if record.path == "train 2":
            raise RuntimeError("a new one")
        return open_record(root, record, image_tmpl)

    monkeypatch.setattr(rows, "open_record", opened)
    status, out = check(own, capsys, "--decode")
    assert status == 1
    assert "train 2 cannot be read (RuntimeError: a new one)" in out
    assert "00003.jpg cannot be read" in out


def test_an_unforeseen_error_without_decoding(own: Path, capsys, monkeypatch) -> None:
    write_video(own / "frames" / "good.mp4", 6)

    def fail(*_arguments) -> None:
        raise RuntimeError("a new one")

    monkeypatch.setattr(rows, "require_whole", fail)
    with (own / "train.txt").open("a") as file:
        file.write("good.mp4 0\n")
    status, out = check(own, capsys)
    assert status == 1
    assert f"train.txt:5: {own / 'frames' / 'good.mp4'} cannot be read (RuntimeError: a new one)" in out


def test_a_video_file_with_a_listed_count_is_opened_once(own: Path, capsys, monkeypatch) -> None:
    video = write_video(own / "frames" / "good.mp4", 20, codec="libx264")
    opened, really = [], av.open
    monkeypatch.setattr(av, "open", lambda name, **options: (opened.append(name), really(name, **options))[1])
    with (own / "train.txt").open("a") as file:
        file.write("good.mp4 20 0\n")
    assert check(own, capsys)[0] == 0
    assert opened == [str(video)]


def test_a_video_whose_packets_end_too_early(own: Path, capsys) -> None:
    """The header counts as many frames as the list, and the container does not reveal the missing end."""
    video = write_video(own / "frames" / "cut.flv", 60, codec="libx264")
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    with (own / "train.txt").open("a") as file:
        file.write("cut.flv 60 0\n")
    status, out = check(own, capsys)
    assert status == 1
    assert f"{video} is not whole (it breaks off" in out


def test_fewer_packets_than_frames_in_the_list(own: Path, capsys) -> None:
    """Packets whose times do not tell the frames still limit their number."""
    video = write_video(own / "frames" / "joined.ts", 20, codec="libx264")
    video.write_bytes(video.read_bytes() * 2)
    with (own / "train.txt").open("a") as file:
        file.write("joined.ts 40 0\n")
    assert check(own, capsys)[0] == 0
    (own / "train.txt").write_text((own / "train.txt").read_text().replace(" 40 0", " 41 0"))
    status, out = check(own, capsys)
    assert status == 1
    assert f"train.txt:5: {video} has 40 frames at most, the list says 41" in out


def test_remarks(own: Path, capsys) -> None:
    """A class without clips, labels from 1, frames from 0, and another template."""
    (own / "train.txt").write_text("train 1 6 1\ntrain 2 7 2\n")
    (own / "frames" / "train 1" / "00000.jpg").touch()
    status, out = check(own, capsys)
    assert status == 0
    assert f"note: 1 of 3 classes without a good clip: {CLASSES[0]}; are the labels counted from 1?" in out
    assert "note: 1 video with a frame 0, which is not used" in out
    out = check(own, capsys, "--image_tmpl", "img_{:05d}.jpg")[1]
    assert out.count("its frames are named {:05d}.jpg: give --image_tmpl '{:05d}.jpg'") == 5


def test_the_published_size_and_a_long_histogram(tmp_path: Path, capsys) -> None:
    classes = tuple(f"class {i}" for i in range(174))
    write_dataset(tmp_path / "somethingv1", train=3, val=3, classes=classes)
    main(["something", "--data_root", str(tmp_path)])
    out = capsys.readouterr().out
    assert "note: 3 clips listed; 86,017 published" in out
    assert "... 158 classes between ..." in out
    assert len(out.splitlines()) < 50


def test_the_published_size_is_that_of_the_list(tmp_path: Path, capsys) -> None:
    home = write_dataset(tmp_path / "ucf101", train=3, val=3, classes=tuple(f"class {i}" for i in range(101)))
    lists = [f"--{which}_list={home / f'{which}_split2.txt'}" for which in ("train", "val")]
    for which in ("train", "val"):
        (home / f"{which}.txt").rename(home / f"{which}_split2.txt")
    main(["ucf101", "--data_root", str(tmp_path), *lists])
    out = capsys.readouterr().out
    assert "note: 3 clips listed; 9,586 published" in out
    assert "note: 3 clips listed; 3,734 published" in out
    (home / "val_split2.txt").rename(home / "val_mine.txt")
    main(["ucf101", "--data_root", str(tmp_path), lists[0], f"--val_list={home / 'val_mine.txt'}"])
    assert "3,734 published" not in capsys.readouterr().out


def test_clean_lists_never_replace_the_checked_ones(own: Path, capsys) -> None:
    with pytest.raises(InputError, match="--write_clean .* would replace the list"):
        check(own, capsys, "--write_clean", str(own))
    (own / "val.txt").write_text("gone 3 0\n")
    with pytest.raises(InputError, match="no good row"):
        check(own, capsys, "--write_clean", str(own / "clean"))
    assert not (own / "clean").exists()


def test_train_checks_first_and_stops_at_bad_rows(own: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(own)
    monkeypatch.setattr("train.fit", lambda *args: None)
    flags = ["mine", *own_data_flags(own), "--check_data", "--arch", "resnet10", "--num_segments", "2", "-j", "0",
             "--input_size", "32", "--epochs", "1", "-b", "2"]  # fmt: skip
    train.main(flags)
    assert "train.txt: 4 rows, 4 good, 0 bad" in capsys.readouterr().out
    write_frames(own / "frames" / "more", 3)
    with (own / "train.txt").open("a") as file:
        file.write("more 4 0\n")
    with pytest.raises(InputError, match=r"train\.txt:5: 'more' has 3 frames, the list says 4"):
        train.main([*flags, "--suffix", "second"])
    assert [path.name for path in (own / "runs").iterdir()] == ["H2CN_mine_resnet10_2f"]


def test_a_test_list_without_labels(tmp_path: Path, capsys) -> None:
    """It has no histogram; another list needs its labels."""
    own = write_dataset(tmp_path / "mine", train=4, val=3, num_frames=5)
    (own / "test.txt").write_text("val 0 5 -1\nval nine\n")
    (own / "val.txt").write_text("val 1 6 1\nval 2 -1\n")
    with pytest.raises(SystemExit):
        main(["mine", "--data_root", str(tmp_path)])
    out = capsys.readouterr().out
    assert "val.txt:2: label -1 is outside 0 ... 2" in out
    assert "test.txt:2: there is no frame folder" in out
    assert out.endswith("test.txt: 2 rows, 1 good, 1 bad\n")
