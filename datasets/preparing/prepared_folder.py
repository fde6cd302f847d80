"""Writes a prepared data set to its folder, all files or none, and reports it."""

import errno
import json
import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from common.errors import InputError, command, counted, few
from common.files import all_or_nothing
from datasets.catalogue import SUBSETS, TEMPLATE_FILE, folder_and_lists, names_of
from datasets.lists import VideoRecord, bare_path, format_line, parse_lines
from datasets.missing_path import broken_link, there_is
from datasets.preparing.annotations.base import remark_on
from datasets.preparing.find_media import KINDS
from datasets.preparing.preparation import Preparation


def choose_media(home: Path, frames: Path | None, videos: Path | None) -> tuple[str, Path]:
    """("frames" or "videos", their folder): the folder given, else the one in the data set's folder, frames first."""
    for kind, folder in (("frames", frames), ("videos", videos)):
        if folder is not None:
            if not os.path.isdir(folder):  # Path.is_dir raises if a parent folder cannot be searched
                raise InputError(f"--{kind}: there is no folder {folder}{there_is(folder)}")
            return kind, folder
    for kind in KINDS:
        if (home / kind).is_dir():
            return kind, home / kind
    links = "".join(broken_link(home / kind) for kind in KINDS)
    raise InputError(
        f"no videos or frames in {home}{links}; give --videos DIR or --frames DIR, or put them into {home / 'videos'}"
    )


def require_apart(home: Path, root: Path) -> None:
    """Refuse a data set's folder inside the folder of class folders, where it would be taken for a class."""
    if root.resolve() in (home.resolve(), *home.resolve().parents):
        raise InputError(
            f"the lists are written to {home}, which is {root} or inside it, so it would be taken for a class; move "
            f"the class folders into a folder of their own, such as {home / 'videos'}, or give another --data_root"
        )


def changed_lists(home: Path, preparation: Preparation) -> list[str]:
    """Lines about the lists of an earlier preparation that will be replaced by different ones or removed."""
    changed, same_clips, same_labels = [], True, True
    for key, records in preparation.records.items():
        path = home / f"{key}.txt"
        before = [parsed for _, parsed in parse_lines(path, None)] if path.is_file() else records
        if before != records:
            changed.append(path.name)
            old = {bare_path(parsed.path): parsed.label for parsed in before if isinstance(parsed, VideoRecord)}
            new = {bare_path(record.path): record.label for record in records}
            same_clips &= old.keys() == new.keys()
            same_labels &= all(old.get(clip, label) == label for clip, label in new.items())
    split = "same clips" if same_clips else "different split: results before and after cannot be compared"
    labels = "" if same_labels else "; labels changed: weights trained before do not fit"
    lines = [f"Replaced {few(changed, 6)} ({split}{labels})"] if changed else []
    removed = [path.name for path in _old_lists(home, preparation)]
    return lines + ([f"Removed {few(removed, 6)} (not part of this preparation)"] if removed else [])


def _old_lists(home: Path, preparation: Preparation) -> list[Path]:
    """Lists of an earlier preparation that this one does not write, because they belong to another split."""
    keys = list(preparation.reports)
    with suppress(OSError, ValueError, LookupError, TypeError):
        keys += json.loads((home / "report.json").read_bytes())["reports"]
    lists = {key for key in keys if key.partition("_")[0] in SUBSETS} - preparation.records.keys()
    return [path for path in (home / f"{key}.txt" for key in sorted(lists)) if path.is_file()]


