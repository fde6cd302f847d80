"""Test views from one reading of a video's frames: as frame by frame; faults of a user's videos."""

import pickle
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from video_files import write_dataset, write_frames, write_video

from common.errors import InputError
from datasets.catalogue import DatasetSpec, resolve
from datasets.clip_dataset import VideoDataset
from datasets.lists import VideoRecord
from datasets.loader import make_view_loader
from datasets.plans import EvalPlan
from datasets.preprocessing import Preprocessing, eval_preprocessing
from datasets.reading import frames, video_file
from datasets.reading.decoders import choose_decoder
from datasets.reading.sources import Source, find_sources
from datasets.reading.video_decoding import ToRgb, decode_video
from datasets.sampling import FRAME_ORDERS
from datasets.view_dataset import SourceViews, VideoViews, ViewDataset, clip_plans

CENTRE, FULL_CENTRE, THREE = (
    eval_preprocessing(32),
    eval_preprocessing(32, full_res=True),
    eval_preprocessing(32, 3, full_res=True),
)


def several_sizes(root: Path) -> DatasetSpec:
    """Videos of several sizes: wide, tall, a video file, and one of a single frame."""
    write_dataset(root, val=3)
    videos = root / "frames"
    write_frames(videos / "tall", 30, (34, 61), seed=8)
    write_frames(videos / "one", 1, (320, 240), seed=9)
    write_video(videos / "file.mp4", 24)
    with (root / "val.txt").open("a") as file:
        file.write("tall 30 0\none 1 1\nfile.mp4 2\n")
    lists = {"train_list": str(root / "train.txt"), "val_list": str(root / "val.txt")}
    return resolve("mine", root_path=str(videos), classes=str(root / "classes.txt"), **lists)


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> DatasetSpec:
    return several_sizes(tmp_path_factory.mktemp("own"))


@pytest.fixture
def damaged(tmp_path: Path) -> DatasetSpec:
    """The same for a test that changes its files."""
    return several_sizes(tmp_path)


def test_windows_of_one_video_are_videos_of_their_own(tmp_path: Path) -> None:
    write_video(tmp_path / "frames" / "file.mp4", 24)
    (tmp_path / "val.txt").write_text("file.mp4 1 12 0\nfile.mp4 13 24 1\n")
    spec = DatasetSpec("mine", ("a", "b"), tmp_path / "frames", {"val": tmp_path / "val.txt"}, "{:05d}.jpg")
    first, second = (ViewDataset(spec, plans_of(CENTRE, [0]))[index] for index in (0, 1))
    assert [first.video_id, second.video_id] == ["file.mp4 1f 12f", "file.mp4 13f 24f"]
    assert not torch.equal(first.frames, second.frames)


def plans_of(preprocessing: Preprocessing, clips: list[int | None], frame_order: str = "normal") -> list[EvalPlan]:
    return [EvalPlan(3, 5, preprocessing, clip_index=clip, seed=4, frame_order=frame_order) for clip in clips]


def frame_by_frame(views: ViewDataset, plan: EvalPlan, index: int) -> np.ndarray:
    """The clip of a plan (V, T, L, H, W, 3): each of its frames decoded, resized and cut for itself."""
    reader, record = views.open(index), views.records[index]

    def crops(number: int) -> np.ndarray:
        _, image = next(reader.frames([number]))
        (resized,) = plan.preprocessing.resized(image[None])
        boxes = plan.preprocessing.boxes(*resized.shape[:2])
        return np.stack([resized[top:bottom, left:right] for left, top, right, bottom in boxes])

    indices = plan.sample(record, reader.num_frames, 0, index).indices
    return np.stack([np.stack([crops(number) for number in segment], 1) for segment in indices.tolist()], 1)


@pytest.mark.parametrize("order", FRAME_ORDERS)
@pytest.mark.parametrize("clips", [[None], [0, 1, 7]])
@pytest.mark.parametrize("preprocessing", [CENTRE, FULL_CENTRE, THREE])
def test_the_views_are_those_of_clips_read_frame_by_frame(
    spec: DatasetSpec, preprocessing: Preprocessing, clips: list[int | None], order: str
) -> None:
    plans = plans_of(preprocessing, clips, order)
    views = ViewDataset(spec, plans)
    for index, record in enumerate(views.records):
        video = views[index]
        assert (video.label, video.index, video.video_id) == (record.label, index, record.path)
        for clip_index, plan in enumerate(plans):
            assert np.array_equal(video.clip(clip_index), frame_by_frame(views, plan, index))


def test_each_frame_is_decoded_once_however_many_views_need_it(spec: DatasetSpec, monkeypatch) -> None:
    decoded: list[bytes] = []
    decode = choose_decoder("auto")
    monkeypatch.setattr(frames, "choose_decoder", lambda _: lambda data: decoded.append(data) or decode(data))
    video = ViewDataset(spec, plans_of(THREE, list(range(10))))[3]  # 10 x 3 x 15 frames of views, of 30 in the video
    assert len(decoded) == len(set(decoded)) == len(video.frames) <= 30
    assert video.positions.shape == (10, 3, 5)


