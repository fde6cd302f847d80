"""Finding a data set's files."""

from pathlib import Path

import pytest
from video_files import CLASSES, write_dataset

from common.errors import InputError
from datasets.catalogue import ALIASES, CATALOGUE, TEMPLATE_FILE, folder_and_lists, resolve, usual_template


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    root = write_dataset(tmp_path / "own", train=1, val=1, num_frames=2)
    names = {"root_path": "frames", "train_list": "train.txt", "val_list": "val.txt", "classes": "classes.txt"}
    return {flag: str(root / name) for flag, name in names.items()}


def test_own_data_set(own: dict[str, str]) -> None:
    spec = resolve("mine", **own, image_tmpl="img_{:06d}.png")
    assert spec.class_names == CLASSES
    assert spec.lists["train"] == Path(own["train_list"])
    assert spec.image_tmpl == "img_{:06d}.png"


def test_known_data_sets_are_under_the_data_root(tmp_path: Path) -> None:
    names = tuple(f"class {i}" for i in range(106))
    home = write_dataset(tmp_path / "egtea", train=1, val=1, num_frames=2, classes=names)
    (home / "train.txt").rename(home / "train_split2.txt")
    (home / "val.txt").rename(home / "val_split2.txt")
    spec = resolve("egaze2", data_root=str(tmp_path))
    assert (spec.name, spec.num_class, spec.image_tmpl) == ("egtea2", 106, "img_{:05d}.jpg")
    assert spec.lists["val"] == home / "val_split2.txt"


def test_a_prepared_folder_of_any_name_is_found(tmp_path: Path) -> None:
    home = write_dataset(tmp_path / "my-clips", train=1, val=1, num_frames=2)
    assert resolve("my-clips", data_root=str(tmp_path)).root_path == home / "frames"


def test_the_template_that_the_preparation_stored(tmp_path: Path) -> None:
    """It applies to the prepared frames only; a flag overrides it."""
    home = write_dataset(tmp_path / "mine", train=1, val=1, num_frames=2)
    (home / TEMPLATE_FILE).write_text("img_{:05d}.jpg\n")
    assert resolve("mine", data_root=str(tmp_path)).image_tmpl == "img_{:05d}.jpg"
    assert resolve("mine", data_root=str(tmp_path), image_tmpl="{:d}.jpg").image_tmpl == "{:d}.jpg"
    assert resolve("mine", data_root=str(tmp_path), root_path=str(home / "frames")).image_tmpl == "{:05d}.jpg"


def test_folders_and_lists_by_name() -> None:
    lists = {"train": "train_split3", "val": "val_split3", "test": "test_split3"}
    assert folder_and_lists("egtea3") == ("egtea", lists)
    assert folder_and_lists("ucf101", "split3") == ("ucf101", lists)
    assert folder_and_lists("mine") == ("mine", {"train": "train", "val": "val", "test": "test"})
    assert [usual_template(name) for name in ("egtea", "somethingv2", "mine")] == [
        "img_{:05d}.jpg", "{:06d}.jpg", "{:05d}.jpg",
    ]  # fmt: skip


def test_video_files_are_used_without_frames(tmp_path: Path, caplog) -> None:
    classes = tuple(f"class {i}" for i in range(27))
    home = write_dataset(tmp_path / "jester", train=1, val=1, num_frames=2, classes=classes)
    (home / "videos").mkdir()
    with caplog.at_level("INFO"):
        assert resolve("jester", data_root=str(tmp_path)).root_path == home / "frames"
        assert not caplog.messages
        (home / "frames").rename(home / "elsewhere")
        assert resolve("jester", data_root=str(tmp_path)).root_path == home / "videos"
        assert f"no {home / 'frames'}; reading the video files in {home / 'videos'}" in caplog.messages[0]
        given = resolve("jester", data_root=str(tmp_path), root_path=str(home / "elsewhere"))
    assert (given.root_path, len(caplog.messages)) == (home / "elsewhere", 1)


