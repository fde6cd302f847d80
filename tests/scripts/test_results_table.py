"""results_table.py: the table at the end of the demo."""

import json
from pathlib import Path

import pytest

from common.errors import InputError
from scripts import results_table


def write_results(folder: Path, top1: float, **protocol: object) -> str:
    folder.mkdir()
    known = {"net": "H2CN", "arch": "resnet18", "num_segments": 8, "frames_per_segment": 5, "class_names": ["a", "b"]}
    known |= dict.fromkeys(("sampling", "preprocessing", "weights", "list_hash"), "") | {"dataset": "mine"}
    models = [{"protocol": {**known, **protocol} if protocol else {}}]
    results = {"top1": top1, "mean_class": top1 / 2, "videos": 9, "models": models, "num_clips": 10, "test_crops": 3}
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


def test_a_row_says_what_was_tested_and_how(tmp_path: Path, capsys) -> None:
    folders = [
        write_results(tmp_path / "a", 50.0, net="TSN", frame_order="normal"),
        write_results(tmp_path / "b", 25.0, frame_order="shuffled", ablate=["shift"]),
        write_results(tmp_path / "old", 10.0),
    ]
    results_table.main(folders[:2])
    _, *rows, _ = capsys.readouterr().out.splitlines()
    names = ["TSN resnet18, 8 segments", "H2CN-shift resnet18, 8 segments, frames shuffled"]
    assert [row.split("  ")[0] for row in rows] == names
    assert rows[0].split()[4:] == ["10", "x", "3", "9", "50.00", "%", "18.9", "to", "73.3", "25.00", "%"]
    results_table.main(folders)
    assert capsys.readouterr().out.splitlines()[1].startswith("mine: TSN")


def test_rows_with_the_same_name_show_their_folders(tmp_path: Path, capsys) -> None:
    folders = [write_results(tmp_path / name, 50.0, net="TSN") for name in "ab"]
    results_table.main(folders)
    _, *rows, _ = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in rows] == [f"TSN resnet18, 8 segments, {folder}" for folder in folders]


def test_several_seeds_or_folds_in_one_row(tmp_path: Path, capsys) -> None:
    folders = [write_results(tmp_path / str(n), top1, net="TSN") for n, top1 in enumerate((50.0, 60.0, 70.0))]
    folders.append(write_results(tmp_path / "other", 80.0, net="TSM"))
    results_table.main(["--mean", *folders])
    _, tsn, tsm, _ = capsys.readouterr().out.splitlines()
    assert tsn.split()[4:] == ["10", "x", "3", "9", "3", "60.0", "±", "10.0", "%", "30.0", "±", "5.0", "%"]
    assert tsm.split()[4:] == ["10", "x", "3", "9", "1", "80.0", "%", "40.0", "%"]


def test_views_of_the_official_code_are_named_by_their_folder(tmp_path: Path, capsys) -> None:
    folders = [write_results(tmp_path / "a", 50.0, net="TSN"), write_results(tmp_path / "official", 50.0)]
    results_table.main(folders)
    _, *rows, _ = capsys.readouterr().out.splitlines()
    assert [row.split("  ")[0] for row in rows] == ["mine: TSN resnet18, 8 segments", folders[1]]


FIGURES = '"top1": 1, "mean_class": 1, "videos": 1, "num_clips": 1, "test_crops": 1'


@pytest.mark.parametrize(
    "content",
    [
        None, "no json", "[]", "null", "1", '{"top1": 1}', f'{{{FIGURES}, "models": []}}',
        f'{{{FIGURES}, "models": 1}}',
        f'{{{FIGURES}, "models": [{{"protocol": {{"net": "TSN"}}}}]}}', f'{{{FIGURES}, "models": [{{"protocol": 1}}]}}',
        f'{{{FIGURES}, "models": [{{"protocol": {{}}}}], "top1": "x"}}', "[" * 10**5,
        f'{{{FIGURES}, "models": [{{"protocol": {{}}}}], "top1": 1{"0" * 400}}}',
        f'{{{FIGURES}, "models": [{{"protocol": {{"net": "a", "arch": "b", "num_segments": 8, "dataset": []}}}}]}}',
    ],
)  # fmt: skip
def test_a_folder_without_results(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"cannot read .*results\.json .*pkl_to_results\.py --output_dir"):
        results_table.main([str(tmp_path)])


def test_a_folder_that_is_given_twice(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "a", 50.0)
    with pytest.raises(InputError, match="a is given twice"):
        results_table.main(["--mean", folder, f"{folder}/../a"])
