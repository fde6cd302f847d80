"""Small made-up annotation files of the official formats, for tests. Each writer returns their content.

The result is {list: {clip as a path below the folder of the media: class name, or None without a label}}.
"""

import json
from functools import partial
from pathlib import Path

Expected = dict[str, dict[str, str | None]]

# Two of Something-Something's names, a name with a comma, and fillers; in no order, as in the official files.
SOMETHING = [
    "Turning something upside down",
    "Pulling something from right to left",
    "Putting something, something and something on the table",
    "Pulling something from left to right",
    *(f"Class {i:03d}" for i in range(170)),
]


def write_something_csv(
    folder: Path, prefix: str = "something-something-v1", classes: list[str] = SOMETHING
) -> Expected:
    """`id;class` lines, and one class per line."""
    lists = {"train": {"1": classes[0], "2": classes[1], "30": classes[2]}, "val": {"4": classes[3], "5": classes[0]}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-labels.csv").write_text("".join(f"{name}\n" for name in classes))
    for key, which in (("train", "train"), ("val", "validation")):
        lines = "".join(f"{clip};{name}\n" for clip, name in lists[key].items())
        (folder / f"{prefix}-{which}.csv").write_text(lines)
    (folder / f"{prefix}-test.csv").write_text("100\n101\n")
    return {**lists, "test": {"100": None, "101": None}}


def write_somethingv2(folder: Path, prefix: str = "something-something-v2-") -> Expected:
    """Lists of {id, label, template, placeholders}, and {class: "number"}."""
    classes = sorted(SOMETHING)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}labels.json").write_text(json.dumps({name: str(i) for i, name in enumerate(classes)}))
    lists = {"train": {"78687": SOMETHING[1], "42326": SOMETHING[2]}, "val": {"74225": SOMETHING[3]}}
    for key, which in (("train", "train"), ("val", "validation")):
        entries = [
            {
                "id": clip,
                "label": name.replace("something", "a cup").lower(),
                "template": name.replace("something", "[something]"),
                "placeholders": ["a cup"],
            }
            for clip, name in lists[key].items()
        ]
        (folder / f"{prefix}{which}.json").write_text(json.dumps(entries))
    (folder / f"{prefix}test.json").write_text(json.dumps([{"id": "1420"}]))
    return {**lists, "test": {"1420": None}}


KINETICS = ["petting animal (not cat)", "massaging person's head", *(f"class {i:03d}" for i in range(698))]


def write_kinetics(folder: Path, num_class: int = 400) -> Expected:
    """CSV with a header; the train file has a clip of every class."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "label,youtube_id,time_start,time_end,split,is_cc\n"
    rows = [(name, f"-Ab_{i:03d}xyz_", i, i + 10) for i, name in enumerate(KINETICS[:num_class])]
    val = [(KINETICS[0], "0wR5jVB-WPk", 417, 427), (KINETICS[1], "aBcDeFgHiJk", 3, 13)]
    for which, group in (("train", rows), ("validate", val)):
        lines = [f'"{name}",{video},{start},{end},{which},0\n' for name, video, start, end in group]
        (folder / f"{which}.csv").write_text(head + "".join(lines))
    (folder / "test.csv").write_text("youtube_id,time_start,time_end,split\nabcdefghijk,1,11,test\n")
    lists = {"train": rows, "val": val}
    return {
        key: {f"{name.replace(' ', '_')}/{video}_{start:06d}_{end:06d}": name for name, video, start, end in group}
        for key, group in lists.items()
    }


def write_mini_kinetics(folder: Path, num_class: int = 200) -> Expected:
    """The files of Kinetics-400, and some of its classes, spelled otherwise and in another order."""
    chosen = KINETICS[1 : num_class + 1]
    lists = write_kinetics(folder)
    (folder / "mini.txt").write_text("".join(f"{name.replace(' ', '_').upper()}\n" for name in chosen))
    return {key: {clip: name for clip, name in clips.items() if name in chosen} for key, clips in lists.items()}


def write_diving48(folder: Path, version: str = "V2_") -> Expected:
    """Lists of {vid_name, label, start_frame, end_frame}, and 48 lists of four words."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = [["Back", f"{i}som", "05Twis", "FREE"] for i in range(48)]
    (folder / "Diving48_vocab.json").write_text(json.dumps(classes))
    lists = {"train": {"YjTNLSvxGcE_00000": 0, "YjTNLSvxGcE_00001": 47}, "val": {"aBcDeFgHiJk_00010": 13}}
    for key, which in (("train", "train"), ("val", "test")):
        entries = [
            {"vid_name": clip, "label": label, "start_frame": 0, "end_frame": 5} for clip, label in lists[key].items()
        ]
        (folder / f"Diving48_{version}{which}.json").write_text(json.dumps(entries))
    return {key: {clip: " ".join(classes[label]) for clip, label in clips.items()} for key, clips in lists.items()}


