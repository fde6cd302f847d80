"""scripts/explain.py on checkpoints with random weights."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from video_files import CLASSES, write_frames, write_video

from common.errors import InputError
from ops.models import build_model
from ops.weights.checkpoint import TrainedOn
from ops.weights.file import save_checkpoint
from scripts import explain

pytestmark = pytest.mark.slow


def checkpoint(folder: Path, net: str = "H2CN", ablate: tuple[str, ...] = ()) -> str:
    model = build_model(net, "resnet10", 3, 2, ablate=ablate)
    made_for = TrainedOn(net, "resnet10", 2, "mine", list(CLASSES), 32, "", "", "", list(ablate))
    path = folder / "ckpt.pth.tar"
    save_checkpoint(path, {"state_dict": model.state_dict(), "trained_on": asdict(made_for)})
    return str(path)


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return checkpoint(tmp_path)


def test_both_pictures_are_written(weights: str, tmp_path: Path, capsys) -> None:
    """Of a video of one frame, whose repeated pictures are stored once per segment, and of an archive."""
    write_frames(tmp_path / "frames", 20)
    archive = Path(shutil.make_archive(str(tmp_path / "frames"), "zip", tmp_path / "frames"))
    for source in (write_video(tmp_path / "a.mp4", 1), archive):
        out = tmp_path / f"of {source.name}"
        explain.main([str(source), "--weights", weights, "--output_dir", str(out)])
        assert sorted(path.name for path in out.iterdir()) == ["explanation.gif", "explanation.png"]
        with Image.open(out / "explanation.gif") as gif, Image.open(out / "explanation.png") as picture:
            assert gif.n_frames == (2 if source.suffix == ".mp4" else 2 * 5)
            assert picture.height > 300  # frames, Grad-CAM, motion, gates
        *scores, one, two = capsys.readouterr().out.splitlines()
        assert len(scores) == 3
        assert all(" %  " in line for line in scores)
        assert (Path(one), Path(two)) == (out / "explanation.png", out / "explanation.gif")


@pytest.mark.parametrize(
    ("net", "ablate", "titles", "stages"),
    [
        ("TSN", (), ["Grad-CAM"], 0),
        ("TDN", (), ["Grad-CAM", "after the stem", "after stage 1"], 0),
        ("H2CN", (), ["Grad-CAM", "after the stem"], 4),
        ("H2CN", ("fmcb", "shift"), ["Grad-CAM"], 4),
        ("H2CN", ("cmcb",), ["Grad-CAM", "after the stem"], 0),
    ],
)
def test_each_network_shows_what_it_has(
    tmp_path: Path, monkeypatch, net: str, ablate: tuple[str, ...], titles: list[str], stages: int
) -> None:
    drawn = []
    monkeypatch.setattr(explain, "explanation_sheet", lambda clip: drawn.append(clip) or Image.new("RGB", (8, 8)))
    monkeypatch.setattr(explain, "explanation_frames", lambda _: iter([Image.new("RGB", (8, 8))]))
    write_frames(tmp_path / "frames", 20)
    flags = ["--weights", checkpoint(tmp_path, net, ablate), "--output_dir", str(tmp_path / "out")]
    for name in CLASSES[1:]:
        explain.main([str(tmp_path / "frames"), *flags, "--class_name", name])
        maps = list(drawn[-1].maps)
        assert all(title in map_ for title, map_ in zip(titles, maps, strict=True))
        assert name in maps[0]
        assert len(drawn[-1].gates) == stages


def test_bad_input_writes_nothing(weights: str, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", 3)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    plain = tmp_path / "plain.pth.tar"
    save_checkpoint(plain, {"state_dict": build_model("TSN", "resnet10", 3, 2).state_dict()})
    frames, own = tmp_path / "frames", ["--weights", weights]
    for source, flags, words in (
        (frames, [*own, "--class_name", "Pushing right"], "--class_name 'Pushing right'.*Pushing something from"),
        (frames, [*own, "--ema"], "no averaged weights"),
        (frames, [*own, "--frame_rate", "10"], "10 frames per second"),
        (frames, ["--weights", str(plain)], "does not name its network and classes"),
        (frames, [*own, "--output_dir", str(tmp_path / "file")], "--output_dir"),
        (tmp_path / "text.mp4", own, r"text\.mp4"),
        (tmp_path / "empty", own, "no frames"),
        (tmp_path / "gone", own, "there is no"),
    ):
        with pytest.raises(InputError, match=words):
            explain.main([str(source), "--output_dir", str(tmp_path / "out"), *flags])
        assert not (tmp_path / "out").exists()
