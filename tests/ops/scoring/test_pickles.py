"""Score pickles: our own and official ones are read, anything else is refused."""

import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from interruptions import file_size_limit, needs_posix
from multi_label_scores import HOT, LABELS, SCORES

from common.errors import InputError
from ops.scoring.pickles import Scores, pickle_path, read_scores, write_scores

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.25, 0.0]], np.float32)


def scores(logits=LOGITS, labels=(0, 1), ids=("a", "b"), name: str = "0_crop0.pkl") -> Scores:
    return Scores(Path(name), np.asarray(logits, np.float32), np.asarray(labels), None if ids is None else tuple(ids))


def test_scores_are_read_back(tmp_path: Path) -> None:
    path = pickle_path(tmp_path, 3, 1)
    assert path.name == "3_crop1.pkl"
    write_scores(path, LOGITS, [0, 1], ["a", "b c"])
    read = read_scores(path)
    assert np.array_equal(read.logits, LOGITS)
    assert read.labels.tolist() == [0, 1]
    assert read.video_ids == ("a", "b c")
    assert [p.name for p in tmp_path.iterdir()] == ["3_crop1.pkl"]


def test_scores_without_labels(tmp_path: Path) -> None:
    write_scores(tmp_path / "x.pkl", LOGITS, [-1, -1], ["a", "b"])
    assert not read_scores(tmp_path / "x.pkl").has_labels
    assert scores().has_labels


def test_records_have_the_official_layout(tmp_path: Path) -> None:
    write_scores(tmp_path / "x.pkl", LOGITS, [0, 1], ["a", "b"])
    records = pickle.loads((tmp_path / "x.pkl").read_bytes())
    assert type(records) is list
    assert records[1][0].shape == (1, 3)
    assert records[1][0].dtype == np.float32
    assert records[1][1:] == [1, "b"]


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("label", [1, np.int64(1), np.array([1])])
def test_official_files_with_two_fields_are_read_with_a_warning(tmp_path: Path, protocol: int, label, caplog) -> None:
    records = [[LOGITS[:1], label], (LOGITS[1], label)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records, protocol))
    read = read_scores(tmp_path / "x.pkl")
    assert read.video_ids is None
    assert read.labels.tolist() == [1, 1]
    assert "merged by position" in caplog.text


def test_pickles_of_numpy_1(tmp_path: Path) -> None:
    text = pickle.dumps([[LOGITS[:1], 1, "a"]], 2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "x.pkl").write_bytes(text)
    assert read_scores(tmp_path / "x.pkl").labels.tolist() == [1]


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil_was_here",)


@pytest.mark.parametrize("content", [[[LOGITS[:1], 0, Evil()]], Path("x"), [[LOGITS[:1], 0, print]]])
def test_other_objects_are_refused(tmp_path: Path, content, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"x\.pkl contains \w+\.\w+.*not read"):
        read_scores(Path("x.pkl"))
    assert not Path("evil_was_here").exists()


RAW = pickle.dumps([[LOGITS[:1], 0, "a"]], 4)
NESTED: list = ["a"]
for _ in range(40):  # one list, 2**40 words as text
    NESTED = [NESTED, NESTED]

# Each would end the process, or take gigabytes, in the unpickler in C or in NumPy.
HOSTILE = {
    "an array of pointers": (
        b"\x80\x04]](cnumpy\nndarray\n(K\x01\x85cnumpy\ndtype\nX\x01\0\0\0O\x85RC\x08AAAAAAAAtRK\0X\x01\0\0\0aea."
    ),
    "a number that is a pointer": pickle.dumps([[LOGITS[:1], np.float64(0), "a"]], 4).replace(b"f8", b"O8"),
    "NumPy's array called by itself": b"\x80\x04]](cnumpy\nndarray\nK\x01\x85RK\0e.",
    "index of an object": b"\x80\x02]r" + struct.pack("<I", 2**31) + b".",
    "index as text": b"]p99999999999\n.",
    "length of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b".",
    "length of a bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b".",
    "shape": RAW.replace(b"K\x01K\x03\x86", b"K\x01\x8a\x08" + struct.pack("<q", 2**40) + b"\x86"),
    "one array in many records": pickle.dumps([[np.zeros((1, 10**6), np.float32), 0]] * 10**5, 4),
    "a tuple in tuples as key": b"\x80\x02})" + b"\x85" * 10**6 + b"K\0s.",
    "nested id": pickle.dumps([[LOGITS[:1], 0, NESTED]], 4),
    "nested scores": pickle.dumps([[NESTED, 0, "a"]], 4),
    "label": pickle.dumps([[LOGITS[:1], 10**30, "a"]], 4),
    "text": pickle.dumps([[np.array(["a"]), 0, "a"]], 4),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles_are_refused_without_using_much_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"x\.pkl.*--overwrite"):
            read_scores(tmp_path / "x.pkl")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "i4"])
