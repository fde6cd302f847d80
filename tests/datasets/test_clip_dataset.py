"""Samples and batches: the same with any workers, mirrored labels, errors that arrive unchanged."""

import gc
import multiprocessing
import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interruptions import needs_posix
from torchvision.transforms import v2
from video_files import write_dataset, write_video

from common.errors import InputError
from datasets.catalogue import DatasetSpec, resolve
from datasets.clip_dataset import VideoDataset, train_dataset, val_dataset
from datasets.epoch_sampler import EpochSampler
from datasets.loader import Batch, _ignore_lost_connections, make_loader
from datasets.plans import EvalPlan
from datasets.preprocessing import eval_preprocessing
from datasets.reading import frames
from datasets.reading.decoders import choose_decoder
from datasets.reading.video_file import VideoFile
from datasets.transforms import TrainTransform
from datasets.view_dataset import ViewDataset

SHAPE = {"num_segments": 2, "frames_per_segment": 5}


@pytest.fixture
def spec(tmp_path: Path) -> DatasetSpec:
    root = write_dataset(tmp_path / "own")
    return resolve(
        "mine", root_path=str(root / "frames"), train_list=str(root / "train.txt"),
        val_list=str(root / "val.txt"), classes=str(root / "classes.txt"),
    )  # fmt: skip


def epoch_of(spec: DatasetSpec, workers: int, epoch: int, **options) -> list[Batch]:
    dataset = train_dataset(spec, **SHAPE, input_size=32, seed=3, flip=True)
    loader = make_loader(dataset, batch_size=4, workers=workers, shuffle=True, seed=3, **options)
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_a_batch(spec: DatasetSpec) -> None:
    first, last = epoch_of(spec, 0, 0)
    assert first.clip.shape == (4, 2, 5, 32, 32, 3)
    assert first.clip.dtype == torch.uint8
    assert first.clip.is_contiguous()
    assert sorted(first.index.tolist() + last.index.tolist()) == list(range(6))
    assert first.video_ids == [f"train {i}" for i in first.index.tolist()]


def test_samples_do_not_depend_on_workers(spec: DatasetSpec) -> None:
    for alone, shared in zip(epoch_of(spec, 0, 2), epoch_of(spec, 2, 2), strict=True):
        assert torch.equal(alone.clip, shared.clip)
        assert torch.equal(alone.label, shared.label)
        assert alone.video_ids == shared.video_ids


def test_frames_are_counted_once(spec: DatasetSpec, monkeypatch) -> None:
    """A list without numbers of frames costs a look at the file in the first epoch only."""
    write_video(spec.root_path / "a.mp4", 20)
    spec.lists["train"].write_text("a.mp4 0\n")
    dataset = train_dataset(spec, **SHAPE, input_size=32, seed=3, flip=True)
    first = dataset[0, 0]
    monkeypatch.setattr(VideoFile, "_count", None)
    assert torch.equal(dataset[0, 0].clip, first.clip)


def test_epochs_differ_and_live_workers_follow(spec: DatasetSpec) -> None:
    dataset = train_dataset(spec, **SHAPE, input_size=32, seed=3, flip=True)
    loader = make_loader(dataset, batch_size=6, workers=1, shuffle=True, seed=3)
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        (batch,) = loader
        epochs.append(batch)
    assert epochs[0].video_ids != epochs[1].video_ids
    assert torch.equal(epochs[0].clip, epochs[2].clip)
    assert not torch.equal(dataset[0, 0].clip, dataset[1, 0].clip)


def test_a_mirrored_clip_has_the_mirrored_label(spec: DatasetSpec) -> None:
    plain = train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=False)
    mirrored = train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=True)
    seen = set()
    for epoch in range(12):
        for index, label in enumerate((0, 1, 2)):
            before, after = plain[epoch, index], mirrored[epoch, index]
            assert before.label == label
            if torch.equal(before.clip, after.clip):
                assert after.label == label
            else:
                assert torch.equal(before.clip.flip(-2), after.clip)
                assert after.label == (1, 0, 2)[label]
                seen.add(label)
    assert seen == {0, 1, 2}