def test_an_unknown_name_lists_the_known_ones_and_the_flags_for_own_data(tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "classes.txt").touch()
    with pytest.raises(InputError) as error:
        resolve("somethin", data_root=str(tmp_path))
    assert all(
        word in str(error.value)
        for word in ["'somethin'", "prepared,", *CATALOGUE, *ALIASES, "--root_path", "--classes"]
    )


@pytest.mark.parametrize("flag", ["root_path", "train_list", "val_list", "classes"])
def test_a_missing_file_is_named_with_its_flag(own: dict[str, str], flag: str) -> None:
    own[flag] += "_gone"
    with pytest.raises(InputError) as error:
        resolve("mine", **own)
    assert own[flag] in str(error.value)
    assert f"--{flag}" in str(error.value)


@pytest.mark.parametrize("name", ["jester", "mine"])
def test_a_broken_link_is_named(tmp_path: Path, name: str) -> None:
    """As after a move of the disk, or in Docker; the videos beside it are not used instead."""
    home = write_dataset(tmp_path / name, train=1, val=1, num_frames=2)
    (home / "frames").rename(home / "videos")
    (home / "frames").symlink_to(tmp_path / "disk" / "frames")
    with pytest.raises(InputError) as error:
        resolve(name, data_root=str(tmp_path))
    assert f"{home / 'frames'} is a link to {tmp_path / 'disk' / 'frames'}, which is not there" in str(error.value)


def test_a_data_set_with_splits_is_named_by_one_of_them(tmp_path: Path, own: dict[str, str]) -> None:
    home = write_dataset(tmp_path / "egtea", train=1, val=1, num_frames=2)
    for which in ("train", "val"):
        (home / f"{which}.txt").rename(home / f"{which}_split1.txt")
    with pytest.raises(InputError, match="'egtea' has several splits; name one of them: egtea1, egtea2, egtea3"):
        resolve("egtea", data_root=str(tmp_path))
    lists = {f"{which}_list": str(home / f"{which}_split1.txt") for which in ("train", "val")}
    assert resolve("egtea", data_root=str(tmp_path), **lists).class_names == CLASSES


def test_existing_lists_are_found(tmp_path: Path, own: dict[str, str]) -> None:
    home = write_dataset(tmp_path / "mine", train=1, val=1, num_frames=2)
    assert list(resolve("mine", data_root=str(tmp_path), need=None).lists) == ["train", "val"]
    (home / "train.txt").unlink()
    assert list(resolve("mine", data_root=str(tmp_path), need=None).lists) == ["val"]
    assert list(resolve("mine", **(own | {"val_list": None}), need=None).lists) == ["train"]
    (home / "val.txt").unlink()
    with pytest.raises(InputError, match=r"no file .*mine/train\.txt, no file .*mine/val\.txt; "):
        resolve("mine", data_root=str(tmp_path), need=None)


def test_a_half_prepared_folder(tmp_path: Path) -> None:
    """As scripts/extract_frames.py leaves it: the message names the missing files and the command that makes them."""
    home = write_dataset(tmp_path / "mine", train=1, val=1, num_frames=2)
    for name in ("classes.txt", "val.txt"):
        (home / name).rename(tmp_path / name)
    with pytest.raises(InputError) as error:
        resolve("mine", data_root=str(tmp_path))
    assert f"no file {home / 'classes.txt'}, no file {home / 'val.txt'}; " in str(error.value)
    assert f"prepare_data.py folder mine {home / 'frames'}, " in str(error.value)
    assert "one folder per class" in str(error.value)
    assert "give --classes --val_list (" in str(error.value)
    elsewhere = {"classes": str(tmp_path / "classes.txt"), "val_list": str(tmp_path / "val.txt")}
    assert resolve("mine", data_root=str(tmp_path), **elsewhere).root_path == home / "frames"
    (home / "frames").rename(home / "pictures")
    with pytest.raises(InputError, match=f"no folder {home / 'frames'}; "):
        resolve("mine", data_root=str(tmp_path), **elsewhere)


