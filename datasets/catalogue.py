"""The data sets that are known by name, and where their files are."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from common.errors import InputError, command
from datasets.class_names import class_names_beside
from datasets.missing_path import there_is

BUILT_IN = "moving_digits"
SUBSETS = ("train", "val", "test")  # the lists of a data set
TEMPLATE_FILE = "image_tmpl.txt"  # in a prepared folder with frames: their file-name pattern


@dataclass(frozen=True)
class DatasetSpec:
    """A data set whose files were found."""

    name: str  # in the catalogue, or the user's own
    class_names: tuple[str, ...]  # K, in label order
    root_path: Path  # folder of the frame folders, archives or video files
    lists: dict[str, Path]  # "train", "val" and "test", those asked for -> list file
    image_tmpl: str  # frame number (from 1) -> file name
    multi_label: bool = False  # whether clips may have several labels

    @property
    def num_class(self) -> int:
        """K."""
        return len(self.class_names)


@dataclass(frozen=True)
class _Known:
    num_class: int | None = None  # None: as many as classes.txt has
    image_tmpl: str = "{:05d}.jpg"
    folder: str = ""  # under the data root; empty: the name
    split: str = ""  # of train_<split>.txt; empty: train.txt


CATALOGUE = {
    "kinetics": _Known(400),
    "kinetics600": _Known(600),
    "kinetics700": _Known(700),
    "minikinetics100": _Known(100),
    "minikinetics200": _Known(200),
    "somethingv1": _Known(174),
    "somethingv2": _Known(174, "{:06d}.jpg"),
    "diving48": _Known(48),
    **{f"egtea{n}": _Known(106, "img_{:05d}.jpg", "egtea", f"split{n}") for n in (1, 2, 3)},
    "ucf101": _Known(101, split="split1"),
    "hmdb51": _Known(51, split="split1"),
    "jester": _Known(27),
    BUILT_IN: _Known(),
}
ALIASES = {"something": "somethingv1", "egaze1": "egtea1", "egaze2": "egtea2", "egaze3": "egtea3"}


def canonical_name(name: str) -> str:
    """A data set's name in the catalogue: "something" -> "somethingv1"; other names stay."""
    return ALIASES.get(name, name)


def is_kinetics(name: str) -> bool:
    """Whether a data set is a version or a part of Kinetics, which is usually tested with several clips per video."""
    return name in CATALOGUE and "kinetics" in name


def folder_and_lists(name: str, split: str | None = None) -> tuple[str, dict[str, str]]:
    """A data set's folder under the data root, and its lists of a split or the usual one: "train" -> "train_split1"."""
    known = CATALOGUE.get(name, _Known())
    split = known.split if split is None else split
    return known.folder or name, {which: f"{which}_{split}" if split else which for which in SUBSETS}


def data_folder(name: str) -> str:
    """A data set's folder under the data root, the same for all its splits; checkpoints list their clips under it."""
    return folder_and_lists(name)[0]


def names_of(folder: str) -> list[str]:
    """The data sets that have this folder under the data root: "egtea" -> "egtea1", "egtea2", "egtea3"."""
    return [name for name in CATALOGUE if data_folder(name) == folder] or [folder]


def usual_template(folder: str) -> str:
    """The file-name pattern of the frames of the data set that has this folder under the data root."""
    return CATALOGUE.get(names_of(folder)[0], _Known()).image_tmpl


def splits_there(home: Path, need: Collection[str]) -> list[str]:
    """The splits of which a prepared folder has all needed lists: "fold1", "fold2", ..."""
    names = [{path.stem.partition("_")[2] for path in home.glob(f"{which}_*.txt")} for which in need]
    return sorted(set.intersection(*names), key=lambda split: (len(split), split))


def list_to_score(name: str, *, data_root: str | None, split: str | None, val_list: str | None, **_: str | None) -> str:
    """The list that a test scores: "test" if the user's own data set has one and no list is given; otherwise "val"."""
    name = canonical_name(name)
    has_test_list = _prepared(name, data_root, split)[1]["test"].is_file()
    return "test" if has_test_list and val_list is None and name not in CATALOGUE else "val"


def _prepared(name: str, data_root: str | None, split: str | None) -> tuple[Path, dict[str, Path]]:
    """The folder of a prepared data set, and the files of its lists, whether they exist or not."""
    folder, list_names = folder_and_lists(name, split)
    names = names_of(folder)
    if split is not None and len(names) > 1:
        raise InputError(f"--split {split}: {folder} is named by its split, {' or '.join(names)}; leave --split out")
    home = Path(data_root or "data") / folder
    return home, {which: home / f"{list_name}.txt" for which, list_name in list_names.items()}


