"""A thread that reads ahead, so that a video is decoded while the network is busy."""

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import Any

POLL = 0.1  # seconds between two looks at whether the thread has ended


class ReadAhead(Thread):
    """The items of an iterator, taken by a thread during a `with` block; its error is raised after the last item."""

    def __init__(self, items: Iterator[Any], most: int) -> None:
        """`most`: items that may wait; 0: any number, for a source that does not wait itself."""
        super().__init__(daemon=True)
        self.items = items
        self.queue: Queue[Any] = Queue(most)
        self.is_stopped = False

    def __enter__(self) -> "ReadAhead":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_stopped = True
        while self.is_alive():
            with suppress(Empty):
                self.queue.get(timeout=POLL)  # the thread may wait for room

    def __iter__(self) -> Iterator[Any]:
        while (item := self.queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def run(self) -> None:
        end = None
        try:
            for item in self.items:
                self.queue.put(item)
                if self.is_stopped:
                    return
        except BaseException as error:
            end = error
        self.queue.put(end)
