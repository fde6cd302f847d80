"""Records in arrays: small, shared by processes, and equal to the values that they were made of."""

import io
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest

from datasets.lists import read_list
from datasets.records import Records, VideoRecord, Window

RECORDS = [
    VideoRecord("a b/é", 12, 3),
    VideoRecord("v.mp4", None, 0, (5, 7)),
    VideoRecord("v.mp4", None, 2, (), Window(3, 9, False)),
    VideoRecord("v.mp4", None, 1, (), Window(0.5, 2.25, True)),
    VideoRecord("v 1f 2f", 40, 1),
]


def arrays(records: Records) -> list[np.ndarray]:
    return [value for value in vars(records).values() if isinstance(value, np.ndarray)]


def test_records_are_made_as_they_were() -> None:
    records = Records(iter(RECORDS))
    assert list(records) == RECORDS
    assert [records[i] for i in range(-5, 5)] == RECORDS * 2
    assert records == RECORDS
    assert records != RECORDS[1:]
    assert records.labels.tolist() == [3, 0, 2, 1, 1]
    with pytest.raises(IndexError):
        records[5]
    assert pickle.loads(pickle.dumps(records)) == RECORDS


def test_a_list_is_a_few_bytes_per_row(tmp_path: Path) -> None:
    """More than the chunks in which text is split and records are made."""
    lines = [f"class_{i % 40:03d}/{i:011d}.mp4 {i % 40}\n" for i in range(50_000)]
    (tmp_path / "train.txt").write_text("".join(lines))
    records = read_list(tmp_path / "train.txt", 40)
    assert list(records) == [VideoRecord(line.split()[0], None, i % 40) for i, line in enumerate(lines)]
    path = len("class_000/00000000000.mp4")
    assert sum(array.nbytes for array in arrays(records)) == pytest.approx(50_000 * (path + 16), rel=0.01)
    assert not any(isinstance(value, (list, tuple, dict)) and value for value in vars(records).values())


def test_a_new_process_gets_the_same_memory() -> None:
    """As a DataLoader starts its workers with spawn or forkserver."""
    records = Records(VideoRecord(f"{i:040d}", 9, 0) for i in range(1000))
    sent = [io.BytesIO(), io.BytesIO()]
    for file in sent:
        ForkingPickler(file).dump(records)
    assert len(sent[1].getvalue()) < 4000
    arrays(records)[0][39] = ord("7")  # which both others see
    assert pickle.loads(sent[0].getvalue())[0].path == "0" * 39 + "7"
    assert pickle.loads(sent[1].getvalue())[0].path == "0" * 39 + "7"


def test_an_id_names_the_part_of_a_video() -> None:
    for record in RECORDS[:4]:
        assert VideoRecord.of_id(record.id)[0::4] == record[0::4]
    assert [record.id for record in RECORDS[2:4]] == ["v.mp4 3f 9f", "v.mp4 0.5s 2.25s"]
