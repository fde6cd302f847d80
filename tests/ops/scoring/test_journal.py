"""An interrupted test resumes after the last complete batch, with the same result."""

import json
import logging
import os
import signal
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from interruptions import file_size_limit
from started_python import run_python
from video_files import CLASSES, write_dataset

import test_models_center_crop as center_crop
from common.errors import InputError
from ops.models import build_model
from ops.scoring.journal import ScoreJournal, journal_path
from ops.scoring.pickles import pickle_path, read_scores
from ops.scoring.protocol import NEWER_FIELDS, check_protocol, replace_protocol
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import save_checkpoint

pytestmark = pytest.mark.slow

DEPENDS_ON = {"net": "H2CN", "test_crops": 2, "num_class": 3, "batch_size": 4, "amp": "off"}
BATCHES = [np.random.default_rng(n).random((2, 2, n, 3), np.float32) for n in (4, 4, 1)]  # two clips, nine videos
RECORD = 4 * 2 * 2 * 4 * 3 + 4


def opened(path: Path, clips: tuple[int, ...] = (0, 1), overwrite: bool = False, **other) -> ScoreJournal:
    return ScoreJournal(path, {**DEPENDS_ON, **other}, list(clips), overwrite=overwrite)


def stopped(path: Path, batches: int = 3, **options) -> list[np.ndarray]:
    """Fill a journal up to a number of batches and interrupt it; return the batches that it began with."""
    at_first: list[np.ndarray] = []
    with suppress(KeyboardInterrupt), opened(path, **options) as journal:
        at_first += journal.batches
        for batch in BATCHES[len(at_first) : batches]:
            journal.append(batch)
        raise KeyboardInterrupt
    return at_first


def same(batches: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(batches) == len(expected) and all(map(np.array_equal, batches, expected))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_path(tmp_path, [0, 1])


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_batches_are_read_back_and_deleted_at_the_end(path: Path, batches: int, caplog) -> None:
    with caplog.at_level(logging.INFO):
        assert stopped(path, batches) == []
    assert f"{(4, 8, 9)[batches - 1]} videos scored. To continue, run the same command" in caplog.text
    with opened(path) as journal:
        assert same(journal.batches, BATCHES[:batches])
        assert journal.videos == (4, 8, 9)[batches - 1]
    assert list(path.parent.iterdir()) == []


def test_nothing_scored_leaves_no_file(path: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        stopped(path, 0)
    assert caplog.text == ""
    assert list(path.parent.iterdir()) == []


def test_a_file_truncated_anywhere(path: Path) -> None:
    """After a kill or a crash the lost part is scored again, and the file is then the same."""
    stopped(path)
    whole = path.read_bytes()
    header = whole.index(b"\n") + 1
    ends = [header + RECORD, header + 2 * RECORD, len(whole)]
    for length in {*range(0, len(whole), 7), *ends, *(end - 1 for end in ends), header, header - 1}:
        path.write_bytes(whole[:length])
        assert same(stopped(path), BATCHES[: sum(length >= end for end in ends)])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [bytes(9), b"\xff" * 9])
def test_damaged_scores_are_rejected(path: Path, damage: bytes) -> None:
    stopped(path)
    whole = path.read_bytes()
    at = whole.index(b"\n") + 1 + RECORD + 50
    path.write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    assert same(stopped(path), BATCHES[:1])
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("other", "words"), [({"amp": "bf16"}, "other amp"), ({"clips": (0, 2)}, "other clips"),
                         ({"net": "TSN", "amp": "bf16"}, "other net, amp")],
)  # fmt: skip
def test_scores_from_other_settings_are_rejected(path: Path, other: dict, words: str, caplog) -> None:
    stopped(path)
    with caplog.at_level(logging.INFO):
        assert stopped(path, 2, **other) == []
    assert f"{words}: starting at the first video" in caplog.text
    assert same(stopped(path, 2, **other), BATCHES[:2])


def test_batches_under_another_header_are_rejected(path: Path) -> None:
    """Two tests with different settings may have written to the same file at the same time."""
    stopped(path)
    path.write_bytes(path.read_bytes().replace(b'"off"', b'"OFF"'))
    assert stopped(path, amp="OFF") == []


@pytest.mark.parametrize("header", [bytes(1000), b"null", b"[1]", b'{"clips": 3}', b'{"clips": [[0], {}]}'])
def test_a_damaged_header(path: Path, header: bytes) -> None:
    path.write_bytes(header + b"\n")
    assert stopped(path) == []
    assert same(stopped(path), BATCHES)


