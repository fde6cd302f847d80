"""Progress of a long loop: a bar on a terminal, plain lines elsewhere; times as on a clock."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(
    items: Iterable[Item], total: int, title: str, every: int, describe: Callable[[], str] = str, done: int = 0
) -> Iterator[Item]:
    """Iterate over `items` with progress; an earlier run did the first `done` of `total`.

    A terminal gets a bar with an ETA, whose figures (`describe`) change every `every` items; anything else gets a line
    every `every` items.
    """
    is_terminal = sys.stderr.isatty() and logging.getLogger().isEnabledFor(logging.INFO)
    bar = tqdm(items, title, total, leave=False, dynamic_ncols=True, initial=done, disable=not is_terminal)
    with bar:
        for count, item in enumerate(bar, start=done + 1):
            yield item
            if count % every == 0 or count == total:
                if is_terminal:
                    bar.set_postfix_str(describe())
                else:
                    logging.info("%s %d/%d %s", title, count, total, describe())


def clock(seconds: float) -> str:
    """Seconds as on a clock, with tenths: 3:45.5 or 1:03:45.5."""
    minutes, tenths = divmod(round(10 * seconds), 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{tenths / 10:04.1f}"
