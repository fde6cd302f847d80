"""The check of published recipes, and the commands of scripts/recipes/."""

import os
import subprocess
from pathlib import Path

import pytest
from interruptions import needs_posix

from ops.training.recipes import check_recipe
from opts import parse_results, parse_test, parse_train

FINE = {"lr": 0.01, "batch": 8, "partial_bn": False, "random_start": False}


@pytest.mark.parametrize("batch", [8, 16, 32])
def test_the_published_recipe_gives_no_warning(batch: int) -> None:
    assert check_recipe("H2CN", "somethingv1", **{**FINE, "batch": batch}) == []


def test_other_data_sets_have_no_recipe() -> None:
    assert check_recipe("H2CN", "moving_digits", **{**FINE, "lr": 7.0}) == []


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"batch": 64}, "--lr 0.02"),
        ({"batch": 4}, "--lr 0.005"),
        ({"lr": 0.1}, "--lr 0.01"),
        ({"partial_bn": True}, "--npb"),
        ({"random_start": True}, "--pretrain imagenet"),
    ],
)
def test_a_warning_names_the_fitting_value(change: dict, fits: str) -> None:
    (line,) = check_recipe("H2CN", "somethingv1", **{**FINE, **change})
    assert line.endswith(fits)


def test_a_rate_scaled_by_the_linear_rule_fits() -> None:
    assert check_recipe("H2CN", "kinetics", lr=0.01, batch=64, partial_bn=False, random_start=False) == []


RECIPES = Path(__file__).parents[2] / "scripts" / "recipes"
SVMIX_DATA = ("ucf101", "diving48", "egtea1", "somethingv1", "somethingv2")
RUNS = [("kinetics.sh",), ("somethingv1.sh", "16"), ("somethingv2.sh",), ("diving48.sh",), ("egtea.sh", "2")]
RUNS += [("svmix.sh", data, net) for data in SVMIX_DATA for net in ("TSM", "H2CN")]
RUNS += [("svmix_transformers.sh", data) for data in SVMIX_DATA]
PARSERS = {
    "train.py": parse_train,
    "test_models_center_crop.py": lambda argv: parse_test(1, argv),
    "test_models_three_crops.py": lambda argv: parse_test(3, argv),
    "pkl_to_results.py": parse_results,
}


@needs_posix
@pytest.mark.parametrize("run", RUNS, ids=" ".join)
def test_the_commands_of_a_recipe_are_valid(run: tuple[str, ...], tmp_path: Path) -> None:
    """A stand-in for python records its arguments; the run folder that train.py prints is tested and merged."""
    stand_in = tmp_path / "python"
    stand_in.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" END >> commands.txt\n[ "$1" = train.py ] && echo run: elsewhere/run-2 || true\n'
    )
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", str(RECIPES / run[0]), *run[1:]], cwd=tmp_path, env=environment, check=True)
    commands = [text.splitlines() for text in (tmp_path / "commands.txt").read_text().split("END\n")[:-1]]
    parsed = [PARSERS[script](arguments) for script, *arguments in commands]
    assert [command[0][:4] for command in commands] == ["trai", "test", "pkl_"]
    train, test, merge = parsed
    assert train.resume == "auto"
    assert test.weights == "elsewhere/run-2/ckpt.best.pth.tar"
    assert merge.output_dir == [test.output_dir]
    assert merge.num_clips in (None, len(test.clip_index))  # None: all clips found
    assert merge.test_crops in (None, test.test_crops)
    if run[0] == "svmix.sh":
        assert (train.dataset, train.net, train.mix) == (*run[1:], "svmix")
    if run[0] == "svmix_transformers.sh":
        net = "mvit_v2_s" if "something" in run[1] else "swin3d_s"
        assert (train.dataset, train.net, train.mix, train.arch) == (run[1], net, "svmix", "torchvision")
        views = {"ucf101": (2, 3), "somethingv1": (1, 3), "somethingv2": (1, 3)}
        assert (len(test.clip_index), test.test_crops) == views.get(run[1], (1, 1))
        assert not test.full_res


@needs_posix
def test_a_recipe_stops_when_training_fails(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\necho $1 >> commands.txt\nexit 130\n")
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    done = subprocess.run(["bash", str(RECIPES / "kinetics.sh")], cwd=tmp_path, env=environment)
    assert done.returncode == 130
    assert (tmp_path / "commands.txt").read_text() == "train.py\n"
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file


@needs_posix
@pytest.mark.parametrize("name", ["svmix.sh", "svmix_transformers.sh"])
def test_a_data_set_without_a_recipe_is_refused(name: str, tmp_path: Path) -> None:
    done = subprocess.run(["bash", str(RECIPES / name), "jester"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no recipe for jester; choose ucf101" in done.stderr


def test_recipes_depend_on_mixing() -> None:
    options = {"lr": 0.01, "batch": 64, "partial_bn": True, "random_start": False}
    assert check_recipe("TSM", "diving48", mix="svmix", **options) == []  # which BatchNorms it trained is unknown
    assert check_recipe("TSM", "diving48", **{**options, "batch": 8}) == []
    (line,) = check_recipe("TSM", "ucf101", mix="svmix", **options)
    assert line.endswith("--lr 0.02")
