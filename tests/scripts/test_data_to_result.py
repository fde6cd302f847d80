"""From videos to an accuracy through all scripts, with each of the three forms of data."""

import json
from pathlib import Path

import numpy as np
import pytest
from video_files import write_video

import pkl_to_results
import test_models_center_crop as center_crop
import train
from ops.scoring.pickles import Scores, read_scores
from scripts import check_data, extract_frames, prepare_data

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_network", "quick_plots")]

CLASSES = ("clap", "throw")
CLIPS = 4  # of each class
TINY = ["--net", "Tiny", "--num_segments", "1", "--input_size", "32", "--epochs", "1", "-j", "0"]
RUN = "runs/Tiny_mine_none_1f/ckpt.pth.tar"


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> Path:
    """The same clips as videos, frame folders and archives (lossless); a folder for each form."""
    home = tmp_path_factory.mktemp("forms")
    lines = []
    for label, name in enumerate(CLASSES):
        for i in range(CLIPS):
            write_video(home / "video" / name / f"{name}_{i}.mp4", 5 + i, codec="libx264")
            lines.append(f"{name}/{name}_{i}.mp4 {label}\n")
    (home / "videos.txt").write_text("".join(lines))
    for form, flags in (("frames", []), ("archives", ["--pack"])):
        paths = [str(home / name) for name in ("videos.txt", "video", form, f"{form}.txt")]
        extract_frames.main([*paths, "--image_tmpl", "img_{:05d}.png", "-j", "1", *flags])
    return home


def result(root: Path, out: Path, monkeypatch) -> tuple[Scores, float]:
    """Prepare, check, train, test and merge; return the scores of the val list and the top-1 accuracy."""
    out.mkdir()
    monkeypatch.chdir(out)
    prepare_data.main(["folder", "mine", str(root), "--val_share", "0.5"])
    check_data.main(["mine", "--decode", "-j", "1"])
    train.main(["mine", *TINY, "--check_data"])
    center_crop.main(["mine", "--weights", RUN, "--output_dir", "scores", "-j", "0"])
    pkl_to_results.main(["--output_dir", "scores"])
    top1 = json.loads((out / "scores" / "results.json").read_text())["top1"]
    return read_scores(out / "scores" / "0_crop0.pkl"), top1


def test_all_forms_give_the_same_result(forms: Path, tmp_path: Path, monkeypatch) -> None:
    """To the bit: the frames are the same, and so are the clips that a seed samples."""
    of_videos, top1 = result(forms / "video", tmp_path / "video", monkeypatch)
    clips = [clip.removesuffix(".mp4") for clip in of_videos.video_ids]
    assert {Path(clip).parent.name for clip in clips} == set(CLASSES)
    assert len(clips) == CLIPS
    for form in ("frames", "archives"):
        scores, again = result(forms / form, tmp_path / form, monkeypatch)
        assert list(scores.video_ids) == clips
        assert np.array_equal(scores.logits, of_videos.logits)
        assert again == top1
