"""Official annotation files: what parsers read, and the error for each wrong file."""

from pathlib import Path

import pytest
from annotation_files import (
    KINETICS,
    SOMETHING,
    WRITERS,
    write_diving48,
    write_kinetics,
    write_something_csv,
    write_somethingv2,
)

from common.errors import InputError
from datasets.lists import NO_LABEL
from datasets.preparing.annotations import OFFICIAL
from datasets.preparing.annotations.base import AnnotationFiles, Annotations, require_distinct


def parse(data_set: str, *paths: Path) -> Annotations:
    annotations = OFFICIAL[data_set].parse(AnnotationFiles(paths))
    require_distinct(annotations.lists)
    return annotations


@pytest.mark.parametrize("data_set", WRITERS)
def test_every_clip_gets_its_class(tmp_path: Path, data_set: str) -> None:
    expected = WRITERS[data_set](tmp_path)
    annotations = parse(data_set, tmp_path)
    assert set(annotations.lists) == set(expected)
    for key, clips in annotations.lists.items():
        found = {clip.name: annotations.class_names[clip.label] if clip.label != NO_LABEL else None for clip in clips}
        assert found == {path.rpartition("/")[2]: name for path, name in expected[key].items()}


def test_the_order_of_the_classes(tmp_path: Path) -> None:
    """Something-Something V1 sorted, which is V2's order; Jester as in its file; Kinetics sorted with its brackets."""
    write_something_csv(tmp_path / "v1")
    write_somethingv2(tmp_path / "v2")
    first = parse("somethingv1", tmp_path / "v1")
    assert first.class_names == tuple(sorted(SOMETHING)) == parse("somethingv2", tmp_path / "v2").class_names
    assert first.class_names != tuple(SOMETHING)
    WRITERS["jester"](tmp_path / "jester")
    assert parse("jester", tmp_path / "jester").class_names[:2] == ("Swiping Left", "Swiping Right")
    write_kinetics(tmp_path / "kinetics")
    assert parse("kinetics", tmp_path / "kinetics").class_names == tuple(sorted(KINETICS[:400]))


def test_the_newer_names_of_something_v2(tmp_path: Path) -> None:
    expected = write_somethingv2(tmp_path / "labels", prefix="")
    assert len(parse("somethingv2", tmp_path).lists["train"]) == len(expected["train"])


def test_files_one_by_one_and_a_byte_order_mark(tmp_path: Path) -> None:
    write_something_csv(tmp_path)
    train = tmp_path / "something-something-v1-train.csv"
    train.write_bytes(b"\xef\xbb\xbf" + train.read_bytes().replace(b"\n", b"\r\n"))
    files = [tmp_path / f"something-something-v1-{which}.csv" for which in ("train", "validation", "test", "labels")]
    assert [clip.name for clip in parse("somethingv1", *files).lists["train"]] == ["1", "2", "30"]
    assert parse("somethingv1", tmp_path, train).lists == parse("somethingv1", *files).lists  # a file given twice


def test_another_order_of_the_classes(tmp_path: Path) -> None:
    write_something_csv(tmp_path)
    order = tmp_path / "order.txt"
    order.write_text("\n".join(SOMETHING))
    annotations = parse("somethingv1", tmp_path).in_order(order)
    assert [clip.label for clip in annotations.lists["train"]] == [0, 1, 2]
    assert [clip.label for clip in annotations.lists["test"]] == [NO_LABEL] * 2
    assert annotations.class_order == f"as in {order}"
    order.write_text("\n".join(["a", *SOMETHING[2:]]))
    with pytest.raises(InputError) as error:
        parse("somethingv1", tmp_path).in_order(order)
    assert f"{order} has 173 names, the annotations have 174 (only in the file: a; " in str(error.value)
    assert f"only in the annotations: {SOMETHING[1]}, {SOMETHING[0]})" in str(error.value)


@pytest.mark.parametrize(
    "spell",
    [
        lambda label, name: name.replace(" ", "_").replace(",", ""),
        lambda label, name: f"{name}\t{label}",
        lambda label, name: f"{label + 1} {name}",
        lambda label, name: f'{label},"{name}"',
        lambda label, name: name.replace("something", "[something]"),
        lambda label, name: name.casefold() + " ",
    ],
)
def test_the_classes_in_other_spellings(tmp_path: Path, spell) -> None:
    """They are matched to the annotations' names, in the order of the file or of its indices."""
    write_something_csv(tmp_path)
    order = tmp_path / "order.txt"
    lines = [spell(label, name) for label, name in enumerate(SOMETHING)]
    if "173" in lines[173] or "174" in lines[173]:
        lines.reverse()
    order.write_text("\n".join(lines), encoding="utf-8-sig")
    assert parse("somethingv1", tmp_path).in_order(order).class_names == tuple(SOMETHING)