def test_only_needed_lists_are_required(own: dict[str, str]) -> None:
    own["train_list"] += "_gone"
    assert list(resolve("mine", **own, need=("val",)).lists) == ["val"]


def test_class_names_must_fit_the_data_set(own: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"3 class names; somethingv1 has 174"):
        resolve("something", **own)


@pytest.mark.parametrize(
    ("text", "words"), [("a\nb\na\n", ":3.*'a'.*line 1"), ("a\n\nb\n", ":2.*empty"), ("", "0 class")]
)
def test_bad_class_names(own: dict[str, str], text: str, words: str) -> None:
    Path(own["classes"]).write_text(text)
    with pytest.raises(InputError, match=words):
        resolve("mine", **own)


@pytest.mark.parametrize("template", ["00001.jpg", "{}_{}.jpg", "{:05d", "{name}.jpg", "{:05x}{{.jpg}"])
def test_bad_templates(own: dict[str, str], template: str) -> None:
    with pytest.raises(InputError, match="--image_tmpl"):
        resolve("mine", **own, image_tmpl=template)


def test_a_byte_order_mark_is_not_part_of_a_class_name(own: dict[str, str]) -> None:
    """It would hide the mirrored class of the first class."""
    Path(own["classes"]).write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8-sig")
    assert resolve("mine", **own).class_names == CLASSES


def test_class_names_in_brackets_are_not_json(own: dict[str, str]) -> None:
    Path(own["classes"]).write_text("[something] falls\nb\nc\n")
    assert resolve("mine", **own).class_names[0] == "[something] falls"
    Path(own["classes"]).write_text('{\n"b": "0"}')
    with pytest.raises(InputError, match="is JSON"):
        resolve("mine", **own)


@pytest.mark.parametrize("text", ["b\t1\na\t0\nc\t2\n", 'label,name\n1,b\n0,a\n2,"c"\n', "a,1\nb,2\nc,3\n"])
def test_class_names_in_a_table(own: dict[str, str], text: str) -> None:
    Path(own["classes"]).write_text(text)
    assert resolve("mine", **own).class_names == ("a", "b", "c")


def test_numbered_names_without_a_table_keep_their_order(own: dict[str, str]) -> None:
    """A class folder 10_jump is sorted before 2_run, and so are the labels."""
    names = tuple(sorted(f"{number}_{letter}" for number, letter in enumerate("abcdefghijk", start=1)))
    Path(own["classes"]).write_text("\n".join(names))
    assert resolve("mine", **own).class_names == names


def test_given_and_prepared_classes(tmp_path: Path) -> None:
    """Another spelling is accepted; another order would rename the labels of the prepared lists."""
    home = write_dataset(tmp_path / "mine", train=1, val=1, num_frames=2)
    order = tmp_path / "order.txt"
    order.write_text("\n".join(f"{label} {name.upper()}" for label, name in enumerate(CLASSES)))
    assert resolve("mine", data_root=str(tmp_path), classes=str(order)).class_names == CLASSES
    order.write_text("\n".join(name.replace(" ", "_") for name in reversed(CLASSES)))
    with pytest.raises(InputError, match=r"order\.txt has the classes of .*classes\.txt in another order"):
        resolve("mine", data_root=str(tmp_path), classes=str(order))
    lists = {f"{which}_list": str(home / f"{which}.txt") for which in ("train", "val")}
    given = resolve("mine", data_root=str(tmp_path), classes=str(order), **lists)
    assert given.class_names == CLASSES[::-1]
    order.write_text("x\ny\nz\n")
    assert resolve("mine", data_root=str(tmp_path), classes=str(order)).class_names == ("x", "y", "z")