def resolve(
    name: str,
    *,
    data_root: str | None = "data",  # folder of the prepared data sets
    split: str | None = None,  # of the prepared lists, such as "split2" for train_split2.txt; None: the usual one
    root_path: str | None = None,  # folder of the frame folders, archives or video files
    train_list: str | None = None,
    val_list: str | None = None,
    classes: str | None = None,  # file of the class names
    image_tmpl: str | None = None,  # frame file name with one number, such as "{:05d}.jpg"
    need: Collection[str] | None = ("train", "val"),
) -> DatasetSpec:
    """Find the files of a data set; make the built-in one if it does not exist.

    The folder `<data_root>/<name>/` is searched for frames/ (or else videos/), train.txt, val.txt and classes.txt,
    whether the name is in the catalogue or not. Each of the other arguments replaces one of these; a name without a
    folder needs them all. The test list is always the prepared one.

    Args:
        need: which of `SUBSETS` are needed. None: those of train and val that are given or prepared (at least one), and
            the test list if a test would score it.

    Raises:
        InputError: the name is unknown and files are not given, a split or file does not exist, or the number of class
            names is wrong.
    """
    name = canonical_name(name)
    home, prepared = _prepared(name, data_root, split)
    lists = {"train": train_list, "val": val_list, "test": None}
    if need is None:
        need = [which for which in ("train", "val") if lists[which] or prepared[which].is_file()] or ["train", "val"]
        scored = list_to_score(name, data_root=data_root, split=split, val_list=val_list)
        need += ["test"] if scored == "test" else []
    given: dict[str, str | None] = {"root_path": root_path, "classes": classes}
    given |= {f"{which}_list": lists[which] for which in need if which != "test"}
    missing = [f"--{flag}" for flag, value in given.items() if value is None]
    if name == BUILT_IN and missing:
        from datasets.built_in.moving_digits import make_moving_digits  # its images take a second to import

        make_moving_digits(home)
    wanted = {which: prepared[which] for which in need if lists[which] is None}
    _require_split(name, split, home, wanted)
    _require_known(name, missing, home)
    defaults = {"root_path": home / _frames_or_videos(name, home, root_path), "classes": home / "classes.txt"}
    defaults |= {f"{which}_list": path for which, path in wanted.items()}
    paths = {flag: Path(value) if value is not None else defaults[flag] for flag, value in given.items()}
    _require_files(name, home, paths)
    known = CATALOGUE.get(name, _Known())
    own_lists = all(lists[which] is not None for which in need)
    return DatasetSpec(
        name=name,
        class_names=class_names_beside(
            paths["classes"], home / "classes.txt", known.num_class, own_lists=own_lists, name=name
        ),
        root_path=paths["root_path"],
        lists={which: wanted[which] if which in wanted else paths[f"{which}_list"] for which in need},
        image_tmpl=checked_template(image_tmpl or _prepared_template(home, root_path) or known.image_tmpl),
    )


def _frames_or_videos(name: str, home: Path, root_path: str | None) -> str:
    """The folder that a prepared data set is read from."""
    frames, videos = home / "frames", home / "videos"
    if root_path is not None or not videos.is_dir() or frames.is_dir() or frames.is_symlink():
        return "frames"
    logging.info("%s: there is no %s; reading the video files in %s", name, frames, videos)
    return "videos"


def _require_split(name: str, split: str | None, home: Path, wanted: Mapping[str, Path]) -> None:
    """Refuse lists that a prepared folder lacks, if it has those of other splits or lacks only the test list."""
    absent = [path.name for path in wanted.values() if not path.is_file()]
    if not absent or not home.is_dir() or name not in names_of(home.name):
        return
    others = splits_there(home, wanted) if len(names_of(home.name)) == 1 else []
    if others:
        cure = f"choose one of its splits with --split: {', '.join(others)}"
    elif split is not None:
        cure = "it has no named splits: leave --split out, or give other lists (--val_list)"
    elif "test" in wanted:
        cure = (
            "scripts/prepare_data.py makes one from an official test file, or with folder --test_share or --folds; "
            "--subset val scores the val list"
        )
    else:
        return
    raise InputError(f"{home} has no {', no '.join(absent)}; {cure}")


def _require_known(name: str, missing: Sequence[str], home: Path) -> None:
    """Refuse a data set that is neither in the catalogue nor prepared; `missing`: flags that were not given."""
    if name not in names_of(name) and any(flag.endswith("_list") for flag in missing):
        raise InputError(f"data set {name!r} has several splits; name one of them: {', '.join(names_of(name))}")
    if missing and name not in CATALOGUE and not home.is_dir():
        own = {path.parent.name for path in home.parent.glob("*/classes.txt")} - {*CATALOGUE, *ALIASES}
        raise InputError(
            f"data set {name!r} is not known; choose one of {', '.join([*sorted(own), *CATALOGUE, *ALIASES])}, "
            f"or for your own data set add {' '.join(missing)}, or prepare it: scripts/prepare_data.py folder"
        )


def _prepared_template(home: Path, root_path: str | None) -> str | None:
    """The file-name pattern that the preparation stored, if the prepared frames are read."""
    path = home / TEMPLATE_FILE
    return path.read_text(encoding="utf-8").strip() if root_path is None and path.is_file() else None


def _require_files(name: str, home: Path, paths: Mapping[str, Path]) -> None:
    """Refuse files of a data set that do not exist; `paths`: by the options that name them."""
    kinds = {flag: "folder" if flag == "root_path" else "file" for flag in paths}
    absent = [
        flag for flag, path in paths.items() if not (path.is_dir() if kinds[flag] == "folder" else path.is_file())
    ]
    if absent:
        media = home / ("videos" if (home / "videos").exists() else "frames")
        prepare = f"with {command('scripts/prepare_data.py')}"
        if name not in CATALOGUE:
            prepare = f"from one folder per class with {command('scripts/prepare_data.py', 'folder', name, media)}"
        missing = ", no ".join(f"{kinds[flag]} {paths[flag]}{there_is(paths[flag])}" for flag in absent)
        raise InputError(
            f"{name}: there is no {missing}; prepare the data set {prepare}, write it as in docs/data.md, or give "
            f"{' '.join(f'--{flag}' for flag in absent)} (or --data_root, the folder of all data sets)"
        )


def checked_template(template: str) -> str:
    """The template itself; an `InputError` unless it has exactly one field, for a number."""
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
        if len(fields) == 1 and template.format(1) != template.format(2):
            return template
    except (ValueError, IndexError, KeyError):
        pass
    raise InputError(f"--image_tmpl {template!r} must have one number; write {{:05d}}.jpg for 00001.jpg")