def test_the_class_order_is_attributed(tmp_path: Path) -> None:
    for data_set, words in (
        ("hmdb51", ["sorted", "TSN's class_list.txt", "kick_ball before kick", "sword_exercise before sword"]),
        ("somethingv1", ["sorted", "TSM", "mmaction2 keeps"]),
        ("jester", ["mmaction2", "TSM's differs"]),
        ("ucf101", ["minus 1", "TSN"]),
    ):
        WRITERS[data_set](tmp_path / data_set)
        order = parse(data_set, tmp_path / data_set).class_order
        assert all(word in order for word in words), order


def test_file_names_in_copies_of_kinetics(tmp_path: Path) -> None:
    """Without times only if no other row has the same video."""
    write_kinetics(tmp_path)
    with (tmp_path / "validate.csv").open("a") as file:
        file.write(f"{KINETICS[0]},aBcDeFgHiJk,40,50,validate,0\n")
    first, second, third = parse("kinetics", tmp_path).lists["val"]
    assert first.name == "0wR5jVB-WPk_000417_000427"
    assert first.aliases == ("0wR5jVB-WPk_000417", "0wR5jVB-WPk_417_427", "0wR5jVB-WPk_417", "0wR5jVB-WPk")
    assert second.aliases == third.aliases == ()


def test_classes_of_mini_kinetics(tmp_path: Path) -> None:
    """In the spelling of Kinetics and sorted; each must be a class of Kinetics, and as many as the name says."""
    WRITERS["minikinetics100"](tmp_path)
    names = parse("minikinetics100", tmp_path).class_names
    assert names == tuple(sorted(KINETICS[1:101]))
    with pytest.raises(InputError, match=r"mini\.txt has 100 classes, Mini-Kinetics-200 has 200"):
        parse("minikinetics200", tmp_path)
    replace_in(tmp_path / "mini.txt", "CLASS_003", "juggling")
    with pytest.raises(InputError, match=r"mini\.txt: 'juggling' has no clip in .*train\.csv"):
        parse("minikinetics100", tmp_path)
    (tmp_path / "mini.txt").unlink()
    with pytest.raises(InputError, match=r"there is no classes\.txt"):
        parse("minikinetics100", tmp_path)


def test_the_v1_labels_of_diving48_are_refused(tmp_path: Path) -> None:
    write_diving48(tmp_path, version="")
    with pytest.raises(InputError, match=r"Diving48_test\.json has the V1 labels.*Diving48_V2_train\.json"):
        parse("diving48", tmp_path)


