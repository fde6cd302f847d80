"""predict.py as a whole, with an untrained network: views as in tests, windows, live sources, output files, faults."""

import csv
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from checkpoint_files import write_checkpoint
from video_files import CLASSES, write_dataset, write_frames, write_video

import predict
import test_models_center_crop as center_crop
from common.errors import InputError
from datasets.reading import timed_frames
from datasets.reading.timed_frames import TimedFrames
from ops.models import build_model
from ops.scoring.merge import merge_clips
from ops.scoring.pickles import pickle_path, read_scores
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import save_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]


@pytest.fixture(scope="module")
def home(tiny_network, tmp_path_factory) -> Path:
    """A folder with a data set (own/), a video of 4 seconds (v.mkv) and a checkpoint (c.pth.tar)."""
    home = tmp_path_factory.mktemp("home")
    write_dataset(home / "own", train=1, val=3)
    write_video(home / "v.mkv", 40)
    trained_on = TrainedOn("Tiny", "none", 2, "mine", list(CLASSES), 32, "", "", "")
    torch.manual_seed(0)
    state = build_model("Tiny", None, len(CLASSES), 2).state_dict()
    state["fc.weight"] *= 30  # so that probabilities differ
    save_checkpoint(home / "c.pth.tar", {"state_dict": state, "trained_on": vars(trained_on)})
    return home


@pytest.fixture(autouse=True)
def _here(home: Path, tmp_path: Path, monkeypatch) -> None:
    """Run in an empty folder with links to all that is in `home`."""
    monkeypatch.chdir(tmp_path)
    for path in home.iterdir():
        Path(path.name).symlink_to(path)


def run(*flags: str) -> None:
    predict.main([*flags, "--weights", "c.pth.tar"])


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("clips", "crops"), [(1, 1), (2, 3)])
def test_probabilities_are_those_of_the_test_scripts(clips: int, crops: int, capsys) -> None:
    """For frame folders and video files."""
    for number, lines in enumerate([Path("own/val.txt").read_text(), "v.mkv 39 0\n"]):
        Path(f"{number}.txt").write_text(lines)
        root = "." if number else "own/frames"
        data = ["--root_path", root, "--val_list", f"{number}.txt", "--classes", "own/classes.txt"]
        flags = ["--weights", "c.pth.tar", "--clip_index", f"0-{clips - 1}", "-j", "0", "--output_dir", f"s{number}"]
        center_crop.main([*data, *flags], crops=crops)
        views = [
            [read_scores(pickle_path(Path(f"s{number}"), clip, crop)) for crop in range(crops)] for clip in range(clips)
        ]
        *_, expected = merge_clips(views, views[0][0])
        run(
            f"{number}.txt", "--root_path", root, "-j", "0", "--json", "p.json", "--clips", str(clips),
            "--crops", str(crops),
        )  # fmt: skip
        found = json.loads(Path("p.json").read_text())["predictions"]
        assert [video["video"] for video in found] == list(views[0][0].video_ids)
        for video, shares in zip(found, expected, strict=True):
            of = {entry["name"]: entry["probability"] for entry in video["classes"]}
            assert [of[name] for name in CLASSES] == pytest.approx(shares.tolist(), rel=1e-5)
    assert "v.mkv\n" not in capsys.readouterr().out.splitlines()  # one video has no heading


def test_a_bad_file_does_not_stop_the_others(capsys) -> None:
    """Also in worker processes; each video has a heading, also one that is given twice."""
    Path("mixed").mkdir()
    Path("mixed/b.mp4").write_text("text")
    for name in "ac":
        Path(f"mixed/{name}.mkv").symlink_to(Path("v.mkv").resolve())
    with pytest.raises(SystemExit) as stopped:
        run("mixed", "mixed/c.mkv", "-j", "2", "--csv", "new/p.csv", "--top", "2")
    assert stopped.value.code == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if "%" not in line] == ["mixed/a.mkv", *2 * ["mixed/c.mkv"]]
    assert "error: mixed/b.mp4 is a text file" in err
    assert "1 of 4" in err
    assert [row["video"] for row in rows("new/p.csv")] == ["mixed/a.mkv", *2 * ["mixed/c.mkv"]]
    assert set(rows("new/p.csv")[0]) == {"video", "class_1", "probability_1", "class_2", "probability_2"}


