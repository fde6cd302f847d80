"""Official annotation files -> class names and labelled clips. One file per family has all its facts."""

from datasets.preparing.annotations.base import Published
from datasets.preparing.annotations.diving48 import DIVING48
from datasets.preparing.annotations.kinetics import KINETICS
from datasets.preparing.annotations.something import JESTER, SOMETHING_V1, SOMETHING_V2
from datasets.preparing.annotations.three_splits import EGTEA, HMDB51, UCF101

OFFICIAL = {
    **KINETICS,
    "somethingv1": SOMETHING_V1,
    "somethingv2": SOMETHING_V2,
    "diving48": DIVING48,
    "egtea": EGTEA,
    "ucf101": UCF101,
    "hmdb51": HMDB51,
    "jester": JESTER,
}  # name of the data set's folder -> its facts


def published_size(folder: str, list_name: str) -> Published | None:
    """The published size of a list, such as "train_split1"; None if it is not known."""
    return OFFICIAL[folder].published.get(list_name) if folder in OFFICIAL else None