@pytest.mark.parametrize("clips", [b"[0, 1, 5]", b"[0, 1, 1]", b"[1, 0]", b"[false, 1]", b"[" * 100_000, b"[1e999]"])
def test_changed_clips_in_the_header_are_rejected(path: Path, clips: bytes) -> None:
    """The checksum of a batch covers the header."""
    stopped(path)
    path.write_bytes(path.read_bytes().replace(b'"clips": [0, 1]', b'"clips": ' + clips))
    with opened(path) as journal:
        assert (journal.clips, journal.batches) == ([0, 1], [])


def test_two_processes_score_the_same_videos(path: Path) -> None:
    with opened(path) as first:
        first.append(BATCHES[0])
        with opened(path) as second:
            assert same(second.batches, BATCHES[:1])
            first.append(BATCHES[1])
            first.append(BATCHES[2])
            assert same(opened(path).batches, BATCHES)
            second.append(BATCHES[1])
            assert same(opened(path).batches, BATCHES)
    assert list(path.parent.iterdir()) == []


def test_views_are_written_one_by_one(path: Path) -> None:
    """Without a second copy of all scores, which are a gigabyte for 20,000 videos, 400 classes and 30 views."""
    journal = opened(path, clips=tuple(range(10)))
    journal.batches = [np.full((10, 2, 50, 400), number, np.float32) for number in range(4)]
    files = {clip: [pickle_path(path.parent, clip, crop) for crop in (0, 1)] for clip in range(10)}
    videos = SimpleNamespace(
        records=[SimpleNamespace(labels=(0,), id=f"v{number}") for number in range(200)],
        spec=SimpleNamespace(multi_label=False),
    )
    tracemalloc.start()
    center_crop.write_views(journal, files, videos)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < sum(batch.nbytes for batch in journal.batches) / 2
    assert np.array_equal(read_scores(files[9][1]).logits, np.concatenate([batch[9, 1] for batch in journal.batches]))


def test_features_of_two_processes(path: Path) -> None:
    """When one has finished and deleted the file, the other must not write what it finds there."""
    with opened(path, num_features=1, dump_features="float32") as slow:
        for batch in BATCHES:
            slow.append(np.concatenate([batch, batch[..., :1]], 3))
        assert np.array_equal(np.concatenate(list(slow.features()), 2), np.concatenate(BATCHES, 2)[..., :1])
        path.unlink()
        slow.append(np.concatenate([batch, batch[..., :1]], 3))
        with pytest.raises(InputError, match="changed by another test of the same clips"):
            list(slow.features())


def test_a_test_resumes_with_all_of_its_clips(path: Path) -> None:
    """It may have been interrupted between two pickles, or with --overwrite."""
    stopped(path)
    for missing in ([1], []):
        journal = opened(path, missing)
        assert journal.clips == [0, 1]
        assert same(journal.batches, BATCHES)


def test_overwrite_starts_again_and_says_how_to_resume(path: Path, caplog) -> None:
    stopped(path)
    with caplog.at_level(logging.INFO):
        assert stopped(path, 1, overwrite=True) == []
    assert "starting at" not in caplog.text
    assert "the same command without --overwrite" in caplog.text
    assert same(stopped(path), BATCHES[:1])


def test_other_clips_have_another_file(tmp_path: Path) -> None:
    names = {(0,): "0", (3,): "3", (0, 1, 2): "0-2", (0, 2, 3, 9): "0,2-3,9"}
    for clips, name in names.items():
        assert journal_path(tmp_path, clips) == tmp_path / f"clips_{name}.unfinished"


def test_a_full_disk(path: Path) -> None:
    """Simulated by a limit on file sizes, in the middle of the second batch."""
    stopped(path, 1)
    expected = pytest.raises(InputError, match="cannot write .*clips_0-1.unfinished: .*free some space")
    with file_size_limit(path.stat().st_size + RECORD // 2), expected:
        stopped(path)
    assert same(stopped(path), BATCHES[:1])
    assert same(stopped(path), BATCHES)


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match="cannot write /proc/clips_0.unfinished: .*--output_dir"):
        opened(journal_path(Path("/proc"), [0])).append(BATCHES[0])


# The script, on five videos in batches of two: two clips, three crops.


@pytest.fixture(scope="module")
def flags(tmp_path_factory) -> list[str]:
    """Flags to test a small untrained network."""
    root = write_dataset(tmp_path_factory.mktemp("own"), train=0)
    trained_on = TrainedOn("TSN", "resnet10", 2, "mine", list(CLASSES), 32, "", "", "")
    state = build_model("TSN", "resnet10", len(CLASSES), 2).state_dict()
    save_checkpoint(root / "ckpt.pth.tar", {"state_dict": state, "trained_on": vars(trained_on)})
    data = ["--root_path", root / "frames", "--val_list", root / "val.txt", "--classes", root / "classes.txt"]
    return [*map(str, data), "--weights", str(root / "ckpt.pth.tar"), "-j", "0", "-b", "2", "--clip_index", "0-1"]


