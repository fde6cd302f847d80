"""The data sets that are known by name, and where their files are."""

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from datasets.class_names import in_order_of, read_class_names
from datasets.missing import there_is
from errors import InputError, command, counted

BUILT_IN = "moving_digits"
TEMPLATE_FILE = "image_tmpl.txt"  # in a prepared folder that has frames: how they are named


@dataclass(frozen=True)
class DatasetSpec:
    """A data set whose files were found.

    Attributes:
        name: as in the catalogue, or the user's own.
        class_names: K names in label order.
        root_path: folder of the frame folders, archives or video files.
        lists: "train" and "val" -> list file, those that were asked for.
        image_tmpl: frame number (from 1) -> file name.
    """

    name: str
    class_names: tuple[str, ...]
    root_path: Path
    lists: dict[str, Path]
    image_tmpl: str

    @property
    def num_class(self) -> int:
        """K."""
        return len(self.class_names)


@dataclass(frozen=True)
class _Known:
    num_class: int | None  # None: as many as classes.txt has
    image_tmpl: str = "{:05d}.jpg"
    folder: str = ""  # under the data root; the name, if empty
    split: str = ""  # train_<split>.txt instead of train.txt


CATALOGUE = {
    "kinetics": _Known(400),
    "somethingv1": _Known(174),
    "somethingv2": _Known(174, "{:06d}.jpg"),
    "diving48": _Known(48),
    "egtea1": _Known(106, "img_{:05d}.jpg", "egtea", "split1"),
    "egtea2": _Known(106, "img_{:05d}.jpg", "egtea", "split2"),
    "egtea3": _Known(106, "img_{:05d}.jpg", "egtea", "split3"),
    "ucf101": _Known(101, split="split1"),
    "hmdb51": _Known(51, split="split1"),
    "jester": _Known(27),
    BUILT_IN: _Known(None),
}
ALIASES = {"something": "somethingv1", "egaze1": "egtea1", "egaze2": "egtea2", "egaze3": "egtea3"}


def canonical_name(name: str) -> str:
    """The catalogue's name of a data set: "something" -> "somethingv1"; other names stay."""
    return ALIASES.get(name, name)


def folder_and_lists(name: str) -> tuple[str, dict[str, str]]:
    """A data set's folder under the data root, and the names of its lists there: "train" -> "train_split1"."""
    known = CATALOGUE.get(name, _Known(None))
    split = f"_{known.split}" if known.split else ""
    return known.folder or name, {which: which + split for which in ("train", "val")}


def usual_template(folder: str) -> str:
    """The frame names of the data set that has this folder under the data root."""
    return CATALOGUE.get(names_of(folder)[0], _Known(None)).image_tmpl


def names_of(folder: str) -> list[str]:
    """Names of the data sets that have this folder under the data root: "egtea" -> "egtea1", "egtea2", "egtea3"."""
    return [name for name in CATALOGUE if folder_and_lists(name)[0] == folder] or [folder]


def resolve(
    name: str,
    *,
    data_root: str | None = "data",
    root_path: str | None = None,
    train_list: str | None = None,
    val_list: str | None = None,
    classes: str | None = None,
    image_tmpl: str | None = None,
    need: Collection[str] | None = ("train", "val"),
) -> DatasetSpec:
    """Find the files of a data set. The built-in one is made if it is not there.

    A known name is looked for in `<data_root>/<name>/`: frames/ (videos/, if there is no frames/), train.txt, val.txt,
    classes.txt, and so is any other name that has such a folder. Each of the other arguments replaces one of these; a
    name without a folder needs them all.

    Args:
        name: of the data set.
        data_root: folder of the prepared data sets; None: data.
        root_path: folder of the frame folders, archives or video files.
        train_list: list file.
        val_list: list file.
        classes: class names, one a line.
        image_tmpl: frame file name with one number, such as "{:05d}.jpg".
        need: which lists are needed: "train", "val". None: those that are given or prepared, one at least.

    Raises:
        InputError: an unknown name without its files, a file that is not there, or class names that do not fit.
    """
    name = canonical_name(name)
    lists = {"train": train_list, "val": val_list}
    root = Path(data_root or "data")
    folder, list_names = folder_and_lists(name)
    home = root / folder
    if need is None:
        there = [which for which in lists if lists[which] or (home / f"{list_names[which]}.txt").is_file()]
        need = there or list(lists)
    given: dict[str, str | None] = {"root_path": root_path, "classes": classes}
    given |= {f"{split}_list": lists[split] for split in need}
    missing = [f"--{flag}" for flag, value in given.items() if value is None]
    _require_known(name, missing, home)
    known = CATALOGUE.get(name, _Known(None))
    if name == BUILT_IN and missing:
        from datasets.moving_digits import ensure_moving_digits  # here: its images take a second to import

        ensure_moving_digits(root)
    frames, videos = home / "frames", home / "videos"
    if root_path is None and videos.is_dir() and not frames.is_dir() and not frames.is_symlink():
        logging.info("%s: there is no %s, so the video files in %s are read", name, frames, videos)
        frames = videos
    defaults = {"root_path": frames, "classes": home / "classes.txt"}
    defaults |= {f"{which}_list": home / f"{list_names[which]}.txt" for which in need}
    paths = {flag: Path(value) if value is not None else defaults[flag] for flag, value in given.items()}
    for flag, path in paths.items():
        _require(path, flag, folder=flag == "root_path", name=name)
    return DatasetSpec(
        name=name,
        class_names=_class_names(
            paths["classes"],
            home / "classes.txt",
            known.num_class,
            own_lists=all(lists[which] is not None for which in need),
            name=name,
        ),
        root_path=paths["root_path"],
        lists={which: paths[f"{which}_list"] for which in need},
        image_tmpl=checked_template(image_tmpl or _prepared_template(home, root_path) or known.image_tmpl),
    )


