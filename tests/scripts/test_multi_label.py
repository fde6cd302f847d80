"""Several labels per video through whole scripts: training, tests in shards, merge, predictions, one process or two."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from processes import exit_statuses
from video_files import CLASSES, own_data_flags, write_dataset

import hubconf
import pkl_to_results
import predict
import test_models_center_crop as center_crop
import train
from common.errors import InputError
from ops.scoring.pickles import read_scores
from ops.weights.file import read_checkpoint
from scripts import average, explain, probe, publish, results_table, show_clips

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network")]

NET = ["--net", "Tiny", "--num_segments", "1", "--input_size", "32", "-j", "0"]
SMALL = [*NET, "-b", "3", "--epochs", "2", "--lr", "0.01"]
LABELS = [(0, 2), (1,), (1, 2), (0,), (0, 1, 2)]
RUN = Path("runs/Tiny_mine_none_1f")


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def write_several_labels(path: Path) -> None:
    """Give each line of a list several labels, and some a window."""
    lines = []
    for number, line in enumerate(path.read_text().splitlines()):
        clip, frames, _label = line.rsplit(maxsplit=2)
        frames = "2f 4f" if number % 3 == 2 else frames
        lines.append(f"{clip} {frames} {','.join(map(str, LABELS[number % 5]))}\n")
    path.write_text("".join(lines))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_dataset(tmp_path_factory.mktemp("data"), train=9, val=7, num_frames=5)
    for which in ("train", "val"):
        write_several_labels(root / f"{which}.txt")
    return root


@pytest.fixture(scope="module")
def flags(data: Path) -> list[str]:
    return ["mine", "RGB", *own_data_flags(data), *SMALL]


@pytest.fixture(scope="module")
def home(tiny_network, flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished training."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        train.main([*flags, "--multi_label", "--mix", "mixup,cutmix,videomix", "--ema", "0.5", "--keep_best", "2"])
    return home


@pytest.fixture
def best(home: Path, monkeypatch) -> str:
    monkeypatch.chdir(home)
    return str(RUN / "ckpt.best.pth.tar")


def score(best: str, folder: str, *more: str) -> None:
    center_crop.main(["--weights", best, "--output_dir", folder, "-j", "0", "-b", "2", "--ema", *more])


def map_by_hand(scores: np.ndarray, labels: Sequence[Sequence[int]]) -> float:
    """Percent; no two scores of a class are equal."""
    means = []
    for label in sorted({label for own in labels for label in own}):
        ranked = sorted(range(len(labels)), key=lambda video: -scores[video, label])
        hits = [rank for rank, video in enumerate(ranked, start=1) if label in labels[video]]
        means.append(np.mean([found / rank for found, rank in enumerate(hits, start=1)]))
    return 100 * float(np.mean(means))


def test_the_map_of_the_averaged_weights_chooses_the_best_epoch(best: str, data: Path) -> None:
    content, log = read_checkpoint(best), [json.loads(line) for line in (RUN / "log.jsonl").read_text().splitlines()]
    assert content["best_map"] == log[-1]["val/best_map"] == max(line["val/ema_map"] for line in log)
    assert content["trained_on"]["multi_label"]
    assert [name for name in log[0] if "top1" in name or "mean_class" in name] == []
    assert 0 < log[0]["train/hit1"] <= 100
    score(best, "scores")
    scores = read_scores(Path("scores/0_crop0.pkl"))
    assert scores.video_ids[2] == "val 2 2f 4f"
    assert [tuple(np.flatnonzero(row)) for row in scores.labels] == [LABELS[number % 5] for number in range(7)]
    by_hand = map_by_hand(scores.logits, [LABELS[number % 5] for number in range(7)])
    assert content["figures"]["val/ema_map"] == pytest.approx(by_hand)
    chance = 1 / (1 + np.exp(-scores.logits.astype(np.float64)))
    loss = -np.log(np.where(scores.labels, chance, 1 - chance)).mean()
    assert content["figures"]["val/ema_loss"] == pytest.approx(loss, rel=1e-4)


def test_shards_give_the_same_files_and_are_merged(best: str, capsys) -> None:
    views = ["--clip_index", "0,1", "--dump_features", "float16"]
    score(best, "whole", *views)
    for shard in ("1/2", "2/2"):
        score(best, "shards", *views, "--shard", shard)
    score(best, "shards", *views)
    names = [path.name for path in Path("whole").iterdir()]
    assert all((Path("whole") / name).read_bytes() == (Path("shards") / name).read_bytes() for name in names)
    capsys.readouterr()
    pkl_to_results.main(["--output_dir", "whole"])
    results, printed = json.loads(Path("whole/results.json").read_text()), capsys.readouterr().out
    views = [read_scores(Path(f"whole/{clip}_crop0.pkl")) for clip in range(2)]
    shares = np.mean([1 / (1 + np.exp(-view.logits.astype(np.float64))) for view in views], 0)
    assert results["map"] == pytest.approx(map_by_hand(shares, [LABELS[number % 5] for number in range(7)]))
    assert f"mAP {results['map']:.2f} %, hit at 1 {results['hit1']:.2f} %" in printed
    assert not Path("whole/confusion_matrix.png").exists()
    assert {(row["video"], row["class"]) for row in rows_of("whole/predictions.csv") if row["is_label"] == "True"} == {
        (video, CLASSES[label]) for number, video in enumerate(views[0].video_ids) for label in LABELS[number % 5]
    }
    precisions = [float(row["average_precision"]) for row in rows_of("whole/per_class.csv")]
    assert np.mean(precisions) == pytest.approx(results["map"])
    for flag in (["--report"], ["--submission", "kinetics"]):
        with pytest.raises(InputError, match=f"{flag[0]} is for one label per video"):
            pkl_to_results.main(["--output_dir", "whole", *flag])
    with pytest.raises(InputError, match="several labels"):
        probe.main(["whole", "whole"])
    with pytest.raises(InputError, match="several labels"):
        results_table.main(["whole"])


def test_a_list_without_labels_is_scored(best: str, data: Path) -> None:
    lines = [f"{line.rpartition(' ')[0]} -1\n" for line in (data / "val.txt").read_text().splitlines()]
    Path("unlabelled.txt").write_text("".join(lines))
    score(best, "unlabelled", "--val_list", "unlabelled.txt")
    pkl_to_results.main(["--output_dir", "unlabelled"])
    assert json.loads(Path("unlabelled/results.json").read_text())["labelled"] is False
    assert not Path("unlabelled/per_class.csv").exists()


def test_predictions_are_sigmoids(best: str, data: Path, capsys) -> None:
    score(best, "plain", "--overwrite")
    logits = read_scores(Path("plain/0_crop0.pkl")).logits[0]
    shares = sorted(100 / (1 + np.exp(-logits.astype(np.float64))), reverse=True)
    publish.main([best, "--ema", "--output_dir", "published"])
    [published] = map(str, Path("published").iterdir())
    assert "top-1" not in capsys.readouterr().out
    for main, flags in ((predict.main, []), (explain.main, ["--output_dir", "explained"])):
        main([str(data / "frames" / "val 0"), "--weights", published, *flags])
        found = [float(share) for share in re.findall(r"([\d.]+) %  ", capsys.readouterr().out)]
        assert found == pytest.approx(shares, abs=0.06)
    assert hubconf.load(published).multi_label


def test_averaged_checkpoints_stay_multi_label(best: str) -> None:
    average.main([*map(str, RUN.glob("ckpt.epoch_*")), "--output", "average.pth.tar"])
    assert read_checkpoint("average.pth.tar")["trained_on"]["multi_label"]


def test_clips_are_shown_with_all_their_labels(home: Path, data: Path, monkeypatch) -> None:
    monkeypatch.chdir(home)
    shown: list[str] = []
    sheet = show_clips.contact_sheet
    monkeypatch.setattr(
        show_clips,
        "contact_sheet",
        lambda clips, **_: shown.extend(c.class_name for c in clips) or sheet(clips[:1], **_),
    )
    flags = own_data_flags(data)[:4] + own_data_flags(data)[6:]
    show_clips.main(["mine", *flags, *NET])
    assert "; ".join(CLASSES[label] for label in LABELS[0]) in shown


def test_two_processes_find_the_same_map(best: str, flags: list[str], capfd) -> None:
    evaluation = [*flags, "--multi_label", "-e", "--resume", best, "--ema", "0.5"]
    train.main(evaluation)
    alone = re.findall(r"mAP .*", capfd.readouterr().out)
    assert len(alone) == 2
    assert exit_statuses(lambda _rank: train.main(evaluation)) == [0, 0]
    assert re.findall(r"mAP .*", capfd.readouterr().out) == alone


def test_sv_mix_evaluates_its_teacher(flags: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    train.main([*flags, "--multi_label", "--mix", "svmix", "--eval_teacher", "--epochs", "1"])
    assert "val/teacher_map" in json.loads((RUN / "log.jsonl").read_text())


def test_a_list_with_several_labels_needs_the_flag(best: str, flags: list[str], tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(InputError, match=r"train\.txt is a list with several labels.*--multi_label"):
        train.main(flags)
    single = write_dataset(tmp_path, train=3, val=2, num_frames=3)
    with pytest.raises(InputError, match="trained with --multi_label True, but this run has False"):
        train.main(["mine", "RGB", *own_data_flags(single), *SMALL, "--resume", str(RUN / "ckpt.pth.tar")])
