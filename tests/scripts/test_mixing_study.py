"""The study of the mixing methods: its splits, its table, and how it resumes."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  # forked workers inherit it; each would import it at its first step, for a second
from video_files import own_data_flags, write_dataset

from common.errors import InputError
from datasets.catalogue import resolve
from datasets.lists import read_list
from ops.scoring.metrics import spread_text
from scripts import mixing_study
from scripts.mixing_study import Row, draw_split, markdown
from scripts.studying.study import read_rows


@pytest.fixture(scope="module")
def flags(tmp_path_factory) -> list[str]:
    return own_data_flags(write_dataset(tmp_path_factory.mktemp("own"), train=12, val=3))


def test_a_split_has_a_few_random_clips_per_class(flags: list[str], tmp_path: Path) -> None:
    spec = resolve("mine", **{k.strip("-"): v for k, v in zip(flags[::2], flags[1::2], strict=True)})

    def paths(seed: int) -> list[str]:
        records = read_list(draw_split(spec, 2, seed, tmp_path).lists["train"])
        assert Counter(record.label for record in records) == {0: 2, 1: 2, 2: 2}
        return [record.path for record in records]

    assert paths(0) == paths(0)
    assert len({tuple(paths(seed)) for seed in range(5)}) > 1
    assert set(paths(0)) <= {record.path for record in read_list(spec.lists["train"])}
    everything = read_list(draw_split(spec, 99, 0, tmp_path).lists["train"])
    assert everything == read_list(spec.lists["train"])
    repeated = tmp_path / "repeated.txt"
    repeated.write_text(spec.lists["train"].read_text() * 3)
    drawn = draw_split(replace(spec, lists={"train": repeated}), 2, 0, tmp_path)
    assert Counter(record.label for record in read_list(drawn.lists["train"])) == {0: 2, 1: 2, 2: 2}


def test_the_table_has_means_spreads_and_gains_over_the_same_seeds() -> None:
    rows = [Row("none", seed, top1, math.nan, 0.0, 2.0) for seed, top1 in ((0, 10.0), (1, 20.0))]
    rows += [Row("svmix", 0, 14.0, 8.0, 0.0, 4.0), Row("svmix", 1, 22.0, 9.0, 0.0, 4.0)]
    lines = markdown(rows).splitlines()[2:]
    assert lines[0] == "| none | 2 | 15.0 ± 7.1 | - | 2.00 ± 0.00 |"
    assert lines[1] == "| svmix | 2 | 18.0 ± 5.7 | 3.0 ± 1.4 | 4.00 ± 0.00 |"
    assert lines[2].startswith("| svmix, the teacher | 2 | 8.5 ± 0.7 | -6.5 ± 6.4 |")
    assert [spread_text(values) for values in ([], [1.0])] == ["-", "1.0"]


@pytest.mark.slow
def test_a_study_runs_train_py_once_per_method_and_seed(flags: list[str], tmp_path: Path, capsys) -> None:
    small = ["mine", *flags, "--output_dir", str(tmp_path), "--clips_per_class", "2", "--num_segments", "2",
             "--arch", "resnet10", "--epochs", "1", "-b", "3", "-j", "2", "--seeds", "0"]  # fmt: skip
    mixing_study.main([*small, "--mix", "none", "svmix"])
    mixing_study.main([*small, "--mix", "none", "svmix"])
    assert "0 trainings to run, 2 already in" in capsys.readouterr().out
    rows = {row.mix: row for row in read_rows(tmp_path / "mixing.csv", Row)}
    assert rows.keys() == {"none", "svmix"}
    assert math.isnan(rows["none"].teacher_top1)
    assert not math.isnan(rows["svmix"].teacher_top1)
    assert (tmp_path / "mixing.md").read_text().count("\n| ") == 3
    (log,) = (tmp_path / "runs" / "svmix_seed0").glob("*/log.jsonl")
    last = json.loads(log.read_text())
    assert rows["svmix"].top1 == pytest.approx(last["val/top1"], rel=1e-3)
    assert rows["svmix"].teacher_top1 == pytest.approx(last["val/teacher_top1"], rel=1e-3)
    assert "TSM_mine" in (tmp_path / "runs" / "svmix_seed0" / "output.txt").read_text()
    assert not list(tmp_path.rglob("*.pth.tar"))
    with pytest.raises(InputError, match="another budget"):
        mixing_study.main([*small, "--lr", "0.5"])
    with pytest.raises(InputError, match="not a multiple of 32"):
        mixing_study.main([*small, "--input_size", "40"])
    with pytest.raises(InputError, match="2 clips per batch"):
        mixing_study.main([*small, "-b", "1", "--mix", "none", "mixup"])
