"""Progress of a long loop: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(
    items: Iterable[Item], total: int, title: str, every: int, describe: Callable[[], str] = str, done: int = 0
) -> Iterator[Item]:
    """Iterate with a progress bar and ETA on a terminal, and with a plain line every `every` items elsewhere.

    Args:
        items: what to iterate over.
        total: their number, with those that are done.
        title: stands in front.
        every: items between two lines, or between two updates of the bar's figures.
        describe: the figures at the moment; none by default.
        done: how many an earlier run did.
    """
    if sys.stderr.isatty() and logging.getLogger().isEnabledFor(logging.INFO):
        with tqdm(items, title, total, leave=False, dynamic_ncols=True, initial=done) as bar:
            for count, item in enumerate(bar, start=done + 1):
                yield item
                if count % every == 0 or count == total:
                    bar.set_postfix_str(describe())
        return
    for count, item in enumerate(items, start=done + 1):
        yield item
        if count % every == 0 or count == total:
            logging.info("%s %d/%d %s", title, count, total, describe())
