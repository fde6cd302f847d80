"""One interface for three forms: detected automatically, the same pixels, in any process."""

import multiprocessing
import unicodedata
from pathlib import Path

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader
from video_files import CLASSES, write_frames, write_video

from common.errors import InputError
from datasets.catalogue import DatasetSpec
from datasets.clip_dataset import VideoDataset, train_dataset, val_dataset
from datasets.lists import VideoRecord
from datasets.preparing.extraction import Extraction
from datasets.reading.frames import FrameArchive, FrameFolder
from datasets.reading.readers import Reader, open_record
from datasets.reading.video_file import VideoFile

PNG = "{:05d}.png"
FORMS = ("folder", "archive", "video")
LENGTHS = (14, 30)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two videos in three forms, the frames extracted from the video files without loss."""
    root = tmp_path_factory.mktemp("root")
    for number, length in enumerate(LENGTHS):
        video = write_video(
            root / "video" / f"clip no. {number}a.mp4", length, codec="libx264", options={"g": "8", "bf": "2"}
        )
        for form in FORMS[:2]:
            Extraction(PNG, pack=form == "archive")(video, root / form / f"clip no. {number}a")
    return root


def record_of(form: str, number: int, num_frames: int | None = None) -> VideoRecord:
    return VideoRecord(f"clip no. {number}a" + (".mp4" if form == "video" else ""), num_frames, number)


def reader_of(root: Path, form: str, number: int = 0, num_frames: int | None = None) -> Reader:
    return open_record(root / form, record_of(form, number, num_frames), PNG)


def test_the_form_is_detected(root: Path) -> None:
    assert [type(reader_of(root, form)) for form in FORMS] == [FrameFolder, FrameArchive, VideoFile]
    named = open_record(root / "archive", VideoRecord("clip no. 0a.zip", None, 0), PNG)
    assert (type(named), named.num_frames) == (FrameArchive, 14)


@pytest.mark.parametrize("form", FORMS)
def test_frames_are_counted_if_the_list_does_not_say(root: Path, form: str) -> None:
    assert [reader_of(root, form, number).num_frames for number in (0, 1)] == list(LENGTHS)
    assert reader_of(root, form, 0, 9).num_frames == 9


def test_all_forms_give_the_same_pixels(root: Path) -> None:
    indices = [29, 3, 4, 17]
    folder, archive, video = (dict(reader_of(root, form, 1).frames(indices)) for form in FORMS)
    assert folder.keys() == archive.keys() == video.keys() == set(indices)
    for index in indices:
        assert folder[index].shape == (48, 64, 3)
        assert folder[index].tobytes() == archive[index].tobytes() == video[index].tobytes()


def dataset_of(root: Path, form: str, *, counts: bool, train: bool) -> VideoDataset:
    """The two videos as a data set; `counts`: the list says the numbers of frames."""
    list_file = root / f"{form}.txt"
    records = [record_of(form, number) for number in (0, 1)]
    numbers = [f" {length}" if counts else "" for length in LENGTHS]
    list_file.write_text("".join(f"{r.path}{n} {r.label}\n" for r, n in zip(records, numbers, strict=True)))
    spec = DatasetSpec("mine", CLASSES, root / form, {"train": list_file, "val": list_file}, PNG)
    if train:
        return train_dataset(spec, num_segments=3, frames_per_segment=5, input_size=32, seed=1, flip=True)
    return val_dataset(spec, num_segments=3, frames_per_segment=5, input_size=32)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_same_clips(root: Path, form: str, train: bool) -> None:
    reference = dataset_of(root, "folder", counts=True, train=train)
    for counts in (True, False):
        dataset = dataset_of(root, form, counts=counts, train=train)
        for key in ((0, 0), (0, 1), (5, 1)):
            assert torch.equal(dataset[key].clip, reference[key].clip)
            assert dataset[key].label == reference[key].label


@pytest.mark.parametrize("start", sorted({"fork", "spawn"}.intersection(multiprocessing.get_all_start_methods())))
def test_workers_give_the_same_clips_however_they_are_started(root: Path, start: str) -> None:
    datasets = [dataset_of(root, form, counts=False, train=True) for form in FORMS]
    here = [sample for dataset in datasets for sample in (dataset[0], dataset[1])]  # before the workers: all is loaded
    options = {"num_workers": 1, "multiprocessing_context": start, "batch_size": None}
    there = list(DataLoader(ConcatDataset(datasets), **options))
    assert all(torch.equal(a.clip, b.clip) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize("num_frames", [None, 5])
def test_nothing_there(tmp_path: Path, num_frames: int | None) -> None:
    with pytest.raises(InputError) as error:
        open_record(tmp_path, VideoRecord("a/b c", num_frames, 0), PNG)
    assert f"no frame folder, no archive b c.zip and no video file at {tmp_path / 'a' / 'b c'}; " in str(error.value)
    assert "--root_path" in str(error.value)


def test_similar_paths_are_named(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.webm", 3, codec="libvpx-vp9")
    with pytest.raises(InputError, match=r"there is clip\.webm"):
        open_record(tmp_path, VideoRecord("clip", None, 0), PNG)
    write_frames(tmp_path / "take 2", 3)
    with pytest.raises(InputError, match=r"if take 2 is meant, add its number of frames"):
        open_record(tmp_path, VideoRecord("take", 2, 0), PNG)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a/take 3", "there is take: .* with_offset"),
        ("a/clip.mp4 2 1", r"there is clip\.mp4: .* several labels"),
        ("a/packed 3", "there is packed: .* with_offset"),
        ("a\\take", "write / between folders, and no quotes"),
        ('"a/take"', "write / between folders, and no quotes"),
        ("A/take", "there is a\\)"),
        ("a/Take", "there is take\\)"),
        ("a/" + unicodedata.normalize("NFD", "größe"), "there is größe\\)"),
        ("a/ 3", "at .*a/ 3; check"),
    ],
)
def test_a_path_in_another_form_or_spelling(tmp_path: Path, path: str, words: str) -> None:
    for name in ("take", "größe"):
        (tmp_path / "a" / name).mkdir(parents=True)
    for name in ("clip.mp4", "packed.zip"):
        (tmp_path / "a" / name).touch()
    with pytest.raises(InputError, match=words):
        open_record(tmp_path, VideoRecord(path, 10, 0), PNG)


@pytest.mark.parametrize(("link", "path"), [("clip", "clip"), ("clip.zip", "clip"), ("person", "person/clip")])
def test_a_broken_link_is_named(tmp_path: Path, link: str, path: str) -> None:
    (tmp_path / link).symlink_to("/disk/gone")
    with pytest.raises(InputError, match=rf"\({tmp_path / link} is a link to /disk/gone, which is not there\)"):
        open_record(tmp_path, VideoRecord(path, 5, 0), PNG)


@pytest.mark.parametrize("pack", [False, True])
def test_frames_that_were_extracted_after_the_list_was_made(tmp_path: Path, pack: bool) -> None:
    Extraction(pack=pack)(write_video(tmp_path / "videos" / "a" / "b.c.mp4", 2), tmp_path / "frames" / "a" / "b.c")
    with pytest.raises(InputError, match=r"there are frames b\.c; if they were extracted after .*, prepare it again"):
        open_record(tmp_path / "frames", VideoRecord("a/b.c.mp4", None, 0), PNG)


@pytest.mark.parametrize("path", ["/", "//"])
def test_a_path_without_a_name(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="names no folder and no file; give a path below"):
        open_record(tmp_path, VideoRecord(path, 24, 0), PNG)


def test_a_place_that_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be reached: File name too long"):
        open_record(tmp_path, VideoRecord("a" * 300, 5, 0), PNG)
    with pytest.raises(InputError, match="no frame folder"):  # short enough with .zip
        open_record(tmp_path, VideoRecord("a" * 251, 5, 0), PNG)


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_template_that_matches_no_file(root: Path, form: str) -> None:
    with pytest.raises(InputError, match=r"no frames named img_\{:05d\}\.jpg; check --image_tmpl"):
        open_record(root / form, record_of(form, 0), "img_{:05d}.jpg")


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    for form in FORMS:
        (tmp_path / form).symlink_to(root / form, target_is_directory=True)
        assert reader_of(tmp_path, form).num_frames == 14


def test_a_list_may_lead_out_of_its_folder(root: Path, tmp_path: Path) -> None:
    """Its files are only read; extraction, which writes there, refuses such paths."""
    reader = open_record(tmp_path, VideoRecord(f"{'../' * 20}{root}/folder/clip no. 0a", 14, 0), PNG)
    assert len(list(reader.frames([0, 5]))) == 2
