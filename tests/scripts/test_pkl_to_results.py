"""pkl_to_results.py: both spellings of an ensemble, tables, files, and bad folders."""

import csv
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from interruptions import file_size_limit
from video_files import write_frames

import pkl_to_results
from common.errors import InputError
from ops.scoring.pickles import pickle_path, write_scores
from pkl_to_results import main
from scripts import results_table

LABELS, IDS = [0, 1, 2, 2], ["a", "b", "c", "d"]
PROTOCOL = {
    "dataset": "mine", "net": "H2CN", "arch": "resnet18", "num_segments": 8, "frames_per_segment": 5,
    "class_names": ["left", "right", "up"], "sampling": "centre of each segment", "preprocessing": "centre crop",
    "weights": "x.pth.tar", "list_hash": "1",
}  # fmt: skip


def write_views(
    folder: Path, clips: int = 1, crops: int = 1, seed: int = 0, protocol: dict | None = None, labels=LABELS, ids=IDS
) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for clip in range(clips):
        for crop in range(crops):
            write_scores(pickle_path(folder, clip, crop), rng.normal(size=(4, 3)), labels, ids)
    if protocol is not None:
        (folder / "protocol.json").write_text(json.dumps(protocol))
    return folder


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_one_model(tmp_path: Path, capsys) -> None:
    folder = write_views(tmp_path / "a", protocol=PROTOCOL)
    write_scores(pickle_path(folder, 0, 0), np.eye(3)[[0, 1, 2, 0]] * 3, LABELS, IDS)
    main(["--output_dir", str(folder)])
    printed = capsys.readouterr().out
    figures = re.findall(r"[\d.]+ % \([\d.]+ to [\d.]+\)", printed.splitlines()[-1])
    assert figures == ["75.00 % (30.1 to 95.4)", "100.00 % (51.0 to 100.0)", "83.33 % (34.3 to 98.0)"]
    assert printed.splitlines()[-1].startswith("4 videos, 3 classes: top-1")
    for fact in ("a: H2CN resnet18, 8 x 5 frames,", "1 clip x 1 crop", "centre of each segment", "weights x.pth.tar"):
        assert fact in printed.splitlines()[0]
    assert results(folder)["top1"] == 75.0
    assert results(folder)["videos"] == 4
    with (folder / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[2] == {
        "label": "2", "name": "up", "videos": "2", "correct": "1", "accuracy": "50.0",
        "confused_with": "left", "confused_count": "1",
    }  # fmt: skip
    assert (folder / "confusion_matrix.png").stat().st_size > 1000


def test_accuracy_against_the_number_of_clips(tmp_path: Path, capsys) -> None:
    folder = write_views(tmp_path / "a", clips=3, crops=3)
    main(["--output_dir", str(folder), "--num_clips", "3", "--test_crops", "3"])
    assert "protocol unknown" in capsys.readouterr().out
    by_clips = results(folder)["by_clips"]
    assert [row["clips"] for row in by_clips] == [1, 2, 3]
    assert by_clips[-1]["top1"] == results(folder)["top1"]
    main(["--output_dir", str(folder), "--num_clips", "1", "--test_crops", "3"])
    assert results(folder)["top1"] == by_clips[0]["top1"]


def test_all_views_are_merged_unless_fewer_are_asked_for(tmp_path: Path, capsys, caplog) -> None:
    folder = write_views(tmp_path / "a", clips=2, crops=3)
    main(["--output_dir", str(folder)])
    assert (results(folder)["num_clips"], results(folder)["test_crops"]) == (2, 3)
    assert "merging" not in capsys.readouterr().out
    main(["--output_dir", str(folder), "--num_clips", "1", "--test_crops", "1"])
    assert re.search("a: merging 1 clip x 1 crop.* 2 clips x 3 crops", capsys.readouterr().out)
    pickle_path(folder, 0, 2).unlink()
    pickle_path(folder, 1, 2).unlink()
    with pytest.raises(InputError, match="2 of 6 views are missing"):
        main(["--output_dir", str(folder)])


@pytest.mark.parametrize(("name", "words"), [("empty", "no score pickles"), ("missing", "not a folder")])
def test_a_folder_without_views(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name} .*{words}.*--output_dir of a test script"):
        main(["--output_dir", str(tmp_path / name)])


def test_both_spellings_of_an_ensemble_agree(tmp_path: Path, capsys) -> None:
    a, b = write_views(tmp_path / "a", seed=1), write_views(tmp_path / "b", seed=2)
    main(["--output_dir", str(a), str(b), "--save_dir", str(tmp_path / "ours")])
    main(
        [
            "--multi_segments",
            "True",
            "--output_dir",
            str(a),
            "--output_dir1",
            str(b),
            "--save_dir",
            str(tmp_path / "theirs"),
        ]
    )
    assert "together (1 : 1)" in capsys.readouterr().out
    assert results(tmp_path / "ours") == results(tmp_path / "theirs")
    main(["--output_dir", str(a), str(b), "--coeff", "1", "0", "--save_dir", str(tmp_path / "first")])
    assert results(tmp_path / "first")["top1"] == results(tmp_path / "first")["models"][0]["top1"]


def test_an_ensemble_has_a_folder_of_its_own(tmp_path: Path, capsys, monkeypatch) -> None:
    """The results of its models stay; different weights and folders with the same name are told apart."""
    (tmp_path / "b").mkdir()
    a, b, c = (write_views(tmp_path / name, seed=seed) for seed, name in enumerate(("8f", "16f", "b/8f")))
    main(["--output_dir", str(a)])
    before = (a / "results.json").read_bytes()
    for folders, name in (
        ([a, b], "8f+16f"), ([a, b, "--coeff", 1, 2], "8f+2x16f"), ([b, a, c], "16f+8f+b_8f"), ([c, a], "b/8f+8f"),
    ):  # fmt: skip
        main(["--output_dir", *map(str, folders)])
        assert len(results(tmp_path / name)["models"]) == len([f for f in folders if isinstance(f, Path)])
        assert f"{name}/results.json" in capsys.readouterr().out
    monkeypatch.chdir(a)
    main(["--output_dir", ".", "../16f", "--coeff", "1", "3"])
    assert (tmp_path / "8f+3x16f" / "results.json").exists()
    assert "Writing ../8f+3x16f/results.json, " in capsys.readouterr().out  # relative, as the folders given
    results_table.main([str(a), str(tmp_path / "8f+16f")])
    assert len(capsys.readouterr().out.splitlines()[-4:]) == 4
    assert (a / "results.json").read_bytes() == before


def test_copies_of_a_view_are_reported(tmp_path: Path, caplog, capsys) -> None:
    folder = write_views(tmp_path / "a", clips=2)
    main(["--output_dir", str(folder)])
    for clip in (1, 2):
        pickle_path(folder, clip, 0).write_bytes(pickle_path(folder, 0, 0).read_bytes())
    assert "repeat" not in capsys.readouterr().out
    main(["--output_dir", str(folder)])
    assert "repeated scores in 2 views: " in capsys.readouterr().out


def test_results_are_written_even_if_the_picture_cannot_be_drawn(tmp_path: Path, capsys, monkeypatch) -> None:
    def plot_confusion(*_args) -> None:
        raise MemoryError

    monkeypatch.setattr(pkl_to_results, "plot_confusion", plot_confusion)
    folder = write_views(tmp_path / "a")
    with pytest.raises(MemoryError):
        main(["--output_dir", str(folder)])
    assert "4 videos, 3 classes: top-1" in capsys.readouterr().out
    names = ["0_crop0.pkl", "per_class.csv", "predictions.csv", "results.json"]
    assert sorted(path.name for path in folder.iterdir()) == names


def table(path: Path, **form) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, **form))