def test_v1_labels_under_the_name_of_v2(tmp_path: Path, monkeypatch) -> None:
    write_diving48(tmp_path)
    monkeypatch.setattr("datasets.preparing.annotations.diving48.V1_CLIPS", {"train": 2, "val": 99})
    with pytest.raises(InputError, match="2 clips, as many as V1"):
        parse("diving48", tmp_path)


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("data_set", "file", "old", "new", "words"),
    [
        ("somethingv1", "something-something-v1-train.csv", "1;T", "1,T", [":1: ", "commas"]),
        ("somethingv1", "something-something-v1-train.csv", "2;", "2", [":2: ", "id;class"]),
        ("somethingv1", "something-something-v1-train.csv", "Turning", "Bending", [":1: ", "'Bending", "one release"]),
        ("somethingv1", "something-something-v1-test.csv", "101", "4", [":2: ", "'4'", "validation.csv:1"]),
        ("somethingv1", "something-something-v1-test.csv", "101", "101;x", [":2: ", "not an id alone"]),
        ("somethingv1", "something-something-v1-labels.csv", "Class 000\n", "", ["173 classes", "has 174"]),
        ("somethingv1", "something-something-v1-labels.csv", " 000", " 001", ["'Class 001'", "more than once"]),
        ("somethingv1", "something-something-v1-validation.csv", "4;", "1;", [":1: ", "'1'", "train.csv:1"]),
        ("somethingv2", "something-something-v2-train.json", '"template"', '"temp"', ["entry 1", "no template"]),
        ("somethingv2", "something-something-v2-train.json", "]}]", "]}", ["not JSON", "complete"]),
        ("somethingv2", "something-something-v2-labels.json", '"173"', '"174"', ["0 ... 173"]),
        ("kinetics", "train.csv", "label,", "class,", [":1: ", "no column label"]),
        ("kinetics", "train.csv", ",10,", ",ten,", [":2: ", "times in seconds"]),
        ("kinetics", "train.csv", ",10,", ",inf,", [":2: ", "times in seconds"]),
        ("kinetics", "train.csv", ",0,10,", ',"' + "x" * 140_000, ["train.csv:", "field limit"]),
        ("kinetics", "validate.csv", "petting animal (not cat)", "petting fish", ["'petting fish'", "no clip in"]),
        ("kinetics", "train.csv", '000",-Ab_002xyz_,2,12', '000",-Ab_001xyz_,1,11', [":4: ", "train.csv:3"]),
        ("diving48", "Diving48_V2_train.json", '"label": 47', '"label": 48', ["entry 2", "48", "0 ... 47"]),
        ("egtea", "action_annotation/train_split2.txt", " 1 2", " 0 2", [":1: ", "1 ... 106"]),
        ("egtea", "action_annotation/action_idx.txt", " 106", " 107", ["1 ... 106"]),
        ("ucf101", "trainlist01.txt", " 2", " 1", [":1: ", "label 1", "number 2"]),
        ("ucf101", "testlist03.txt", "ApplyEyeMakeup/", "ApplyMakeup/", ["'ApplyMakeup'", "classInd.txt"]),
        ("ucf101", "classInd.txt", "1 Apply", "0 Apply", ["1 ... 101"]),
        ("ucf101", "classInd.txt", "1 Apply", "1 Other\n1 Apply", ["1 ... 102"]),
        ("hmdb51", "wave_test_split1.txt", " 1 ", " 3 ", [":1: ", "flag 0, 1 or 2"]),
        ("jester", "jester-v1-train.csv", "30;", "1;", [":3: ", "train.csv:1"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_its_line(
    tmp_path: Path, data_set: str, file: str, old: str, new: str, words: list[str]
) -> None:
    WRITERS[data_set](tmp_path)
    replace_in(tmp_path / file, old, new)
    with pytest.raises(InputError) as error:
        parse(data_set, tmp_path)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_missing_and_ambiguous_files(tmp_path: Path) -> None:
    write_kinetics(tmp_path)
    (tmp_path / "validate.csv").rename(tmp_path / "valid.txt")
    with pytest.raises(InputError, match=r"there is no validate\.csv; there is test\.csv, train\.csv, valid\.txt"):
        parse("kinetics", tmp_path)
    (tmp_path / "valid.txt").rename(tmp_path / "validate.csv")
    (tmp_path / "k400_train.csv").write_text("")
    with pytest.raises(InputError, match=r"k400_train\.csv, .*train\.csv could all be train\.csv"):
        parse("kinetics", tmp_path)
    with pytest.raises(InputError, match="cannot read .*gone: No such file"):
        parse("kinetics", tmp_path / "gone")


def test_a_missing_class_file_of_hmdb51(tmp_path: Path) -> None:
    WRITERS["hmdb51"](tmp_path)
    (tmp_path / "wave_test_split3.txt").unlink()
    with pytest.raises(InputError, match=r"no wave_test_split3\.txt"):
        parse("hmdb51", tmp_path)
    for split in (1, 2):
        (tmp_path / f"wave_test_split{split}.txt").unlink()
    with pytest.raises(InputError, match="50 classes, HMDB51 has 51"):
        parse("hmdb51", tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    write_something_csv(tmp_path)
    (tmp_path / "something-something-v1-train.csv").write_bytes(b"1;caf\xe9\n")
    with pytest.raises(InputError, match=r"train\.csv is not UTF-8"):
        parse("somethingv1", tmp_path)
    WRITERS["diving48"](tmp_path / "diving")
    (tmp_path / "diving" / "Diving48_vocab.json").write_bytes(b"\xff")
    with pytest.raises(InputError) as error:
        parse("diving48", tmp_path / "diving")
    assert "is not UTF-8" in str(error.value)
    assert "not JSON" not in str(error.value)


def test_backslashes_in_names_are_not_doubled(tmp_path: Path) -> None:
    WRITERS["ucf101"](tmp_path)
    with (tmp_path / "trainlist01.txt").open("a") as file:
        file.write("no\\class/v.avi 1\n")
    with pytest.raises(InputError) as error:
        parse("ucf101", tmp_path)
    assert r"trainlist01.txt:2: the class 'no\class'" in str(error.value)