def write_egtea(folder: Path) -> Expected:
    """Actions with numbers from 1, and three splits in the folder action_annotation."""
    home = folder / "action_annotation"
    home.mkdir(parents=True, exist_ok=True)
    classes = ["Take bread_container/bowl, plate", *(f"Cut item {i}" for i in range(105))]
    (home / "action_idx.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(classes, start=1)))
    first, second = (
        "OP01-R01-PastaSalad-66680-68130-F001597-F001639",
        "P26-R05-Cheeseburger-9000-9900-F000215-F000236",
    )
    expected = {}
    for split in (1, 2, 3):
        (home / f"train_split{split}.txt").write_text(f"{first} 1 2 3 4 \n")
        (home / f"test_split{split}.txt").write_text(f"{second} 106 1 5\n")
        expected[f"train_split{split}"] = {f"OP01-R01-PastaSalad/{first}": classes[0]}
        expected[f"val_split{split}"] = {f"P26-R05-Cheeseburger/{second}": classes[105]}
    return expected


def write_ucf101(folder: Path) -> Expected:
    """Numbered classes and three splits; the trap of HandstandPushups."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = ["ApplyEyeMakeup", "HandstandPushups", *(f"Zumba{i:02d}" for i in range(99))]
    (folder / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes, start=1)))
    expected = {}
    for split in (1, 2, 3):
        train = f"HandstandPushups/v_HandStandPushups_g0{split}_c01"
        val = f"ApplyEyeMakeup/v_ApplyEyeMakeup_g0{split}_c01"
        (folder / f"trainlist0{split}.txt").write_text(f"{train}.avi 2\n")
        (folder / f"testlist0{split}.txt").write_text(f"{val}.avi\n")
        expected |= {f"train_split{split}": {train: classes[1]}, f"val_split{split}": {val: classes[0]}}
    return expected


def write_hmdb51(folder: Path) -> Expected:
    """One file per class and split, each line with a trailing blank."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = ["brush_hair", "wave", *(f"act_{i:02d}" for i in range(49))]
    expected: Expected = {f"{key}_split{split}": {} for split in (1, 2, 3) for key in ("train", "val")}
    for split in (1, 2, 3):
        for name in classes:
            clips = [f"#20_{name}'s_u_nm_np1_fr_goo_{i}" for i in range(3)]
            lines = [f"{clip}.avi {flag} \n" for clip, flag in zip(clips, (1, 2, 0), strict=True)]
            (folder / f"{name}_test_split{split}.txt").write_text("".join(lines))
            expected[f"train_split{split}"][f"{name}/{clips[0]}"] = name
            expected[f"val_split{split}"][f"{name}/{clips[1]}"] = name
    return expected


def write_jester(folder: Path) -> Expected:
    """The files of Something-Something V1, 27 classes."""
    classes = ["Swiping Left", "Swiping Right", "Turning Hand", "Doing other things", *(f"Sign {i}" for i in range(23))]
    return write_something_csv(folder, "jester-v1", classes)


WRITERS = {
    "kinetics": write_kinetics,
    "kinetics600": partial(write_kinetics, num_class=600),
    "kinetics700": partial(write_kinetics, num_class=700),
    "minikinetics100": partial(write_mini_kinetics, num_class=100),
    "minikinetics200": partial(write_mini_kinetics, num_class=200),
    "somethingv1": write_something_csv,
    "somethingv2": write_somethingv2,
    "diving48": write_diving48,
    "egtea": write_egtea,
    "ucf101": write_ucf101,
    "hmdb51": write_hmdb51,
    "jester": write_jester,
}
