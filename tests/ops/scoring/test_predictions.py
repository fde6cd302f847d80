"""Predictions as CSV and JSON."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from ops.scoring.pickles import multi_hot
from ops.scoring.predictions import (
    Prediction,
    write_multi_label_predictions,
    write_precisions,
    write_prediction_csv,
    write_prediction_json,
)

NAMES = ['say "a, b"', "two\nlines", "<b>", "d"]
SHARES = np.array([0.1, 0.6, 0.2, 0.1])


def test_tables_hold_any_name(tmp_path: Path) -> None:
    found = [Prediction("a, b.mp4", SHARES), Prediction("\udcff\x1b[31m.mp4", SHARES[::-1])]
    write_prediction_csv(tmp_path / "a.csv", found, NAMES, 3)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        header, first, second = csv.reader(file)
    assert header == ["video", *(f"{what}_{i}" for i in (1, 2, 3) for what in ("class", "probability"))]
    assert first == ["a, b.mp4", "two\nlines", "0.600000", "<b>", "0.200000", 'say "a, b"', "0.100000"]
    assert second[:2] == [r"\udcff\x1b[31m.mp4", "<b>"]
    write_prediction_json(tmp_path / "a.json", found, NAMES, 3, weights="w")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["weights"] == "w"
    assert content["predictions"][0]["classes"][0] == {"name": "two\nlines", "probability": 0.6}


def test_windows_have_times_and_k_is_at_most_the_classes(tmp_path: Path) -> None:
    found = [Prediction("v", SHARES, (0.5, 2.5))]
    write_prediction_csv(tmp_path / "a.csv", found, NAMES, 9)
    header, row = (tmp_path / "a.csv").read_text().split("\n", 1)
    assert header.startswith("video,start,end,class_1,")
    assert header.endswith("probability_4")
    assert row.startswith("v,0.500,2.500,")
    write_prediction_json(tmp_path / "a.json", found, NAMES, 1)
    assert json.loads((tmp_path / "a.json").read_text())["predictions"] == [
        {"video": "v", "start": 0.5, "end": 2.5, "classes": [{"name": "two\nlines", "probability": 0.6}]}
    ]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*a\.csv"):
        write_prediction_csv(tmp_path / "none" / "a.csv", [Prediction("v", SHARES)], NAMES, 1)


def test_tables_of_several_labels_per_video(tmp_path: Path) -> None:
    classes = ["left", "a, <b>", "c\nd", "never"]
    shares = np.array([[0.9, 0.2, 0.5, 0.6], [0.1, 0.3, 0.2, 0.05], [0.2, 0.1, 0.3, 0.4]])
    hot = multi_hot([[0, 2], [1], [0]], 4)
    write_multi_label_predictions(tmp_path / "p.csv", shares, hot, ["x, y", "v1", "v2"], classes)
    rows = list(csv.reader((tmp_path / "p.csv").open(newline="")))
    assert rows[1:] == [
        ["x, y", "0", "left", "0.900000", "True", "True"],
        ["x, y", "3", "never", "0.600000", "True", "False"],
        ["x, y", "2", "c\nd", "0.500000", "False", "True"],
        ["v1", "1", "a, <b>", "0.300000", "False", "True"],  # the best class, although below a half
        ["v2", "3", "never", "0.400000", "False", "False"],
        ["v2", "0", "left", "0.200000", "False", "True"],
    ]
    write_multi_label_predictions(tmp_path / "p.csv", shares, np.zeros_like(hot), "123", classes)
    rows = list(csv.reader((tmp_path / "p.csv").open(newline="")))
    assert [row[0] + row[1] + row[-1] for row in rows[1:]] == ["10", "13", "21", "33"]
    write_precisions(tmp_path / "c.csv", shares, hot, classes)
    rows = list(csv.reader((tmp_path / "c.csv").open(newline="")))
    assert [row[2] for row in rows[1:]] == ["2", "1", "1", "0"]
    assert [row[3] for row in rows[1:]] == ["100.0", "100.0", "100.0", ""]