def test_a_mirrored_clip_has_the_mirror_of_each_of_its_labels(spec: DatasetSpec) -> None:
    lines = spec.lists["train"].read_text().splitlines()
    several = ("0,2", "1", "0,1", "2", "1,2", "0,1,2")
    spec.lists["train"].write_text(
        "".join(f"{line.rpartition(' ')[0]} {own}\n" for line, own in zip(lines, several, strict=True))
    )
    spec = replace(spec, multi_label=True)
    plain, mirrored = (train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=flip) for flip in (False, True))
    swapped = 0
    for epoch in range(6):
        for index, own in enumerate(several):
            before, after = plain[epoch, index], mirrored[epoch, index]
            assert before.label.tolist() == [float(str(label) in own) for label in range(3)]
            is_mirrored = not torch.equal(before.clip, after.clip)
            swapped += is_mirrored
            assert torch.equal(after.label, before.label[[1, 0, 2]] if is_mirrored else before.label)
    assert 0 < swapped < 36
    loader = make_loader(plain, batch_size=6, workers=0, shuffle=False)
    assert next(iter(loader)).label.sum(1).tolist() == [2, 1, 2, 1, 2, 3]


def test_a_frame_that_segments_share_is_decoded_once(spec: DatasetSpec, monkeypatch) -> None:
    """However many frames are resized at once (here 8, 8 and 1 or more)."""
    decoded: list[bytes] = []
    decode = choose_decoder("auto")
    monkeypatch.setattr(frames, "choose_decoder", lambda _: lambda data: decoded.append(data) or decode(data))
    shape = {"num_segments": 16, "frames_per_segment": 5}
    sample = train_dataset(spec, **shape, input_size=32, seed=0, flip=True)[5]  # a video of 17 frames
    assert 8 < len(decoded) == len(set(decoded)) <= 17
    alone = train_dataset(spec, **shape, input_size=32, seed=0, flip=True)
    reader, sampled = alone.sample(0, 5)
    for place, number in np.ndenumerate(sampled.indices):
        _, image = next(reader.frames([int(number)]))
        assert np.array_equal(sample.clip[place], sampled.transform(image[None])[0])


def test_a_torchvision_transform_is_a_step_of_the_augmentation(spec: DatasetSpec, monkeypatch) -> None:
    """Its random numbers are drawn once per clip, for all frames, however many are transformed at once."""

    def clips(*more: v2.Transform) -> list[torch.Tensor]:
        with monkeypatch.context() as changed:
            changed.setattr(TrainTransform, "steps", lambda self: [*steps(self), *more])
            dataset = train_dataset(spec, num_segments=16, frames_per_segment=1, input_size=32, seed=0, flip=True)
            return [dataset[i].clip for i in range(len(dataset))]

    steps, state = TrainTransform.steps, torch.get_rng_state()
    plain, dark = clips(), clips(v2.ColorJitter(brightness=(0.3, 0.8)))
    before, after = (torch.stack(each).double().mean((2, 3, 4, 5)) for each in (plain, dark))  # (M, T)
    factors = after / before
    assert factors.std(1).max() < 0.01  # the same for all frames of a clip
    assert factors.mean(1).std() > 0.05  # another for each clip
    holes = [(clip == 0).all(-1) for clip in clips(v2.RandomErasing(p=1))]
    assert all(hole.any() and torch.equal(hole, hole[:1].expand_as(hole)) for hole in holes)
    assert torch.equal(torch.get_rng_state(), state)  # the training's own random numbers are untouched
    with torch.random.fork_rng():
        torch.manual_seed(1)  # a worker's generator has another state
        again = clips(v2.ColorJitter(brightness=(0.3, 0.8)))
    assert all(torch.equal(one, other) for one, other in zip(again, dark, strict=True))


def test_validation_and_one_clip_test_see_the_same_frames(spec: DatasetSpec) -> None:
    val = val_dataset(spec, **SHAPE, input_size=32)
    test = ViewDataset(spec, [EvalPlan(2, 5, eval_preprocessing(32))])
    assert torch.equal(val[1].clip, test[1].clip(0)[0])


def test_three_crops_and_random_clips(spec: DatasetSpec) -> None:
    def clip(number: int, seed: int = 0):
        return ViewDataset(spec, [EvalPlan(2, 5, eval_preprocessing(32, 3, True), number, seed)])[4].clip(0)

    assert clip(0).shape == (3, 2, 5, 32, 32, 3)
    assert torch.equal(clip(1), clip(1))
    assert any(not torch.equal(clip(0), clip(i)) for i in (1, 2, 3))


