"""The test views of videos that a user names; one that cannot be read does not stop the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from common.errors import InputError, unforeseen
from datasets.clip_dataset import ClipPlan
from datasets.reading.renumbered import part_of
from datasets.reading.sources import Source, open_source
from datasets.reading.video_file import VideoFile
from datasets.view_dataset import VideoViews, read_views


@dataclass(frozen=True)
class SourceViews(Dataset[VideoViews | str]):
    """The views of each source, for a loader, or the reason why it cannot be read. Arguments as for `ViewDataset`."""

    sources: Sequence[Source]
    plans: Sequence[ClipPlan]
    decoder: str

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> VideoViews | str:
        try:
            return self.read(index)
        except InputError as error:
            return str(error)
        except Exception as error:  # a damaged file may raise anything
            return str(unforeseen(self.sources[index].path, error))

    def read(self, index: int) -> VideoViews:
        """All views of a video, as the test scripts score them; raises as `open_source` and `read_views` do."""
        path, record = self.sources[index].path, self.sources[index].record
        reader = part_of(open_source(path, self.decoder, record.num_frames), record.window)
        try:
            return read_views(reader, record, self.plans, index)
        except InputError:
            if not isinstance(reader, VideoFile) or record.num_frames is not None:
                raise
        decodable = VideoFile(path, reader.count_by_decoding())  # it may have fewer frames than packets
        return read_views(decodable, record, self.plans, index)
