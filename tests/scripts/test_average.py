"""scripts/average.py: the mean of weights, in a checkpoint that tests and trainings take."""

from pathlib import Path

import pytest
import torch
from checkpoint_files import CLASSES, write_checkpoint

from common.errors import InputError
from ops.weights.checkpoint import Weights
from ops.weights.file import read_checkpoint, save_checkpoint
from scripts import average

pytestmark = pytest.mark.usefixtures("tiny_network")


def write(path: Path, shift: float, net: str = "Tiny", **content) -> dict[str, torch.Tensor]:
    """A checkpoint whose numbers are moved by `shift`."""
    write_checkpoint(path, net, **content)
    stored = read_checkpoint(path)
    state = {name: value + value.new_tensor(shift) for name, value in stored["state_dict"].items()}
    save_checkpoint(path, {**stored, "state_dict": state})
    return state


def test_the_mean_of_weights_and_statistics(tmp_path: Path, capsys) -> None:
    paths = [str(tmp_path / f"{i}.pth.tar") for i in range(3)]
    clips = [torch.tensor([i, 7]) for i in range(3)]
    states = [
        write(Path(path), i, options={"data_root": "there"}, seen_clips={"mine": clips[i]}, epoch=i)
        for i, path in enumerate(paths)
    ]
    output = tmp_path / "mean.pth.tar"
    average.main([*paths, "--output", str(output)])
    assert "mean of 3 checkpoints" in capsys.readouterr().out
    weights = Weights.read(str(output))
    found = weights.build(CLASSES).state_dict()
    for name, value in found.items():
        expected = torch.stack([state[name].double() for state in states]).mean(0)
        torch.testing.assert_close(value, expected.to(value.dtype), rtol=1e-6, atol=1e-6)
    assert weights.content["options"] == {"data_root": "there"}
    assert weights.content["seen_clips"]["mine"].tolist() == [0, 1, 2, 7]


def test_the_mean_of_averaged_weights(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.pth.tar" for i in range(2)]
    for i, path in enumerate(paths):
        own = write(path, 5)
        moving = {name: value + value.new_tensor(i) for name, value in own.items()}
        save_checkpoint(path, {**read_checkpoint(path), "state_dict_ema": moving})
    average.main([*map(str, paths), "--ema", "--output", str(tmp_path / "mean.pth.tar")])
    content = read_checkpoint(tmp_path / "mean.pth.tar")
    assert torch.allclose(content["state_dict"]["fc.weight"], own["fc.weight"] + 0.5)
    assert "state_dict_ema" not in content
    assert "frame_stride" not in content["trained_on"]


def test_what_cannot_be_averaged(tmp_path: Path) -> None:
    one, two, other = (str(tmp_path / f"{name}.pth.tar") for name in ("one", "two", "other"))
    write(Path(one), 0)
    write(Path(two), 0)
    write(Path(other), 0, net="TSN")
    dense = str(tmp_path / "dense.pth.tar")
    stored = read_checkpoint(Path(one))
    save_checkpoint(Path(dense), {**stored, "trained_on": {**stored["trained_on"], "frame_stride": 4}})
    foreign = tmp_path / "foreign.pth"
    torch.save({"fc.weight": torch.zeros(2)}, foreign)
    output = ["--output", str(tmp_path / "mean.pth.tar")]
    for paths, message in (
        ([one], r"one\.pth\.tar is only one"),
        ([one, two], r"one\.pth\.tar and .*two\.pth\.tar hold the same weights"),
        ([one, other], r"other\.pth\.tar was trained with net TSN"),
        ([one, dense], r"dense\.pth\.tar was trained with --frame_stride 4"),
        ([one, str(foreign)], "does not name its network"),
    ):
        with pytest.raises(InputError, match=message):
            average.main([*paths, *output])
    with pytest.raises(InputError, match="--output .* is a folder"):
        average.main([one, two, "--output", str(tmp_path)])
    assert not (tmp_path / "mean.pth.tar").exists()
    before = Path(one).read_bytes()
    with pytest.raises(InputError, match=r"--output .*one\.pth\.tar is one of the checkpoints"):
        average.main([one, two, "--output", str(tmp_path / "sub" / ".." / "one.pth.tar")])
    assert Path(one).read_bytes() == before