def test_an_unreadable_frame_is_replaced_in_training_and_stops_a_test(spec: DatasetSpec) -> None:
    for number in range(1, 7):
        (spec.root_path / "train 0" / f"{number:05d}.jpg").write_bytes(b"")
        (spec.root_path / "val 0" / f"{number:05d}.jpg").write_bytes(b"")
    sample = train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=False)[0]
    assert sample.replaced
    assert all("train 0" in name for name in sample.replaced)
    assert val_dataset(spec, **SHAPE, input_size=32)[0].replaced
    test = ViewDataset(spec, [EvalPlan(2, 5, eval_preprocessing(32))])
    with pytest.raises(InputError, match=r"val 0.*0000\d\.jpg cannot be read"):
        test[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_arrives_unchanged(spec: DatasetSpec, workers: int) -> None:
    for path in (spec.root_path / "train 1").iterdir():
        path.unlink()
    (spec.root_path / "train 1").rmdir()
    others = multiprocessing.active_children()
    gc.disable()  # it would find the workers late, and end them slowly
    try:
        with pytest.raises(InputError, match=r"^there is no frame folder.*check_data\.py mine .*--write_clean"):
            epoch_of(spec, workers, 0)
        assert set(multiprocessing.active_children()) <= set(others)
    finally:
        gc.enable()


@needs_posix
@pytest.mark.parametrize("fault", ["stopped", "frame that never comes"])
def test_a_reader_that_never_answers_is_named(spec: DatasetSpec, monkeypatch, fault: str) -> None:
    """A worker that is stopped while its batches wait to be fetched; a file that blocks its reader, as a lost disk."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)  # how long the end waits for workers
    if fault != "stopped":
        for frame in (spec.root_path / "train 4").iterdir():
            frame.unlink()
            os.mkfifo(frame)
    dataset = train_dataset(spec, **SHAPE, input_size=32, seed=3, flip=True)
    others = multiprocessing.active_children()
    loader = make_loader(dataset, batch_size=1, workers=1, shuffle=False)
    batches = iter(loader)
    next(batches)
    assert loader.answer_limit > 0
    loader.answer_limit = 0.5  # without the start of the worker
    (worker,) = set(multiprocessing.active_children()) - set(others)
    if fault == "stopped":
        os.kill(worker.pid, signal.SIGSTOP)
    video = r"train \d" if fault == "stopped" else "train 4"
    with pytest.raises(InputError, match=rf"process {worker.pid}, .*{spec.root_path}/{video}\. .*--resume auto"):
        list(batches)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    worker.kill()


def test_no_warning_about_more_workers_than_cores(spec: DatasetSpec, recwarn, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    dataset = train_dataset(spec, num_segments=2, frames_per_segment=1, input_size=32, seed=0, flip=False)
    next(iter(make_loader(dataset, batch_size=2, workers=2, shuffle=False)))
    assert not [warning for warning in recwarn if "worker processes" in str(warning.message)]


def test_data_sets_can_be_pickled_for_workers(spec: DatasetSpec) -> None:
    """Workers are forked, or started with a pickle: that depends on the system and on Python."""
    train = train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=True)
    for dataset in (train, VideoDataset(spec, "val", EvalPlan(2, 5, eval_preprocessing(32), clip_index=1))):
        assert torch.equal(pickle.loads(pickle.dumps(dataset))[0].clip, dataset[0].clip)


def test_frame_orders(spec: DatasetSpec) -> None:
    def clip(order: str, index: int = 4) -> torch.Tensor:
        return VideoDataset(spec, "val", EvalPlan(2, 5, eval_preprocessing(32), frame_order=order))[index].clip

    normal, shuffled = clip("normal"), clip("shuffled")
    assert torch.equal(clip("reversed"), normal.flip(0, 1))
    assert torch.equal(clip("shuffled"), shuffled)
    assert not torch.equal(shuffled, normal)
    means = [sorted(part.flatten(0, 1).double().mean((1, 2, 3)).tolist()) for part in (normal, shuffled)]
    assert means[0] == means[1]


def test_a_one_frame_video(spec: DatasetSpec) -> None:
    list_file = spec.lists["train"]
    list_file.write_text("train 0 1 0\n")
    sample = train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=False)[0]
    assert torch.equal(sample.clip, sample.clip[:1, :1].expand_as(sample.clip))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_shares_of_the_processes(shuffle: bool, world_size: int) -> None:
    samplers = [EpochSampler(11, seed=0, shuffle=shuffle, rank=r, world_size=world_size) for r in range(world_size)]
    shares = [[index for _, index in sampler] for sampler in samplers]
    assert [len(share) for share in shares] == [len(sampler) for sampler in samplers]
    together = sorted(index for share in shares for index in share)
    if shuffle:  # equally many for each, none twice
        assert len({len(share) for share in shares}) == 1
        assert len(set(together)) == len(together) == 11 // world_size * world_size
    else:  # every one exactly once
        assert together == list(range(11))


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 3), (3, 1)])
def test_an_epoch_that_was_cut_shares_the_rest(before: int, after: int) -> None:
    """The first clips of its order are done, whoever did them."""

    def shares(world_size: int, done: int) -> list[list[int]]:
        samplers = [EpochSampler(23, 0, True, rank, world_size) for rank in range(world_size)]
        for sampler in samplers:
            sampler.set_epoch(5, done)
        assert [len(list(sampler)) for sampler in samplers] == [len(sampler) for sampler in samplers]
        return [[index for _, index in sampler] for sampler in samplers]

    done = [index for share in shares(before, 0) for index in share[:3]]
    rest = shares(after, 3 * before)
    assert set(done).isdisjoint(index for share in rest for index in share)
    assert len({*done, *(index for share in rest for index in share)}) >= 23 - after
    if before == after:
        assert rest == [share[3:] for share in shares(before, 0)]


def test_a_list_shorter_than_a_batch_is_still_trained(spec: DatasetSpec) -> None:
    dataset = train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=False)
    assert len(list(make_loader(dataset, batch_size=50, workers=0, shuffle=True, drop_last=True))) == 1
    assert len(list(make_loader(dataset, batch_size=4, workers=0, shuffle=True, drop_last=True))) == 1


def test_a_worker_without_its_main_process_is_silent(capsys) -> None:
    """A worker that is stopped while it passes a batch on would print a traceback of `multiprocessing`."""
    for error in (BrokenPipeError(), ConnectionResetError(), EOFError()):
        _ignore_lost_connections(type(error), error, None)
    assert capsys.readouterr().err == ""
    _ignore_lost_connections(KeyError, KeyError("a real fault"), None)
    assert "a real fault" in capsys.readouterr().err


def test_messages_about_the_train_list(spec: DatasetSpec, caplog) -> None:
    """Repeated lines, which make clips of their own, and directions without a mirror class."""
    caplog.set_level("INFO")
    train_dataset(spec, **SHAPE, input_size=32, seed=0, flip=True)
    assert not caplog.messages
    with spec.lists["train"].open("a") as file:
        file.write("train 0 12 0\ntrain 1 13 1\n")
    one_sided = replace(spec, class_names=(*spec.class_names[:2], "Turning left"))
    dataset = train_dataset(one_sided, **SHAPE, input_size=32, seed=0, flip=True)
    assert len(dataset) == 8
    assert dataset[0].video_id == dataset[6].video_id
    assert not torch.equal(dataset[0].clip, dataset[6].clip)
    repeated, mirror = caplog.messages
    assert "train.txt: 2 repeated lines" in repeated
    assert "(1): 'Turning left'" in mirror
    assert "--no_flip" in mirror
    caplog.clear()
    train_dataset(one_sided, **SHAPE, input_size=32, seed=0, flip=False)
    assert len(caplog.messages) == 1
    spec.lists["val"].write_text(spec.lists["val"].read_text() + "val 0 12 0\n")
    with pytest.raises(InputError, match=r"val\.txt:6: 'val 0' is in line 1 already"):
        val_dataset(spec, **SHAPE, input_size=32)


def test_workers_need_a_short_temporary_path(spec: DatasetSpec, tmp_path: Path, monkeypatch) -> None:
    """Otherwise a worker could not pass on its first batch, and the main process would wait forever."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(multiprocessing.util, "get_temp_dir", lambda: str(long))
    with pytest.raises(InputError, match="TMPDIR=/tmp.*-j 0"):
        epoch_of(spec, 1, 0)
    assert len(epoch_of(spec, 0, 0)) == 2