def write_prepared(home: Path, preparation: Preparation, use_there: str) -> None:
    """Write lists, classes.txt, report.json and a link to the media, unless they are in the folder.

    Removes lists of an earlier preparation that this one does not write. `use_there` tells the user how to prepare from
    media that are already in `home`; other media there, which would be taken for these, are refused.
    """
    kind = "frames" if preparation.image_tmpl else "videos"
    link = home / kind
    _refuse_other_media(home, kind, preparation.media, use_there)
    files = {f"{key}.txt": "".join(map(format_line, records)) for key, records in preparation.records.items()}
    old = _old_lists(home, preparation)
    files["classes.txt"] = "".join(f"{name}\n" for name in preparation.class_names)
    files["report.json"] = json.dumps(preparation.as_json(), indent=2) + "\n"
    if preparation.image_tmpl:
        files[TEMPLATE_FILE] = f"{preparation.image_tmpl}\n"
    with all_or_nothing(home, "--data_root") as scratch:
        for name, text in files.items():
            (scratch / name).write_text(text, encoding="utf-8")
        if not any(path.exists() and path.samefile(preparation.media) for path in (link, home / "frames")):
            _link(scratch / kind, preparation.media.absolute(), link, use_there)
    for path in old:
        path.unlink(missing_ok=True)


def _link(temporary: Path, media: Path, link: Path, use_there: str) -> None:
    """Make a link that will be moved to `link`; without the right to make links, another folder does not help."""
    try:
        temporary.symlink_to(media, target_is_directory=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise InputError(
            f"{link} cannot be made a link to {media} ({error.strerror}): turn on developer mode (Windows), or move "
            f"the folder to {link} and {use_there}. Nothing was changed"
        ) from error


def _refuse_other_media(home: Path, kind: str, media: Path, use_there: str) -> None:
    link, frames = home / kind, home / "frames"
    if link.exists() and not link.is_symlink() and not link.samefile(media):
        raise InputError(f"{link} exists and is not {media}; move it away, or use it: {use_there}")
    if kind == "videos" and frames.is_dir() and not frames.samefile(media):
        raise InputError(
            f"{frames} exists and would be read instead of the videos; remove it (if it is a link, only the link), "
            f"or use it: {use_there}"
        )


def describe(preparation: Preparation, home: Path) -> list[str]:
    """The report to print."""
    frames = f"frames {preparation.image_tmpl}" if preparation.image_tmpl else "videos"
    lines = [
        f"{preparation.data_set}: {counted(len(preparation.class_names), 'class')}, {frames} in {preparation.media}",
        f"{'list':<14}" + "".join(f"{title:>11}" for title in ("annotated", "found", "dropped", "listed", "published")),
    ]
    for key, report in preparation.reports.items():
        found = report.annotated - len(report.missing)
        published = f"{report.published.clips:,}" if report.published else "-"
        counts = (f"{count:,}" for count in (report.annotated, found, len(report.dropped), report.listed))
        note = f"  ({report.published.note})" if report.published and report.published.note else ""
        lines.append(f"{key:<14}" + "".join(f"{text:>11}" for text in (*counts, published)) + note)
    remarks: dict[str, list[str]] = defaultdict(list)
    for key, report in preparation.reports.items():
        if report.missing:
            lines.append(f"{key}: {len(report.missing):,} missing: {few(report.missing)}")
        if report.dropped:
            lines.append(f"{key}: {len(report.dropped):,} dropped: {few(list(report.dropped.values()), 1)}")
        for remark in report.remarks() + remark_on(preparation.absent_classes(key), "class", "without a clip"):
            remarks[remark].append(key)
    lines += [f"{few(keys, 6)}: {remark}" for remark, keys in remarks.items()]
    lines += preparation.remarks
    lines.append(f"Written: {home}; {home / 'report.json'} has all names")
    lines.append(_next_step(preparation, home))
    return lines


def _next_step(preparation: Preparation, home: Path) -> str:
    """The command that checks the prepared lists, with the data set's name in training."""
    names = names_of(preparation.data_set)
    usual = [n for n in names if set(folder_and_lists(n)[1].values()) & set(preparation.records)]
    splits = [] if usual else [key.partition("_")[2] for key in preparation.records if key.startswith("train_")]
    name, *others = usual or names
    split = ["--split", splits[0]] if splits else []
    data_root = [] if home.parent == Path("data") else ["--data_root", home.parent]
    check = command("python", "scripts/check_data.py", name, *split, *data_root)
    others = others or splits[1:]
    return f"Next: {check}" + (f"    # and {few(others)}" if others else "")