def test_a_table_that_cannot_be_written_does_not_stop_the_other(capsys, monkeypatch) -> None:
    def full(*_args):
        raise InputError("cannot write p.csv")

    monkeypatch.setattr(predict, "write_prediction_csv", full)
    for sources in (["v.mkv"], ["v.mkv", "own/frames/val 0"]):
        with pytest.raises(InputError, match=r"cannot write p\.csv"):
            run(*sources, "-j", "0", "--csv", "p.csv", "--json", "p.json")
        assert len(json.loads(Path("p.json").read_text())["predictions"]) == len(sources)
    assert "could not be classified" not in capsys.readouterr().err


def test_a_network_that_fails_leaves_what_came_before(monkeypatch) -> None:
    shares = iter([np.full(len(CLASSES), 1 / len(CLASSES))])

    def classify(*_args, **_options):
        for found in shares:
            return found
        raise InputError("not finite")

    monkeypatch.setattr(predict, "class_probabilities", classify)
    with pytest.raises(InputError, match="not finite"):
        run("v.mkv", "own/frames/val 0", "-j", "0", "--csv", "p.csv")
    assert [row["video"] for row in rows("p.csv")] == ["v.mkv"]


def test_windows_with_timeline_and_video(capsys) -> None:
    """A window as long as the video has the prediction of the video."""
    run("v.mkv", "--window", "1.5", "--stride", "1", "--csv", "p.csv", "--timeline", "t.png", "--save", "o.mp4")
    assert [(row["start"], row["end"]) for row in rows("p.csv")] == [
        ("0.000", "1.500"), ("1.000", "2.500"), ("2.000", "3.500"), ("2.500", "4.000"),
    ]  # fmt: skip
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert Path("t.png").stat().st_size > 5000
    with av.open("o.mp4") as saved:
        assert sum(1 for _ in saved.decode(video=0)) == 40
    run("v.mkv", "--window", "60", "--crops", "3", "--clips", "2", "--csv", "w.csv")
    run("v.mkv", "--crops", "3", "--clips", "2", "--csv", "p.csv")
    (window,), (whole,) = rows("w.csv"), rows("p.csv")
    assert {name: window[name] for name in whole} == whole


def test_windows_of_frame_folders() -> None:
    with pytest.raises(InputError, match=r"--fps"):
        run("own/frames/val 0", "--window", "1")
    run("own/frames/val 0", "--window", "1", "--fps", "6", "--csv", "p.csv")
    assert [row["end"] for row in rows("p.csv")] == ["1.000", "1.500", "2.000"]


@pytest.mark.parametrize(("where", "count"), [("show", 4), ("class_probabilities", 3)])
def test_ctrl_c_ends_a_stream_with_whole_files(where: str, count: int, monkeypatch) -> None:
    calls = []
    original = getattr(predict, where)

    def stop(*args, **named):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return original(*args, **named)

    monkeypatch.setattr(predict, where, stop)
    run(f"file:{Path('v.mkv').resolve()}", "--window", "1", "--csv", "p.csv", "--timeline", "t.png", "--save", "o.mp4")
    assert len(rows("p.csv")) == count
    with av.open("o.mp4") as saved:
        assert sum(1 for _ in saved.decode(video=0)) >= 25
    assert Path("t.png").exists()
    calls.clear()
    with pytest.raises(KeyboardInterrupt):  # of files not all have been classified, so the exit status says it
        run("v.mkv", "--window", "1", "--csv", "q.csv")
    assert len(rows("q.csv")) == count


def test_an_endless_stream_is_not_kept_waiting(monkeypatch) -> None:
    """While the network works, frames pile up: their windows are left out."""
    is_busy, all_came = threading.Event(), threading.Event()

    def frames():
        for number in range(100):
            if number == 12:  # the first window is complete
                assert is_busy.wait(60)
            yield number / 10, np.full((40, 40, 3), number, np.uint8)
        all_came.set()

    def classify(*args, **options):
        is_busy.set()
        assert all_came.wait(60)
        return original(*args, **options)

    @contextmanager
    def endless(_address, _fps):
        yield TimedFrames(frames(), 0, True)

    original = predict.class_probabilities
    monkeypatch.setattr(timed_frames, "live_frames", endless)
    monkeypatch.setattr(predict, "class_probabilities", classify)
    run("0", "--window", "1", "--stride", "0.5", "--csv", "p.csv")
    first, *others = (float(row["end"]) for row in rows("p.csv"))
    assert first == 1
    assert set(others) - {9.5} == {10.0}


