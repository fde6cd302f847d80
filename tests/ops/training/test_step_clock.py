"""Where an epoch's time goes, on seconds given by hand."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from ops.training import step_clock as timing
from ops.training.step_clock import Seconds, StepClock, time_report

SECONDS = Seconds(waiting=3.0, forward=2.0, backward=4.0, optimiser=0.5, decoding=18.0, total=10.0)


def test_shares_are_of_the_epoch_and_of_the_workers_time() -> None:
    assert SECONDS.shares(2) == pytest.approx(
        {"waiting": 0.3, "forward": 0.2, "backward": 0.4, "optimiser": 0.05, "decoding": 0.9}
    )
    assert SECONDS.shares(0)["decoding"] == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("workers", "decoding", "advice"),
    [(0, 3.0, "-j 2"), (2, 18.0, "-j 4"), (6, 54.0, "-j 8"), (8, 70.0, "simplejpeg"), (2, 4.0, "first batch")],
)
def test_a_waiting_network_gets_advice(workers: int, decoding: float, advice: str) -> None:
    report = time_report(replace(SECONDS, decoding=decoding).shares(workers), workers, 8)
    assert "waits for data 30 %" in report
    assert advice in report


def test_a_busy_network_gets_only_the_shares() -> None:
    report = time_report(replace(SECONDS, waiting=0.9).shares(2), 2, 8)
    assert report == ("  time: waiting for data 9 % (2 workers 90 % busy), forward 20 %, backward 40 %, optimiser 5 %")


def test_starting_workers_does_not_count_as_waiting(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    clock = StepClock(torch.device("cpu"))
    for seconds, mark in [(5.0, partial(clock.first_batch, 1.5)), (2.0, partial(clock.lap, "forward"))]:
        now[0] += seconds
        mark()
    assert clock.read() == Seconds(waiting=1.5, forward=2.0, total=3.5)
    clock = StepClock(torch.device("cpu"))
    now[0] += 0.5
    clock.first_batch(1.5)  # it was read beside something else
    assert clock.read() == Seconds(waiting=0.5, total=0.5)


def test_seconds_of_processes_add_up() -> None:
    assert Seconds(6.0, 4.0, 8.0, 1.0, 36.0, 20.0) == SECONDS + SECONDS
