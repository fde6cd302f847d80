"""The clips of a list, as values and as compact arrays."""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import eq
from typing import Any, NamedTuple

import numpy as np

NO_LABEL = -1  # label of every record of a list without labels
_NO_COUNT, _WINDOW = -1, -2  # instead of a number of frames: not in the list; the id ends in a window
_MORE = "\n"  # in the text of a record, between its id and its other labels
_CHUNK = 4096  # records made at a time
_TIME = re.compile(r"(\d{1,9})f?|(\d{1,9})s|(\d{0,9}\.\d{1,9})s?", re.ASCII)
_WINDOW_OF_ID = re.compile(r"(.+) ([0-9]+f [0-9]+f|[0-9.]+s [0-9.]+s)", re.DOTALL)


class Window(NamedTuple):
    """A part of a video."""

    start: float
    end: float
    in_seconds: bool  # start <= time < end, from the first frame; otherwise frames start ... end, counted from 1

    def __str__(self) -> str:
        """As in lists: "30f 90f", "1.5s 4s"."""
        if not self.in_seconds:
            return f"{self.start:.0f}f {self.end:.0f}f"
        return " ".join(f"{time:.6f}".rstrip("0").rstrip(".") + "s" for time in (self.start, self.end))

    @classmethod
    def parse(cls, start: str, end: str, *, bare: bool) -> "Window | None":
        """The window that two words of a line give; None if they are something else.

        `bare`: whether whole numbers without a unit are frames. Two units, or no frames, raise a `ValueError`.
        """
        if not (_TIME.fullmatch(start) and _TIME.fullmatch(end)):
            return None
        kinds = {"" if word.isdecimal() else "f" if word[-1] == "f" else "s" for word in (start, end)}
        if not bare and kinds not in ({"f"}, {"s"}):
            return None
        if len(kinds) > 1:
            raise ValueError(f"the window {start} to {end} has two units; write both in frames or both in seconds")
        in_seconds = kinds == {"s"}
        first, last = (round(float(word.rstrip("fs")), 6) for word in (start, end))
        if first >= last if in_seconds else not 1 <= first <= last:
            unit = "seconds" if in_seconds else "frames"
            order = "start before their end" if in_seconds else "count from 1 and include both ends"
            raise ValueError(f"the window {start} to {end} has no frames; windows in {unit} {order}")
        return cls(first, last, in_seconds)


class VideoRecord(NamedTuple):
    """One clip of a list file."""

    path: str  # frame folder, archive or video file, under the data set's root
    num_frames: int | None  # of the video; None: the list does not say
    label: int  # class, from 0, or NO_LABEL
    more_labels: tuple[int, ...] = ()  # its other classes, in a list with several labels per line
    window: Window | None = None  # the part of the video; None: all of it

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels, in the order of the list."""
        return (self.label, *self.more_labels)

    @property
    def id(self) -> str:
        """The clip's name in results and messages: the path, and its window if it has one."""
        return self.path if self.window is None else f"{self.path} {self.window}"

    @classmethod
    def of_id(cls, clip_id: str) -> "VideoRecord":
        """A record without label that names the same part of a video."""
        match = _WINDOW_OF_ID.fullmatch(clip_id)
        window = Window.parse(*match[2].split(), bare=False) if match else None
        return cls(match[1] if match and window else clip_id, None, NO_LABEL, window=window)


class Records(Sequence[VideoRecord]):
    """The records of a list, as a few arrays that workers share: 16 bytes plus the path per record.

    Each worker would soon copy Python objects, because every use changes a reference count in their memory. So a
    `VideoRecord` is made only when it is asked for.
    """

    def __init__(self, records: Iterable[VideoRecord]) -> None:
        ids, ends, counts, labels = bytearray(), array("q", [0]), array("i"), array("i")
        self.multi_label = False  # whether a line has several labels
        for record in records:
            ids += record.id.encode()
            if record.more_labels:
                ids += f"{_MORE}{','.join(map(str, record.more_labels))}".encode()
                self.multi_label = True
            ends.append(len(ids))
            counts.append(_WINDOW if record.window else _NO_COUNT if record.num_frames is None else record.num_frames)
            labels.append(record.label)
        self._ids, self._ends, self._counts = map(np.asarray, (memoryview(ids), ends, counts))
        self.labels = np.asarray(labels)  # (M,) int32: the first label of each record
        self.repeated = 0  # number of lines that repeat an earlier clip
        self._shared: dict[str, Any] = {}  # the arrays as tensors, once a worker has been started with them

    def __getstate__(self) -> dict[str, Any]:
        """With tensors, which torch hands to a new worker process as shared memory."""
        import torch  # here because preparing a data set needs no torch

        if not self._shared:
            arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
            self._shared = {name: torch.from_numpy(array).share_memory_() for name, array in arrays.items()}
            vars(self).update({name: tensor.numpy() for name, tensor in self._shared.items()})
        return {**vars(self), **dict.fromkeys(self._shared)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, **{name: tensor.numpy() for name, tensor in state["_shared"].items()})

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, index: int) -> VideoRecord:  # type: ignore[override]  # no slices
        index = range(len(self))[index]  # counts negative ones from the end
        return next(self._made(index, index + 1))

    def __iter__(self) -> Iterator[VideoRecord]:
        for start in range(0, len(self), _CHUNK):
            yield from self._made(start, min(start + _CHUNK, len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def has_windows(self) -> bool:
        """Whether any record is a part of a video."""
        return bool((self._counts == _WINDOW).any())

    def note_count(self, index: int, num_frames: int) -> None:
        """Note the number of frames of a record whose line does not give it."""
        if self._counts[index] == _NO_COUNT:
            self._counts[index] = num_frames

    def _made(self, start: int, stop: int) -> Iterator[VideoRecord]:
        ends = self._ends[start : stop + 1].tolist()
        ids = self._ids[ends[0] : ends[-1]].tobytes()
        rows = zip(pairwise(ends), self._counts[start:stop].tolist(), self.labels[start:stop].tolist(), strict=True)
        for (first, last), count, label in rows:
            name, _, more = ids[first - ends[0] : last - ends[0]].decode().partition(_MORE)
            more_labels = tuple(map(int, more.split(","))) if more else ()
            if count == _WINDOW:
                record = VideoRecord.of_id(name)
                yield VideoRecord(record.path, None, label, more_labels, record.window)
            else:
                yield VideoRecord(name, None if count == _NO_COUNT else count, label, more_labels)


def absent_classes(class_names: Sequence[str], records: Iterable[VideoRecord]) -> list[str]:
    """Names of the classes without a record; none for a list without labels."""
    present = {label for record in records for label in record.labels}
    if present == {NO_LABEL}:
        return []
    return [name for label, name in enumerate(class_names) if label not in present]
