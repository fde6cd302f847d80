"""The best epochs of a run, whose weights are kept in separate files (--keep_best)."""

from dataclasses import dataclass, field
from pathlib import Path

NAME = "ckpt.epoch_{}.pth.tar"


@dataclass
class BestEpochs:
    """The accuracies of the best epochs."""

    number: int = 1  # of epochs to keep; 1: only the file of the best epoch
    top1: dict[int, float] = field(default_factory=dict)  # by epoch, counted from 1

    def add(self, epoch: int, top1: float) -> bool:
        """Rank an epoch, and return whether its weights must be kept."""
        if self.number > 1:
            ranked = sorted({**self.top1, epoch: top1}.items(), key=lambda pair: (-pair[1], pair[0]))
            self.top1 = dict(ranked[: self.number])
        return self.number > 1 and epoch in self.top1

    def remove_others(self, folder: Path) -> None:
        """Remove the files of other epochs and unfinished files, once the new file is written."""
        for path in (*folder.glob(NAME.format("*")), *folder.glob(f".{NAME.format('*')}.*.tmp")):
            if path.name not in map(NAME.format, self.top1):
                path.unlink(missing_ok=True)
