"""Curves within an epoch: their points, and what a resumed run does to them."""

import errno
from pathlib import Path

import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX.event_file_writer import EventsWriter

from ops.runtime import Runtime
from ops.training import run_log
from ops.training.progress import Progress, Sums
from ops.training.run_log import RunLog
from ops.training.step_clock import peak_memory

CPU = torch.device("cpu")


def curve(folder: Path, tag: str = "step/loss") -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in EventAccumulator(str(folder / "steps")).Reload().Scalars(tag)]


def test_a_point_has_the_means_since_the_last_one() -> None:
    """And the speed of all processes."""
    sums = Sums(loss=8.0, top1=1, top5=2, videos=4)
    progress, runtime = Progress(sums), Runtime(CPU, world_size=2)
    one = progress.next_point(2.0, 0.1, runtime)
    sums.loss, sums.top1, sums.top5, sums.videos = 11.0, 4, 5, 10  # the same object, as in an epoch
    progress.gradient_norm = torch.tensor(7.0)
    two = progress.next_point(5.0, 0.2, runtime)
    assert one.items() >= {"step/loss": 2.0, "step/top1": 25.0, "step/clips_per_second": 4.0, "step/lr": 0.1}.items()
    assert two.items() >= {"step/loss": 0.5, "step/top1": 50.0, "step/top5": 50.0, "step/clips_per_second": 4.0}.items()
    assert ("step/gradient_norm" in one, two["step/gradient_norm"]) == (False, 7.0)


def test_peak_memory_counts_bytes() -> None:
    held = torch.ones(50 << 20, dtype=torch.uint8)
    assert len(held) < peak_memory(CPU) < 2**36


def test_a_restart_drops_the_points_of_the_epoch_that_it_repeats(tmp_path: Path) -> None:
    """Whatever its batch size: points are placed by thousandths of an epoch."""
    log = RunLog(tmp_path, 0)
    for step in range(1, 14):
        log.write_step(step / 5, {"step/loss": float(step)})  # stopped in the third epoch
        if step % 5 == 0:
            log.write(step // 5 - 1, {"train/loss": 1.0})
    log = RunLog(tmp_path, 2, {"train/loss": 1.0})
    for step in range(1, 5):
        log.write_step(2 + step / 4, {"step/loss": 9.0})
    log.close()
    assert curve(tmp_path) == [
        *((200 * step, step) for step in range(1, 11)),
        *((2000 + k, 9) for k in (250, 500, 750, 1000)),
    ]
    assert len(EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")) == 2


def test_points_of_one_epoch_do_not_share_their_place(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(run_log, "STEPS_PER_EPOCH", 10)
    log = RunLog(tmp_path, 0)
    for step in range(1, 41):
        log.write_step(step / 40, {"step/loss": 0.0})
    log.close()
    assert [step for step, _ in curve(tmp_path)] == list(range(1, 11))


def test_a_point_that_cannot_be_written_does_not_stop_the_epoch(tmp_path: Path, monkeypatch, caplog) -> None:
    log = RunLog(tmp_path, 0)
    log.write_step(0.1, {"step/loss": 1.0})
    with monkeypatch.context() as full:
        full.setattr(EventsWriter, "flush", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        log.write_step(1.0, {"step/loss": 2.0})
    log.write_step(2.0, {"step/loss": 3.0})
    log.write(0, {"train/loss": 1.0})
    log.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text


def test_tensorboard_gets_options_and_pictures(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    log.write_options(0, {"lr": 0.1, "net": "TSN", "npb": True, "lr_steps": [1.0, 2.0], "gd": None}, "val/best_top1")
    log.write_plot(0, "val/confusion", lambda path: Image.new("RGB", (5, 4)).save(path))
    log.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Images("val/confusion")[0].width == 5
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert all(word in content for word in (b"lr_steps", b"1.0 2.0", b"net", b"TSN", b"npb"))
    assert b"val/best_top1" in events.SummaryMetadata("_hparams_/experiment").plugin_data.content
