"""The picture of classes over time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawing import plots


def draw(path: Path, best: list[int], names: list[str], monkeypatch) -> tuple[list[str], str]:
    """The names of the rows and the title, for windows of one second in which these classes are likely."""
    shares = np.full((len(best), len(names)), 0.01)
    shares[np.arange(len(best)), best] = 0.9
    figures = []
    rendered = plots.rendered
    monkeypatch.setattr(plots, "rendered", lambda figure: figures.append(figure) or rendered(figure))
    starts = np.arange(len(best), dtype=float)
    plots.draw_timeline(path, np.stack([starts, starts + 1], 1), shares, names, "my $video.mp4")
    axes = figures[0].axes[0]
    return [label.get_text() for label in axes.get_yticklabels()], axes.get_title(loc="left")


def test_rows_are_the_likeliest_classes_in_order_of_time(tmp_path: Path, monkeypatch) -> None:
    rows, title = draw(tmp_path / "a.png", [2, 2, 0, 2, 3], ["a$b", "never", "<c> \x1b[31m", "d"], monkeypatch)
    assert rows == [r"<c> \x1b[31m", "a$b", "d"]
    assert title == "my $video.mp4"
    assert Image.open(tmp_path / "a.png").width > 500


def test_many_classes_and_one_window(tmp_path: Path, monkeypatch) -> None:
    names = [f"class {number} {'long ' * 30}end" for number in range(40)]
    rows, title = draw(tmp_path / "a.png", [*range(40), 39], names, monkeypatch)
    assert len(rows) == plots.MOST_CLASSES
    assert [row.split(" long")[0] for row in rows] == [f"class {number}" for number in [*range(9), 39]]
    assert all(row.endswith("end") for row in rows)
    assert "10 of 40" in title
    assert len(draw(tmp_path / "b.png", [1], names, monkeypatch)[0]) == 1


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3725.25, "1:02:05.2")])
def test_clock(seconds: float, text: str) -> None:
    assert plots.clock(seconds) == text