def test_predictions(tmp_path: Path, capsys) -> None:
    """Names may hold anything; the probabilities are those of the merged views, the best class first."""
    protocol = {**PROTOCOL, "class_names": ['from "left", ; to', "right\nup", "$x$ \ud800"]}
    folder = write_views(tmp_path / "a", protocol=protocol, ids=["a,b", "=1", "c", "d\ne"])
    write_scores(
        pickle_path(folder, 0, 0), np.log([[0.1, 0.7, 0.2], [1e-9, 0.5, 0.5]] * 2), LABELS, ["a,b", "=1", "c", "d\ne"]
    )
    main(["--output_dir", str(folder)])
    assert f"{folder}/predictions.csv" in capsys.readouterr().out
    head, first, second, *_, last = table(folder / "predictions.csv")
    assert head == [
        "video",
        "label",
        "class",
        "correct",
        *(f"{what}_{k}" for k in (1, 2, 3) for what in ("class", "probability")),
    ]
    assert first == [
        "a,b",
        "0",
        'from "left", ; to',
        "False",
        "right\nup",
        "0.700000",
        "$x$ \\ud800",
        "0.200000",
        'from "left", ; to',
        "0.100000",
    ]
    assert second[:6] == ["=1", "1", "right\nup", "True", "right\nup", "0.500000"]
    assert last[0] == "d\ne"


def test_predictions_of_official_pickles_are_numbered(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "a")
    records = [[np.eye(9)[[k % 9]], k % 9] for k in range(12)]
    pickle_path(folder, 0, 0).write_bytes(pickle.dumps(records))
    main(["--output_dir", str(folder)])
    rows = table(folder / "predictions.csv")
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(1, 13)]
    assert (len(rows[0]), rows[2][:5]) == (14, ["2", "1", "class 1", "True", "class 1"])