def test_only_the_part_of_a_frame_under_the_crops_is_kept(spec: DatasetSpec) -> None:
    assert ViewDataset(spec, plans_of(CENTRE, [0]))[0].frames.shape[1:] == (32, 32, 3)
    assert ViewDataset(spec, plans_of(THREE, [0]))[0].frames.shape[1:] == (32, 40, 3)


@pytest.mark.parametrize(("workers", "indices"), [(0, None), (2, None), (2, [4, 1, 5]), (0, [])])
def test_videos_come_in_list_order_or_as_asked(spec: DatasetSpec, workers: int, indices: list[int] | None) -> None:
    dataset = ViewDataset(spec, plans_of(THREE, [0, 1]))
    loaded: list[VideoViews] = list(make_view_loader(dataset, workers=workers, indices=indices))
    assert [video.index for video in loaded] == (list(range(6)) if indices is None else indices)
    for video in loaded:
        assert torch.equal(video.frames, dataset[video.index].frames)
        assert torch.equal(video.positions, dataset[video.index].positions)


def test_data_sets_can_be_pickled_for_workers(spec: DatasetSpec) -> None:
    dataset = ViewDataset(spec, plans_of(THREE, [0, 1]))
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[3].frames, dataset[3].frames)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_test_stops_at_a_missing_video(damaged: DatasetSpec, workers: int) -> None:
    shutil.rmtree(damaged.root_path / "tall")
    with pytest.raises(InputError, match="there is no frame folder"):
        list(make_view_loader(ViewDataset(damaged, plans_of(CENTRE, [0])), workers=workers))


def test_a_test_stops_at_an_unreadable_frame(damaged: DatasetSpec) -> None:
    (damaged.root_path / "one" / "00001.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"one/00001\.jpg cannot be read"):
        ViewDataset(damaged, plans_of(CENTRE, [0]))[4]


def test_frames_of_several_sizes_in_one_video(damaged: DatasetSpec) -> None:
    """Fine if all are resized to one size; an error if they stay different."""
    for number in range(1, 31, 2):
        path = damaged.root_path / "tall" / f"{number:05d}.jpg"
        Image.open(path).resize((50, 61)).save(path)
    plan = plans_of(CENTRE, [0])
    assert torch.equal(ViewDataset(damaged, plan)[3].clip(0)[0], VideoDataset(damaged, "val", plan[0])[3].clip)
    with pytest.raises(InputError, match=r"tall: frames of one video have several sizes .*extract it again"):
        ViewDataset(damaged, plans_of(THREE, [0]))[3]


def test_a_clip_is_cut_from_the_frames() -> None:
    numbers = torch.arange(4, dtype=torch.uint8)[:, None, None, None]
    video = VideoViews(
        numbers.expand(4, 5, 6, 3), torch.tensor([[[0, 1], [1, 2]], [[3, 3], [0, 3]]]),
        [(0, 0, 5, 5), (1, 0, 6, 5)], 0, 0, "",
    )  # fmt: skip
    clip = video.clip(1)
    assert clip.shape == (2, 2, 2, 5, 5, 3)
    assert np.array_equal(clip[1, :, :, 0, 0, 0], [[3, 3], [0, 3]])


@pytest.mark.parametrize(
    ("stride", "clips", "sampling", "dataset", "num_clips", "described"),
    [
        (0, [0], "auto", "mine", None, "centre of each segment"),
        (0, [0, 1], "auto", "mine", None, "random starts, seed 4"),
        (0, [0], "auto", "kinetics", None, "random starts, seed 4"),
        (0, [0], "auto", "minikinetics200", None, "random starts, seed 4"),
        (0, [0], "auto", "kinetics of mine", None, "centre of each segment"),
        (0, [0, 1], "even", "mine", None, "even starts, 2 clips"),
        (0, [1], "even", "mine", 3, "even starts, 3 clips"),
        (8, [0], "auto", "kinetics", None, "dense, 8 frames apart, 1 clip"),
        (8, [4], "auto", "mine", 10, "dense, 8 frames apart, 10 clips"),
        (8, [0, 9], "dense", "mine", None, "dense, 8 frames apart, 10 clips"),
        (8, [0], "centre", "mine", None, "centre of each segment"),
        (8, [0], "even", "mine", None, "even starts, 1 clip"),
    ],
)
def test_the_sampling_of_a_test(
    stride: int, clips: list[int], sampling: str, dataset: str, num_clips: int | None, described: str
) -> None:
    plan = EvalPlan(3, 5, CENTRE, seed=4, frame_stride=stride)
    plans = clip_plans(plan, clips, sampling, dataset, num_clips)
    assert list(plans) == clips
    assert {each.describe() for each in plans.values()} == {described}


def test_samplings_that_lack_a_number_or_do_not_read_it() -> None:
    plan = EvalPlan(3, 5, CENTRE)
    with pytest.raises(InputError, match="--sampling dense needs --frame_stride"):
        clip_plans(plan, [0], "dense", "mine")
    with pytest.raises(InputError, match="--num_clips 3: random clips"):
        clip_plans(plan, [0, 1], "auto", "mine", 3)


def test_dense_and_even_clips_of_a_list(spec: DatasetSpec) -> None:
    """Video 0 has 12 frames, video 4 one."""
    dense = ViewDataset(spec, list(clip_plans(EvalPlan(3, 2, CENTRE, frame_stride=3), [0, 2], "auto", "mine").values()))
    clips = np.array([[[0, 1], [3, 4], [6, 7]], [[3, 4], [6, 7], [9, 10]]])
    numbers, positions = np.unique(clips, return_inverse=True)
    video = dense[0]
    assert len(video.frames) == len(numbers)
    assert np.array_equal(video.positions, positions.reshape(clips.shape))
    assert dense[4].positions.unique().tolist() == [0]
    even = EvalPlan(3, 1, CENTRE, clip_index=1, num_clips=4)
    assert even.sample(dense.records[0], 12, 0, 0).indices.flatten().tolist() == [1, 5, 9]


def test_another_resize_before_the_crops() -> None:
    assert CENTRE.after_resize([40]) == Preprocessing(40, 32)
    assert THREE.after_resize([48, 64]) == Preprocessing((48, 64), 32, 3)
    with pytest.raises(InputError, match="--resize 31 is smaller than the crops of 32"):
        CENTRE.after_resize([31, 64])


PLAN = EvalPlan(4, 1, eval_preprocessing(32))


def read_clip(source: Path) -> Tensor:
    return SourceViews(find_sources([str(source)]), [PLAN], "auto").read(0).clip(0)


def clip_of(source: Path, numbers: list[int]) -> Tensor:
    """The clip of these frames, from a video that is decoded whole."""
    return torch.from_numpy(eval_preprocessing(32)(np.stack(list(decode_video(source)))))[numbers][None, :, None]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("raw.h264", "libx264")])
