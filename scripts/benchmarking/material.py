"""Videos to read: the built-in data set's, drawn anew in any length and size, or your own; in every form."""

import argparse
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from common.cli import number
from common.option_groups import add_data_options
from datasets.built_in.moving_digits import Settings, ensure_moving_digits
from datasets.catalogue import BUILT_IN, DatasetSpec, resolve
from datasets.lists import VideoRecord, read_list
from datasets.preparing.extraction import Extraction
from datasets.reading.frames import FrameFolder
from datasets.reading.readers import Reader, open_record
from datasets.reading.video_file import VideoFile
from opts import data_options

FORMS = ("folder", "archive", "video")
FRAME_RATE = 25
CLASSES = 12  # of the built-in data set
Size = tuple[int, int]  # W, H in pixels
Specs = dict[str, DatasetSpec]  # form -> where it is


def frame_size(text: str) -> Size:
    """An argparse type: "320x240" -> (320, 240)."""
    try:
        width, height = map(int, text.split("x"))
    except ValueError:
        width = height = 0
    if min(width, height) < 16:
        raise argparse.ArgumentTypeError(f"{text!r}: write W x H as 320x240, both 16 or more")
    return width, height


def add_options(parser: argparse.ArgumentParser, which: str, *, clips: int, num_frames: list[int], size: Size) -> None:
    """Add the options that say which videos are read and what a clip of them is, with these defaults."""
    parser.add_argument("dataset", nargs="?", default=BUILT_IN, help="data set name; the built-in one is drawn anew")
    parser.add_argument("--num_segments", type=number(int, 1), default=8, help="segments a clip, T")
    parser.add_argument("--frames_per_segment", type=number(int, 1), default=5, help="L: 5 for H2CN and TDN, else 1")
    text = f"videos of the {which} list to measure with"
    parser.add_argument("--clips", type=number(int, 1), default=clips, help=text)
    text = "of a built-in video; a table each"
    parser.add_argument("--num_frames", type=number(int, 2), nargs="+", default=num_frames, help=f"frames {text}")
    parser.add_argument(
        "--frame_sizes", type=frame_size, nargs="+", default=[size], metavar="WxH", help=f"pixels {text}"
    )
    add_data_options(parser, (which,))
    parser.set_defaults(threads=1)  # what a worker has


def materials(args: argparse.Namespace, which: str, forms: Collection[str]) -> Iterator[tuple[str, Specs]]:
    """What tables are made of, one after the other: a title, and the videos, which are there until the next is made."""
    own = args.dataset != BUILT_IN
    sizes, lengths = (args.frame_sizes, args.num_frames) if not own else ([(0, 0)], [0])
    for size in sizes:
        for num_frames in lengths:
            title = args.dataset if own else f"{num_frames} frames of {size[0]} x {size[1]} a video"
            with TemporaryDirectory() as folder:
                spec = find_videos(args, Path(folder), num_frames, size, which)
                yield title, in_forms(spec, args.clips, Path(folder), which, forms)


def find_videos(args: argparse.Namespace, scratch: Path, num_frames: int, size: Size, which: str) -> DatasetSpec:
    """The data set to measure with, its train or val list: `args.dataset`, or the built-in one, drawn as wanted."""
    options = data_options(args)
    if args.dataset == BUILT_IN:
        per_class = -(-args.clips // CLASSES)
        train, val = (per_class, 1) if which == "train" else (1, per_class)
        home = ensure_moving_digits(scratch, Settings(train, val, num_frames, height=size[1], width=size[0]))
        names = {"root_path": "frames", f"{which}_list": f"{which}.txt", "classes": "classes.txt"}
        options = {flag: str(home / name) for flag, name in names.items()}
    return resolve(args.dataset, **options, need=(which,))


def in_forms(spec: DatasetSpec, clips: int, scratch: Path, which: str, forms: Collection[str]) -> Specs:
    """The first clips of a list in each of the forms that are wanted.

    Frame folders stay as they are if nothing else is wanted; else all forms are made from one video file each, so that
    they hold the same frames.
    """
    listed = read_list(spec.lists[which], spec.num_class, may_repeat=which == "train")
    records = list(dict.fromkeys(listed))[:clips]
    readers = [open_record(spec.root_path, record, spec.image_tmpl) for record in records]
    if set(forms) <= {"folder"} and all(isinstance(reader, FrameFolder) for reader in readers):
        videos = zip(records, readers, strict=True)
        lines = [f"{record.path} {reader.num_frames} {record.label}\n" for record, reader in videos]
        return {"folder": _with_list(spec, scratch / "folder.txt", lines, which)}
    specs = {}
    for form in forms:
        lines = [_make(form, scratch, place, *pair) for place, pair in enumerate(zip(records, readers, strict=True))]
        listed = _with_list(spec, scratch / f"{form}.txt", lines, which)
        specs[form] = replace(listed, root_path=scratch / form, image_tmpl="{:05d}.jpg")
    return specs


def _with_list(spec: DatasetSpec, list_file: Path, lines: list[str], which: str) -> DatasetSpec:
    list_file.write_text("".join(lines))
    return replace(spec, lists={which: list_file})


def _make(form: str, scratch: Path, place: int, record: VideoRecord, reader: Reader) -> str:
    """Make a video in a form, from a video file; its line in a list."""
    video = scratch / "video" / f"clip_{place}.mp4"
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
    """H.264 as x264 makes it by default, of high quality."""
    images = dict(reader.frames(range(reader.num_frames)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "18"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p" if stream.width % 2 == stream.height % 2 == 0 else "yuv444p"
        for number in range(reader.num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(images[number], format="rgb24")))
        container.mux(stream.encode(None))


def volume(spec: DatasetSpec) -> tuple[int, int]:
    """Files and bytes under a data set's root."""
    files = [path for path in spec.root_path.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)