@pytest.fixture(scope="module")
def whole(flags: list[str], tmp_path_factory) -> dict[str, bytes]:
    """The files of an uninterrupted test."""
    folder = tmp_path_factory.mktemp("whole")
    score(flags, folder)
    assert len(list(folder.iterdir())) == 7  # six views, and the protocol
    return content(folder)


def score(flags: list[str], folder: Path, *more: str) -> None:
    center_crop.main([*flags, "--output_dir", str(folder), *more], crops=3)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


KILLED = """
import os, signal, sys, torch
import test_models_center_crop
from ops.scoring.journal import ScoreJournal

class Killed(ScoreJournal):
    def append(self, batch):
        super().append(batch)
        os.kill(os.getpid(), signal.SIGKILL)

test_models_center_crop.ScoreJournal = Killed
test_models_center_crop.main(sys.argv[1:], crops=3)
"""


def test_a_killed_test_resumes_to_the_same_files(flags: list[str], whole: dict, tmp_path: Path, capsys) -> None:
    command = [sys.executable, "-c", KILLED, *flags, "--output_dir", str(tmp_path)]
    killed = run_python(command, cwd=Path(center_crop.__file__).parent)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(content(tmp_path)) == ["clips_0-1.unfinished", "protocol.json"]
    score(flags, tmp_path)
    printed = capsys.readouterr().out
    assert "resuming after video 2 of 5" in printed
    assert content(tmp_path) == whole


@pytest.fixture
def stop(monkeypatch) -> None:
    """Let a scheduler stop the next test after its second batch."""

    class Stopped(ScoreJournal):
        def append(self, batch: np.ndarray) -> None:
            super().append(batch)
            if len(self.batches) == 2:
                monkeypatch.undo()
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(center_crop, "ScoreJournal", Stopped)


@pytest.mark.usefixtures("stop")
def test_an_interrupted_test_says_how_to_resume(flags: list[str], whole: dict, tmp_path: Path, capsys) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(flags, tmp_path)
    assert "4 videos scored. To continue, run the same command" in capsys.readouterr().out
    score(flags, tmp_path, "-p", "1", "-j", "1")
    printed = capsys.readouterr().out
    assert "resuming after video 4 of 5" in printed
    assert "clips 0, 1: 3/3 batches" in printed
    assert content(tmp_path) == whole


FEATURES = "--dump_features", "float16"


def test_features_are_added_to_scores(flags: list[str], whole: dict, tmp_path: Path, request, capsys) -> None:
    """The scores stay the same, and an interrupted test resumes to the same features, to the bit."""
    added, stopped = tmp_path / "added", tmp_path / "stopped"
    added.mkdir()
    for name, data in whole.items():
        (added / name).write_bytes(data)
    score(flags, added, *FEATURES)
    assert "already scored" not in capsys.readouterr().out
    uninterrupted = content(added)
    assert {name: data for name, data in uninterrupted.items() if "features" not in name} == whole
    request.getfixturevalue("stop")
    with pytest.raises(KeyboardInterrupt):
        score(flags, stopped, *FEATURES)
    assert sorted(content(stopped)) == ["clips_0-1.unfinished", "protocol.json"]
    score(flags, stopped, *FEATURES)
    assert "resuming after video 4 of 5" in capsys.readouterr().out
    assert content(stopped) == uninterrupted
    views = [np.load(path, mmap_mode="r") for path in sorted(added.glob("*_crop*_features.npy"))]
    assert [(view.shape, view.dtype) for view in views] == [((5, 512), np.float16)] * 6
    assert not np.array_equal(views[0], views[1])
    index = (added / "features_index.csv").read_text().splitlines()
    assert index[:2] == ["row,video,label,class", f"0,val 0,0,{CLASSES[0]}"]
    assert len(index) == 6


def test_a_list_without_labels(flags: list[str], whole: dict, tmp_path: Path, capsys) -> None:
    """Its scores and features are those of the same list with labels."""
    here = flags.index("--val_list") + 1
    lines = [line.rsplit(maxsplit=2)[:2] for line in Path(flags[here]).read_text().splitlines()]
    bare = tmp_path / "bare.txt"
    bare.write_text("".join(f"{path} {frames} -1\n" for path, frames in lines))
    flags = [*flags[:here], str(bare), *flags[here + 1 :]]
    score(flags, tmp_path / "out", *FEATURES)
    assert "the list has no labels" in capsys.readouterr().out
    labelled = tmp_path / "x.pkl"
    labelled.write_bytes(whole["1_crop2.pkl"])
    views = [read_scores(path) for path in (labelled, tmp_path / "out" / "1_crop2.pkl")]
    assert np.array_equal(views[0].logits, views[1].logits)
    assert views[1].labels.tolist() == [-1] * 5
    assert (tmp_path / "out" / "features_index.csv").read_text().splitlines()[1] == "0,val 0,-1,"


