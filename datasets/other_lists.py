"""Files that are not lists, recognised by their first line: official annotations, tables, JSON."""

import re

JSON = r"[\[{]\s*([\"\[{]|$)"  # the beginning of a file
_PREPARE = "scripts/prepare_data.py {} --annotations FOLDER makes the lists".format
# The first line of a file (HMDB51: after the file's name) -> its format, and the remedy.
_OTHER_FORMS = {
    rf"{JSON}.*": ("JSON", f"if it is an official annotation file: {_PREPARE('DATA_SET')}"),
    r"label,youtube_id,.*": ("Kinetics' official CSV", _PREPARE("kinetics")),
    r"\d+;\D+": ("an `id;class` file of Something-Something V1 or Jester", _PREPARE("somethingv1 (or jester)")),
    r"\w+_test_split[123]\.txt: [^/]+\.avi [012]": ("an official file of HMDB51", _PREPARE("hmdb51")),
    r"[\w-]+-F\d+-F\d+( \d+){3,}": ("an official file of EGTEA Gaze+", _PREPARE("egtea")),
    r"\w+/v_\w+_g\d+_c\d+\.avi": ("an official file of UCF101 without labels", _PREPARE("ucf101")),
    r"(?!.*[^\s,;]\s+\d+(,\d+)+$).*\S[,;]\s*\d+|[^\d\s]+([,;][^\d\s]+)+": (
        "a table with commas or semicolons", "write blanks instead of them, and leave out a header"
    ),
}  # fmt: skip


def other_form(name: str, first_line: str) -> tuple[str, str] | None:
    """What a file of this name is instead of a list, and the remedy; None if it may be a list."""
    for form, found in _OTHER_FORMS.items():
        if any(re.fullmatch(form, line) for line in (first_line, f"{name}: {first_line}")):
            return found
    return None
