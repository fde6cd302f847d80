"""How many clips the published lists have."""

from dataclasses import dataclass

from common.errors import counted


@dataclass(frozen=True)
class Published:
    """A published size.

    Attributes:
        clips: in the list.
        note: how far the number can be trusted, if not wholly.
        found: these are the videos that a well-known copy has, fewer than the annotations name.
    """

    clips: int
    note: str = ""
    found: bool = False

    def __str__(self) -> str:
        return f"{self.clips:,}{self._note}"

    @property
    def _note(self) -> str:
        return f" ({self.note})" if self.note else ""

    def compared(self, clips: int, what: str) -> list[str]:
        """A line if a list has another number of clips; `what` these are: "annotated", "listed"."""
        return [] if clips == self.clips else [f"{counted(clips, 'clip')} {what}; {self.clips:,} published{self._note}"]


_UNCONFIRMED = "not confirmed"
# Folder of the data set -> list -> size, from the releases and their split files; for Kinetics, mmaction2's copy.
PUBLISHED: dict[str, dict[str, Published]] = {
    "kinetics": {
        "train": Published(240_436, "the videos in mmaction2's copy", found=True),
        "val": Published(19_796, "the videos in mmaction2's copy", found=True),
    },
    "somethingv1": {"train": Published(86_017), "val": Published(11_522, _UNCONFIRMED)},
    "somethingv2": {"train": Published(168_913), "val": Published(24_777)},
    "diving48": {"train": Published(15_027, _UNCONFIRMED), "val": Published(1_970, _UNCONFIRMED)},
    "egtea": {"train_split1": Published(8_299), "val_split1": Published(2_022)},
    "ucf101": {
        "train_split1": Published(9_537),
        "val_split1": Published(3_783),
        "train_split2": Published(9_586),
        "val_split2": Published(3_734),
        "train_split3": Published(9_624),
        "val_split3": Published(3_696),
    },
    "hmdb51": {f"{key}_split{i}": Published(n) for i in (1, 2, 3) for key, n in (("train", 3_570), ("val", 1_530))},
    "jester": {"train": Published(118_562, "third party"), "val": Published(14_787, "third party")},
}


def published_size(folder: str, list_name: str) -> Published | None:
    """The published size of a list, by the data set's folder and the list's name, such as "train_split1"."""
    return PUBLISHED.get(folder, {}).get(list_name)
