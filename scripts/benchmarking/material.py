"""Videos for benchmarks: the built-in data set in any length and size, or the user's own; in any form."""

import argparse
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import av

from common.cli import number
from datasets.built_in.motions import CLASS_NAMES
from datasets.built_in.moving_digits import Settings, make_moving_digits
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from datasets.lists import VideoRecord, format_line, read_list
from datasets.preparing.extraction import Extraction
from datasets.reading.frames import FrameFolder
from datasets.reading.readers import Reader, open_record
from datasets.reading.video_file import VideoFile
from options.groups import add_data_options, data_options

FORMS = ("folder", "archive", "video")
FRAME_RATE = 25
Specs = dict[str, DatasetSpec]  # form -> the same videos in this form


class Size(NamedTuple):
    """Width and height of frames in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """An argparse type: "320x240"."""
        found = re.fullmatch(r"(\d+)x(\d+)", text)
        size = cls(*map(int, found.groups())) if found else cls(0, 0)
        if min(size) < 16:
            raise argparse.ArgumentTypeError(f"{text!r}: write W x H as 320x240, both at least 16")
        return size

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def add_options(parser: argparse.ArgumentParser, which: str, *, clips: int, num_frames: list[int], size: Size) -> None:
    """Add the options that select videos and define a clip, with these defaults; `which`: "train" or "val"."""
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; the built-in one is generated")
    parser.add_argument("--num_segments", type=number(int, 1), default=8, help="segments per clip, T")
    text = "L, frames per segment: 5 for H2CN and TDN, else 1"
    parser.add_argument("--frames_per_segment", type=number(int, 1), default=5, help=text)
    text = f"number of videos, from the start of the {which} list"
    parser.add_argument("--clips", type=number(int, 1), default=clips, help=text)
    text = "frames per built-in video; one table for each value"
    parser.add_argument("--num_frames", type=number(int, 2), nargs="+", default=num_frames, help=text)
    text = "frame size of built-in videos in pixels; one table for each value"
    parser.add_argument("--frame_sizes", type=Size.parse, nargs="+", default=[size], metavar="WxH", help=text)
    add_data_options(parser, (which,))
    parser.set_defaults(threads=1)  # as in a worker


def measure_each(
    args: argparse.Namespace, which: str, forms: Collection[str], measure: Callable[[Specs, str], dict[str, Any]]
) -> dict[str, Any]:
    """Call `measure` with the videos of each size and length and a title; returns the content of the JSON file."""
    own = args.dataset != BUILT_IN
    sizes, lengths = ([Size(0, 0)], [0]) if own else (args.frame_sizes, args.num_frames)
    tables = []
    for size, num_frames in product(sizes, lengths):
        title = args.dataset if own else f"{num_frames} frames of {size.width} x {size.height} per video"
        with TemporaryDirectory() as folder:
            spec = find_videos(args, Path(folder), num_frames, size, which)
            specs = in_forms(spec, args.clips, Path(folder), which, forms)
            tables.append({"videos": title, **measure(specs, title)})
    return {"tables": tables}


def find_videos(args: argparse.Namespace, scratch: Path, num_frames: int, size: Size, which: str) -> DatasetSpec:
    """`args.dataset` with its train or val list; the built-in one is made in `scratch`."""
    if args.dataset != BUILT_IN:
        return resolve(args.dataset, **data_options(args), need=(which,))
    per_class = -(-args.clips // len(CLASS_NAMES))
    train, val = (per_class, 1) if which == "train" else (1, per_class)
    make_moving_digits(scratch / "made", Settings(train, val, num_frames, height=size.height, width=size.width))
    return resolve("made", data_root=str(scratch), need=(which,))


def in_forms(spec: DatasetSpec, clips: int, scratch: Path, which: str, forms: Collection[str]) -> Specs:
    """The first videos of a list in each of the forms.

    Frame folders are used as they are if no other form is needed. Otherwise all forms are made from one video file
    each, so that they have the same frames.
    """
    records = list(dict.fromkeys(read_list(spec.lists[which], spec.num_class, may_repeat=which == "train")))[:clips]
    readers = [open_record(spec.root_path, record, spec.image_tmpl) for record in records]
    videos = list(zip(records, readers, strict=True))
    in_place = set(forms) <= {"folder"} and all(isinstance(reader, FrameFolder) for reader in readers)
    specs = {}
    for form in forms:
        if in_place:
            listed = spec
            lines = [format_line(r if r.window else r._replace(num_frames=reader.num_frames)) for r, reader in videos]
        else:
            listed = replace(spec, root_path=scratch / form, image_tmpl="{:05d}.jpg")
            lines = [_make(form, scratch, number, *video) for number, video in enumerate(videos)]
        list_file = scratch / f"{form}.txt"
        list_file.write_text("".join(lines))
        specs[form] = replace(listed, lists={which: list_file})
    return specs


def _make(form: str, scratch: Path, number: int, record: VideoRecord, reader: Reader) -> str:
    """Make one video in a form; returns its line of the list."""
    video = scratch / "video" / f"clip_{number}.mp4"
    if not video.exists():
        video.parent.mkdir(exist_ok=True)
        if isinstance(reader, VideoFile):
            video.symlink_to(reader.path.absolute())
        else:
            write_video(reader, video)
    if form == "video":
        return f"{video.name} {record.label}\n"
    count = Extraction(pack=form == "archive")(video, scratch / form / video.stem)
    return f"{video.stem} {count} {record.label}\n"


def write_video(reader: Reader, path: Path) -> None:
    """Write H.264 with x264's defaults, but at high quality."""
    images = dict(reader.frames(range(reader.num_frames)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "18"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p" if stream.width % 2 == stream.height % 2 == 0 else "yuv444p"
        for number in range(reader.num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(images[number], format="rgb24")))
        container.mux(stream.encode(None))