def test_arrays_of_any_number_type_and_memory_order(tmp_path: Path, dtype: str) -> None:
    numbers = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([[numbers, np.int16(2), "a"]], 4))
    read = read_scores(tmp_path / "x.pkl")
    assert read.logits.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert (read.logits.dtype, read.labels.tolist()) == (np.float32, [2])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a score pickle"),
        (b"garbage", "not a score pickle"),
        (pickle.dumps([[LOGITS[:1], 0, "a"]])[:-9], "not a score pickle"),
        (pickle.dumps([]), "list of records"),
        (pickle.dumps({"a": 1}), "list of records"),
        (pickle.dumps([1, 2]), "not `.scores"),
        (pickle.dumps([[LOGITS[:1], 7, "a"]]), "label 7, outside 0 ... 2"),
        (pickle.dumps([[LOGITS[:1], 2, "a"], [LOGITS[:1], -1, "b"]]), "record 1 has label -1, outside 0 ... 2"),
        (pickle.dumps([[LOGITS[:1], -2, "a"]]), "label -2, outside 0 ... 2"),
        (pickle.dumps([[LOGITS[:1] * np.nan, 0, "a"]]), "not finite"),
        (pickle.dumps([[LOGITS[:1], 0, r"a\b"], [LOGITS[:1], 0, r"a\b"]]), r"'a\\b' is listed 2 times"),
        (pickle.dumps([[LOGITS[:1], 0, "a"], [LOGITS[:1], 0]]), "1 of 2 records"),
        (pickle.dumps([[LOGITS[:1], 0], [LOGITS[:1, :2], 0]]), "not `.scores"),
        (pickle.dumps([[LOGITS[:1, :0], 0, "a"]]), "no scores: its arrays are empty"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.pkl.*{words}"):
        read_scores(tmp_path / "x.pkl")


@needs_posix
def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "0_crop0.pkl"
    write_scores(path, LOGITS, [0, 1], ["a", "b"])
    with file_size_limit(100), pytest.raises(InputError, match="cannot write .*0_crop0.pkl: File too large"):
        write_scores(path, LOGITS + 1, [0, 1], ["a", "b"])
    assert np.array_equal(read_scores(path).logits, LOGITS)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_flipped_bit_is_an_error(tmp_path: Path) -> None:
    """A file without any digest is an older one."""
    path = tmp_path / "0_crop0.pkl"
    write_scores(path, LOGITS, [0, 1], ["a", "b"])
    data = path.read_bytes()
    end = data.index(b"\0sha-256\0")
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(InputError, match=r"0_crop0\.pkl is damaged"):
            read_scores(path)
    path.write_bytes(data[:end])
    assert np.array_equal(read_scores(path).logits, LOGITS)


def written(path: Path, labels: list) -> Scores:
    """The same scores with these labels, written and read."""
    write_scores(path, SCORES, labels, [f"v{k}" for k in range(len(labels))])
    return read_scores(path)


def test_pickles_hold_the_labels(tmp_path: Path) -> None:
    read = written(tmp_path / "0_crop0.pkl", LABELS)
    assert np.array_equal(read.labels, HOT)
    assert (read.multi_label, read.has_labels) == (True, True)
    without = written(tmp_path / "1_crop0.pkl", [[]] * 5)
    assert (without.multi_label, without.has_labels) == (True, False)
    assert not written(tmp_path / "2_crop0.pkl", [0, 1, 2, 3, 0]).multi_label


@pytest.mark.parametrize("labels", [[[0], [4]], [[0], [-1]], [[0], 1], [0, [1]], [[0], [True]], [[0], ["a"]]])
def test_wrong_labels_in_a_pickle_are_refused(tmp_path: Path, labels: list) -> None:
    content = [[np.zeros((1, 4), np.float32), own, f"v{k}"] for k, own in enumerate(labels)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"x\.pkl: a record is not"):
        read_scores(tmp_path / "x.pkl")