@pytest.mark.usefixtures("stop")
def test_another_batch_size_starts_again(flags: list[str], tmp_path: Path, capsys) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(flags, tmp_path)
    score(flags, tmp_path, "-b", "5")
    printed = capsys.readouterr().out
    assert "comes from a test with other batch_size: starting at the first video" in printed
    assert "continuing" not in printed


@pytest.mark.usefixtures("stop")
def test_a_failed_test_with_other_flags_keeps_unfinished_scores(
    flags: list[str], whole: dict, tmp_path: Path, capsys
) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(flags, tmp_path)
    with pytest.raises(InputError, match="does_not_exist"):
        score(flags, tmp_path, "-b", "5", "--image_tmpl", "does_not_exist_{:05d}.jpg")
    score(flags, tmp_path)
    assert "resuming after video 4 of 5" in capsys.readouterr().out
    assert content(tmp_path) == whole


@pytest.mark.usefixtures("stop")
def test_another_protocol_deletes_unfinished_scores(flags: list[str], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(flags, tmp_path)
    with pytest.raises(InputError, match="--overwrite"):
        score(flags, tmp_path, "--seed", "1")
    assert "clips_0-1.unfinished" in content(tmp_path)
    score(flags, tmp_path, "--seed", "1", "--overwrite", "--clip_index", "0")
    assert sorted(content(tmp_path)) == ["0_crop0.pkl", "0_crop1.pkl", "0_crop2.pkl", "protocol.json"]


def test_overwrite_with_a_wrong_flag_deletes_nothing(flags: list[str], whole: dict, tmp_path: Path) -> None:
    score(flags, tmp_path)
    with pytest.raises(InputError, match="does_not_exist"):
        score(flags, tmp_path, "--seed", "1", "--overwrite", "--image_tmpl", "does_not_exist_{:05d}.jpg")
    assert content(tmp_path) == whole


@pytest.mark.parametrize("protocol", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b'{"net": 1}'])
def test_a_damaged_protocol(tmp_path: Path, protocol: bytes) -> None:
    path = tmp_path / "protocol.json"
    path.write_bytes(protocol)
    with pytest.raises(InputError, match=r"protocol\.json does not say how the views were made.*--overwrite"):
        check_protocol(tmp_path, {"net": "H2CN"})
    for name in ("0_crop0.pkl", "0_crop0_features.npy"):
        (tmp_path / name).touch()
    replace_protocol(tmp_path, {"net": "H2CN"}, overwrite=True)
    assert [file.read_text() for file in tmp_path.iterdir()] == ['{\n  "net": "H2CN"\n}\n']


def test_views_are_added_to_those_under_an_older_protocol(flags: list[str], whole: dict, tmp_path: Path) -> None:
    """Its fields for the frame order and the left-out modules are missing."""
    score(flags, tmp_path)
    path = tmp_path / "protocol.json"
    older = {name: value for name, value in json.loads(path.read_text()).items() if name not in NEWER_FIELDS}
    path.write_text(json.dumps(older))
    (tmp_path / "1_crop0.pkl").unlink()
    score(flags, tmp_path)
    assert content(tmp_path) == whole
    path.write_text(json.dumps(older))
    with pytest.raises(InputError, match="frame_order 'normal', this run has 'reversed'"):
        score(flags, tmp_path, "--frame_order", "reversed")


def test_an_unreadable_video_loses_only_its_batch(flags: list[str], whole: dict, tmp_path: Path, capsys) -> None:
    video = Path(flags[flags.index("--root_path") + 1]) / "val 3"
    video.rename(video.with_name("away"))
    with pytest.raises(InputError, match="there is no frame folder.*val 3"):
        score(flags, tmp_path)
    video.with_name("away").rename(video)
    assert "2 videos scored" in capsys.readouterr().out
    score(flags, tmp_path)
    assert "resuming after video 2 of 5" in capsys.readouterr().out
    assert content(tmp_path) == whole


def test_a_full_disk_while_the_pickles_are_written(
    flags: list[str], whole: dict, tmp_path: Path, monkeypatch, capsys
) -> None:
    """The other scores are not lost."""

    def write_scores(path: Path, *scores) -> None:
        if path.name == "1_crop0.pkl":
            raise InputError("full")
        real(path, *scores)

    real = center_crop.write_scores
    monkeypatch.setattr(center_crop, "write_scores", write_scores)
    with pytest.raises(InputError, match="full"):
        score(flags, tmp_path)
    monkeypatch.undo()
    assert "0_crop2.pkl" in content(tmp_path)
    score(flags, tmp_path)
    assert "resuming after video 5 of 5" in capsys.readouterr().out
    assert content(tmp_path) == whole