def test_official_weights_need_class_names(capsys) -> None:
    """The official layout of TSN; its network is small here."""
    classes = 7
    state = build_model("TSN", "resnet10", classes, 1).state_dict()
    official = {f"base_model.{name}".replace("base_model.fc.", "new_fc."): value for name, value in state.items()}
    torch.save({"state_dict": official}, "o.pth.tar")
    flags = ["own/frames/val 0", "--weights", "o.pth.tar", "--test_segments", "1", "--top", "2", "--archs", "resnet10"]
    with pytest.raises(InputError, match=r"o\.pth\.tar has no class names; .*--classes"):
        predict.main(flags)
    for count in (classes, classes + 1):
        Path(f"{count}.txt").write_text("".join(f"name {number}\n" for number in range(count)))
    predict.main([*flags, "--classes", f"{classes}.txt", "--net", "TSN"])
    assert capsys.readouterr().out.count("%  name ") == 2
    with pytest.raises(
        InputError, match=rf"\({classes},\) instead of \({classes + 1},\); the class counts differ.*--cl"
    ):
        predict.main([*flags, "--classes", f"{classes + 1}.txt"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["v.mkv", "--stride", "1"], "--stride needs --window"),
        (["v.mkv", "--save", "o.mp4"], "--save needs --window"),
        (["v.mkv", "0"], "only SOURCE"),
        (["v.mkv", "own/frames/val 0", "--window", "1", "--timeline", "t.png"], "--timeline is for one video"),
        (["v.mkv", "--csv", "own"], "--csv own is a folder"),
        (["v.mkv", "--json", "c.pth.tar/x.json"], "cannot write to c.pth.tar.* --json"),
        (["v.mkv", "--classes", "own/val.txt"], "was trained with the class names"),
        (["none.mkv"], "there is no none.mkv"),
    ],
)
def test_contradictions(flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(*flags)


@pytest.mark.parametrize(
    "flags",
    [
        ["x.mp4", "--csv", "x.mp4"],
        ["x.mp4", "--window", "1", "--save", "./x.mp4"],
        ["x.txt", "--json", "x.txt"],
        ["clip", "--window", "1", "--fps", "5", "--timeline", "clip/00001.png"],
        ["x.mp4", "--csv", "new", "--json", "../here/new"],
        ["x.mp4", "--csv", "pipe"],
        ["x.mp4", "--csv", "linked"],
    ],
)
def test_no_file_of_the_run_is_replaced(flags: list[str], tmp_path: Path, monkeypatch) -> None:
    """And no device, such as /dev/stdout."""
    here = tmp_path / "here"
    write_video(here / "x.mp4", 1)
    write_frames(here / "clip", 1)
    (here / "x.txt").write_text("x.mp4\n")
    os.mkfifo(here / "pipe")
    (here / "linked").symlink_to("elsewhere")
    monkeypatch.chdir(here)
    Path("c.pth.tar").symlink_to("../c.pth.tar")
    with pytest.raises(InputError, match=f"{flags[-2]} .* replace"):
        run(*flags)


def test_what_is_loaded() -> None:
    """No training, no annotation parser, and no matplotlib or scikit-learn unless there is a picture to draw."""
    code = (
        "import sys, predict; predict.main(sys.argv[1:]); "
        "print(*(name for name in sys.modules if name.split('.')[0] in sys.argv[-1].split(',')))"
    )
    root = Path(predict.__file__).parent
    packages = "ops,datasets,matplotlib,sklearn,scipy,pandas,onnx,drawing"
    write_checkpoint(Path("tdn.pth.tar"), "TDN")  # a new process does not know the tiny network
    flags = ["v.mkv", "--weights", "tdn.pth.tar", "--csv", "p.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code.replace("sys.argv[1:]", "sys.argv[1:-1]"), *flags, packages],
        env={"PYTHONPATH": str(root), "PATH": "", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = done.stdout.splitlines()[-1].split()
    assert "ops.scoring.predictions" in loaded
    unwanted = ("ops.training", "ops.mixing", "datasets.preparing", "datasets.built_in", "drawing")
    others = ("matplotlib", "sklearn", "scipy", "pandas", "onnx")
    assert [name for name in loaded if name.startswith(unwanted) or name.split(".")[0] in others] == []