def test_a_list_without_labels(tmp_path: Path, capsys) -> None:
    folder = write_views(tmp_path / "a", clips=2, protocol=PROTOCOL, labels=[-1] * 4)
    main(["--output_dir", str(folder)])
    printed = capsys.readouterr().out
    assert "4 videos, 3 classes: the list has no labels" in printed
    assert "%" not in printed
    names = ["0_crop0.pkl", "1_crop0.pkl", "predictions.csv", "protocol.json", "results.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert results(folder)["labelled"] is False
    assert not {"top1", "top5", "mean_class"} & {*results(folder), *results(folder)["models"][0]}
    assert table(folder / "predictions.csv")[1][:4] == ["a", "", "", ""]
    with pytest.raises(InputError, match="a/results.json.*no labels"):
        results_table.main([str(folder)])
    with pytest.raises(InputError, match="--report .*0_crop0.pkl has none"):
        main(["--output_dir", str(folder), "--report"])
    labelled = write_views(tmp_path / "b", protocol=PROTOCOL)
    assert main(["--output_dir", str(labelled)]) is None
    assert results(labelled)["labelled"] is True
    with pytest.raises(InputError, match="one has labels and one has none"):
        main(["--output_dir", str(folder), str(labelled), "--num_clips", "1"])


OTHER_ORDER = {"dataset": "mine", "class_names": ["b, c", "a", "d"]}  # 1, 0, 2 in the order of names


@pytest.mark.parametrize(
    ("data_set", "rows"),
    [("somethingv1", [["10", "a"], ["9", "b, c"]]), ("somethingv2", [["10", "0", "1", "2"], ["9", "1", "2", "0"]])],
)
def test_submissions_of_something_something(tmp_path: Path, data_set: str, rows: list, capsys) -> None:
    folder = write_views(tmp_path / "a", protocol={**PROTOCOL, **OTHER_ORDER})
    write_scores(pickle_path(folder, 0, 0), np.array([[2.0, 3, 1], [3, 1, 2]]), [-1, -1], ["10", "x/9.webm"])
    main(["--output_dir", str(folder), "--submission", data_set])
    assert table(folder / "submission.csv", delimiter=";") == rows
    assert f"{folder}/submission.csv" in capsys.readouterr().out


KINETICS = ["a b/-3B32lodo2M_000001_000011.mp4", "_x_00000000"]


def test_a_submission_of_kinetics(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "a", protocol=PROTOCOL)
    write_scores(pickle_path(folder, 0, 0), np.log([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1]]), [-1, -1], KINETICS)
    main(["--output_dir", str(folder), "--submission", "kinetics"])
    content = json.loads((folder / "submission.json").read_text())
    assert sorted(content) == ["external_data", "results", "version"]
    assert list(content["results"]) == ["-3B32lodo2M", "_x_00000000"]
    assert [(p["label"], round(p["score"], 6)) for p in content["results"]["-3B32lodo2M"]] == [
        ("right", 0.7), ("up", 0.2), ("left", 0.1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data_set", "protocol", "ids", "words"),
    [
        ("somethingv2", None, IDS, "no class names"),
        ("somethingv2", {**PROTOCOL, "dataset": "kinetics"}, IDS, "has scores of kinetics"),
        ("kinetics", PROTOCOL, IDS, "'a' is not <YouTube id>"),
        ("somethingv1", PROTOCOL, ["a", "b", "x/a", "c"], "2 videos are named 'a'"),
    ],
)
def test_bad_submissions(tmp_path: Path, data_set: str, protocol: dict | None, ids: list[str], words: str) -> None:
    folder = write_views(tmp_path / "a", protocol=protocol, ids=ids)
    with pytest.raises(InputError, match=words):
        main(["--output_dir", str(folder), "--submission", data_set])
    assert not (folder / "results.json").exists()


@pytest.mark.parametrize("size", [10, 1500])
def test_a_full_disk(tmp_path: Path, size: int, capsys) -> None:
    """Simulated by a limit on file sizes; the larger one only lacks room for the picture."""
    folder = write_views(tmp_path / "a", protocol=PROTOCOL)
    with file_size_limit(size), pytest.raises(InputError, match=f"cannot write into {folder}"):
        main(["--output_dir", str(folder)])
    assert "4 videos, 3 classes: top-1" in capsys.readouterr().out
    assert (folder / "results.json").exists() is (size > 10)


def test_a_folder_whose_name_looks_like_a_format(tmp_path: Path, capsys) -> None:
    main(["--output_dir", str(write_views(tmp_path / "s{1}", protocol={**PROTOCOL, "weights": "{net}"}))])
    assert "s{1}: H2CN resnet18" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--multi_segments", "True"], "belong together"),
        (["--output_dir1", "x"], "belong together"),
        (["--coeff", "1", "2"], "2 weights for 1 folders"),
        (["--coeff", "0"], "all weights are 0"),
        (["--num_clips", "3"], r"2 of 3 views.*1_crop0\.pkl.*center_crop\.py --weights CKPT --clip_index 1,2"),
        (["--test_crops", "3"], r"2 of 3 views are missing.*three_crops\.py --weights CKPT --clip_index 0"),
    ],
)
def test_bad_flags(tmp_path: Path, flags: list[str], words: str) -> None:
    folder = write_views(tmp_path / "a")
    with pytest.raises(InputError, match=words):
        main(["--output_dir", str(folder), *flags])