def _require_known(name: str, missing: Sequence[str], home: Path) -> None:
    """Refuse a data set of which nothing is known; `missing`: flags that were not given."""
    splits = names_of(name)
    if name not in splits and any(flag.endswith("_list") for flag in missing):
        raise InputError(f"data set {name!r} has several splits; name one of them: {', '.join(splits)}")
    if name in CATALOGUE or not missing:
        return
    if not home.is_dir():
        raise InputError(
            f"data set {name!r} is not known; choose one of {', '.join([*CATALOGUE, *ALIASES])}, "
            f"or for your own data set add {' '.join(missing)}, or prepare it: scripts/prepare_data.py folder"
        )
    names = {"--classes": ["classes.txt"], "--root_path": ["frames", "videos"]}
    names |= {f"--{which}_list": [f"{which}.txt"] for which in ("train", "val")}
    absent = {flag: names[flag] for flag in missing if not any(os.path.lexists(home / file) for file in names[flag])}
    if absent:
        media = next((kind for kind in names["--root_path"] if (home / kind).exists()), "frames")
        prepare = command("scripts/prepare_data.py", "folder", name, home / media)
        raise InputError(
            f"{home} has no {', no '.join(' or '.join(files) for files in absent.values())}; make all of it from one "
            f"folder a class by {prepare}, or write it as docs/data.md says, or give {' '.join(absent)}"
        )


def _prepared_template(home: Path, root_path: str | None) -> str | None:
    """The frame name that the preparation wrote down, for the frames that were prepared."""
    path = home / TEMPLATE_FILE
    return path.read_text(encoding="utf-8").strip() if root_path is None and path.is_file() else None


def _require(path: Path, flag: str, *, folder: bool, name: str) -> None:
    if not (path.is_dir() if folder else path.is_file()):
        kind = "folder" if folder else "file"
        raise InputError(
            f"{name}: there is no {kind} {path}{there_is(path)}; prepare the data set there, or give the {kind} "
            f"with --{flag} (or --data_root, the folder of all data sets)"
        )


def _class_names(path: Path, prepared: Path, num_class: int | None, *, own_lists: bool, name: str) -> tuple[str, ...]:
    """Names in label order; where they are the prepared ones in another spelling or order, in the prepared spelling.

    Args:
        path: the file to read.
        prepared: classes.txt of the data set's folder, which may not exist.
        num_class: K, if it is known.
        own_lists: the lists are not the prepared ones, so their labels may follow any order.
        name: the data set's name.
    """
    names = read_class_names(path)
    if not names or (num_class is not None and len(names) != num_class):
        raise InputError(f"{path} has {counted(len(names), 'class name')}; {name} has {num_class or '1 or more'}")
    if not prepared.is_file() or prepared.samefile(path):
        return names
    known = read_class_names(prepared)
    same = in_order_of(names, known)
    if same and same != known and not own_lists:
        raise InputError(
            f"--classes {path} has the classes of {prepared} in another order, but the labels of the lists follow "
            f"{prepared}; prepare the data set again with --classes, or leave it out here"
        )
    return same or names


def checked_template(template: str) -> str:
    """A template that has exactly one field and takes a number."""
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
        if len(fields) == 1 and template.format(1) != template.format(2):
            return template
    except (ValueError, IndexError, KeyError):
        pass
    raise InputError(f"--image_tmpl {template!r} is no template with one number; write {{:05d}}.jpg for 00001.jpg")