def test_only_the_frames_of_the_clip_are_kept(tmp_path: Path, name: str, codec: str, monkeypatch) -> None:
    """Also in files without a frame count."""
    path = write_video(tmp_path / name, 60, codec=codec)
    converted = []
    monkeypatch.setattr(video_file, "ToRgb", lambda: lambda frame: (converted.append(frame.pts), ToRgb()(frame))[1])
    clip = read_clip(path)
    assert len(converted) <= 4 + 1  # the one at which the packets were compared with the frames
    assert clip.equal(clip_of(path, [7, 22, 37, 52]))


def test_fewer_frames_than_packets(tmp_path: Path) -> None:
    """The last packets have a frame header and no frame. With a listed number of frames it is an error, as in tests."""
    path = write_video(
        tmp_path / "a.mkv", 40, codec="libx265", options={"x265-params": "keyint=12:bframes=0:log-level=none"}
    )
    source = tmp_path / "empty_end.mkv"
    with av.open(str(path)) as whole, av.open(str(source), "w") as copy:
        stream = copy.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(packet for packet in whole.demux(video=0) if packet.size):
            new = packet if number < 28 else av.Packet(b"\0\0\0\3\x46\1\x50")
            new.pts, new.dts, new.time_base, new.stream = packet.pts, packet.dts, packet.time_base, stream
            copy.mux(new)
    assert (len(list(decode_video(source))), video_file.VideoFile(source).num_frames) == (28, 40)
    assert read_clip(source).equal(clip_of(source, [3, 10, 17, 24]))
    with pytest.raises(InputError, match="of 40 cannot be read"):
        SourceViews([Source(source, VideoRecord("x", 40, 0))], [PLAN], "auto").read(0)


def test_a_video_that_breaks_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    with pytest.raises(InputError, match=r"a\.avi cannot be decoded to its end \(it breaks off"):
        read_clip(path)


def test_a_fault_is_a_value(tmp_path: Path, monkeypatch) -> None:
    """Whatever a damaged file raises."""
    write_frames(tmp_path / "good", 3)
    views = SourceViews(find_sources([str(tmp_path / "none.mp4"), str(tmp_path / "good")]), [PLAN], "auto")
    assert "none.mp4" in views[0]
    assert views[1].video_id == str(tmp_path / "good")
    monkeypatch.setattr("datasets.view_dataset.open_source", lambda *_: 1 / 0)
    assert "good cannot be read (ZeroDivisionError" in views[1]