def test_a_model_is_merged_once(tmp_path: Path) -> None:
    folder = str(write_views(tmp_path / "a"))
    for flags in ([folder, f"{folder}/../a"], [folder, "--multi_segments", "True", "--output_dir1", folder]):
        with pytest.raises(InputError, match=r"names \S+/a twice"):
            main(["--output_dir", *flags])


def test_multi_segments_takes_true_and_false_only(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--output_dir", "a", "--multi_segments", "yes"])
    assert "choose from" in capsys.readouterr().err
    main(["--output_dir", str(write_views(tmp_path / "a")), "--multi_segments", "False"])


@pytest.mark.parametrize(
    ("name", "what"), [("dataset", "data set"), ("class_names", "class names"), ("list_hash", "list of videos")]
)
def test_models_of_different_data_are_not_merged(tmp_path: Path, name: str, what: str) -> None:
    a = write_views(tmp_path / "a", protocol=PROTOCOL)
    other = ["x", "y", "z"] if name == "class_names" else "another"
    b = write_views(tmp_path / "b", protocol={**PROTOCOL, name: other})
    with pytest.raises(InputError, match=f"a and .*b .*{what}"):
        main(["--output_dir", str(a), str(b)])


@pytest.mark.parametrize(
    "protocol", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 10**5, *(
        json.dumps({**PROTOCOL, **odd}).encode() for odd in (
            {"num_segments": True}, {"class_names": ["a", "b", 3]}, {"ablate": [["shift"]]}, {"frame_order": 1},
            {"crop_size": [[[]]]}, {"frames_per_segment": 10**30},
        )
    ), *(
        json.dumps({key: value for key, value in PROTOCOL.items() if key != name}).encode() for name in PROTOCOL
    )]
)  # fmt: skip
def test_a_damaged_protocol(tmp_path: Path, protocol: bytes) -> None:
    folder = write_views(tmp_path / "a")
    (folder / "protocol.json").write_bytes(protocol)
    with pytest.raises(InputError, match=r"protocol\.json does not say how the views were made.*--overwrite"):
        main(["--output_dir", str(folder)])


def test_a_protocol_with_other_classes(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "a", protocol={**PROTOCOL, "class_names": ["left"]})
    with pytest.raises(InputError, match="protocol.json .*1 class name.* 3 classes"):
        main(["--output_dir", str(folder)])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--save_dir"):
        main(["--output_dir", str(folder), "--save_dir", str(tmp_path / "file" / "x")])


def test_report(tmp_path: Path, capsys) -> None:
    """A page with frames of the mistakes and the curves of the training; nothing of the kind without the flag."""
    for video in IDS[:3]:
        write_frames(tmp_path / "frames" / video, 4)
    (tmp_path / "log.jsonl").write_text('{"epoch": 0, "train/loss": 1.5}\n')
    media = {"root_path": str(tmp_path / "frames"), "image_tmpl": "{:05d}.jpg", "weights": str(tmp_path / "x.pth.tar")}
    a, b = (write_views(tmp_path / name, seed=seed, protocol={**PROTOCOL, **media}) for seed, name in enumerate("ab"))
    for folder in (a, b):
        write_scores(pickle_path(folder, 0, 0), np.eye(3)[[1, 2, 0, 0]] * 3, LABELS, IDS)
    main(["--output_dir", str(a), str(b)])
    assert not (tmp_path / "a+b" / "report.html").exists()
    main(["--output_dir", str(a), str(b), "--report"])
    assert "a+b/report.html" in capsys.readouterr().out
    html = (tmp_path / "a+b" / "report.html").read_text(encoding="utf-8")
    assert html.count('<img src="data:image/jpeg;base64,') == 3
    assert "frames/d" in html  # the missing one is named
    assert "Training: loss" in html
