"""A prepared data set on disk: written whole or not at all, over an earlier one or none."""

import errno
import json
import os
import shlex
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from common.errors import InputError, counted, few
from common.files import all_or_nothing
from datasets.catalogue import SUBSETS, TEMPLATE_FILE, folder_and_lists, names_of
from datasets.lists import VideoRecord, bare_path, format_line, parse_lines
from datasets.missing_path import broken_link, there_is
from datasets.preparing.find_media import KINDS
from datasets.preparing.preparation import Preparation


def choose_media(home: Path, frames: Path | None, videos: Path | None) -> tuple[str, Path]:
    """("frames" or "videos", their folder): the one given, else where they lie in the data set's folder, frames first.

    Raises:
        InputError: there are neither, or a folder is none.
    """
    for kind, folder in (("frames", frames), ("videos", videos)):
        if folder is not None:
            if not os.path.isdir(folder):  # Path.is_dir raises where a folder above may not be searched
                raise InputError(f"--{kind} {folder} is no folder that can be reached{there_is(folder)}")
            return kind, folder
    for kind in KINDS:
        if (home / kind).is_dir():
            return kind, home / kind
    links = "".join(broken_link(home / kind) for kind in KINDS)
    raise InputError(
        f"where are the videos? Give --videos DIR or --frames DIR, or put them into {home / 'videos'}{links}"
    )


def require_apart(home: Path, root: Path) -> None:
    """Make sure that the data set's folder is not among the class folders.

    Raises:
        InputError: it is, or would be at the next run.
    """
    if root.resolve() in (home.resolve(), *home.resolve().parents):
        raise InputError(
            f"the lists are written to {home}, which is {root} itself or lies in it, so it would be taken for a class; "
            f"move the class folders into a folder of their own, such as {home / 'videos'}, or give another --data_root"
        )


def changed_lists(home: Path, preparation: Preparation) -> list[str]:
    """Lines that say which lists of an earlier preparation are about to be replaced by others, or removed."""
    changed, same_clips, same_labels = [], True, True
    for key, records in preparation.records.items():
        path = home / f"{key}.txt"
        if path.is_file():
            before = [parsed for _, parsed in parse_lines(path, None)]
            if before != records:
                changed.append(path.name)
                old = {bare_path(parsed.path): parsed.label for parsed in before if isinstance(parsed, VideoRecord)}
                new = {bare_path(record.path): record.label for record in records}
                same_clips &= old.keys() == new.keys()
                same_labels &= all(old.get(clip, label) == label for clip, label in new.items())
    split = "of the same clips" if same_clips else "with another split: results before and after cannot be compared"
    labels = "" if same_labels else "; the classes have other labels, which earlier weights do not fit"
    removed = [path.name for path in _old_lists(home, preparation)]
    lines = [f"In place of the {few(changed, 6)} that were there come others {split}{labels}"] if changed else []
    return lines + ([f"Removed, because this preparation does not make them: {few(removed, 6)}"] if removed else [])


def _old_lists(home: Path, preparation: Preparation) -> list[Path]:
    """Lists that an earlier preparation wrote and this one does not: they are of another split."""
    keys = list(preparation.reports)
    with suppress(OSError, ValueError, LookupError, TypeError):
        keys += json.loads((home / "report.json").read_bytes())["reports"]
    lists = {key for key in keys if key.partition("_")[0] in SUBSETS} - preparation.records.keys()
    return [path for path in (home / f"{key}.txt" for key in sorted(lists)) if path.is_file()]


def write_prepared(home: Path, preparation: Preparation, use_there: str) -> None:
    """Write lists, classes.txt, report.json and, where the media lie elsewhere, a link to them.

    Lists of an earlier preparation that this one does not make are removed.

    Args:
        home: folder of the data set.
        preparation: what to write.
        use_there: how media are prepared that lie in `home` already, for a message.

    Raises:
        InputError: the folder cannot be written, or holds other media, which would be taken for these.
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
        if not any(place.exists() and place.samefile(preparation.media) for place in (link, home / "frames")):
            _link(scratch / kind, preparation.media.absolute(), link, use_there)
    for path in old:
        path.unlink(missing_ok=True)


def _link(temporary: Path, media: Path, link: Path, use_there: str) -> None:
    """Make a link that will be moved to `link`; without the right to make links, another folder is no cure."""
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
        raise InputError(f"{link} is there and is not {media}; move it away, or use it: {use_there}")
    if kind == "videos" and frames.is_dir() and not frames.samefile(media):
        raise InputError(
            f"{frames} is there and would be read instead of the videos; remove it (if it is a link, only the link), "
            f"or use it: {use_there}"
        )


def describe(preparation: Preparation, home: Path) -> list[str]:
    """Lines of the report."""
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
        for remark in report.remarks():
            remarks[remark].append(key)
    lines += [f"{few(keys, 6)}: {remark}" for remark, keys in remarks.items()]
    lines += preparation.remarks
    lines.append(f"Written: {home}; every name in {home / 'report.json'}")
    lines.append(_next_step(preparation, home))
    return lines


def _next_step(preparation: Preparation, home: Path) -> str:
    """The command that checks what was prepared, by the name that it has in training."""
    names = names_of(preparation.data_set)
    usual = [n for n in names if set(folder_and_lists(n)[1].values()) & set(preparation.records)]
    splits = [] if usual else [key.partition("_")[2] for key in preparation.records if key.startswith("train_")]
    name, *others = usual or names
    split = ["--split", splits[0]] if splits else []
    data_root = [] if home.parent == Path("data") else ["--data_root", str(home.parent)]
    command = shlex.join(["python", "scripts/check_data.py", name, *split, *data_root])
    others = others or splits[1:]
    return f"Next: {command}" + (f"    # and {few(others)}" if others else "")
