"""The page as HTML: structure, numbers, hostile names. In headless Chromium: tables, figures, matrix."""

import json
import re
import shutil
import subprocess
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from ops.scoring.merge import ScoredModel, merge
from ops.scoring.pickles import Scores
from ops.scoring.report import page
from ops.scoring.report.page import write_report

BROWSER = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
NAMES = [
    "</script><script>document.title = 'hacked'</script>", "<img src=x onerror=\"document.title='hacked'\">",
    "a & b's \"c\"", "$x_{1}$ {{ 7 * 7 }} {% raw %}", "long" * 100, "-->\x1b[31m\u202e\ud800<!--",
]  # fmt: skip
LABELS = np.array([0, 0, 1, 1, 1, 2, 2, 3, 3, 4])  # class 5 has no videos
PROTOCOL = {
    "dataset": "mine", "net": "TSN", "arch": "resnet18", "num_segments": 8, "frames_per_segment": 1, "ablate": [],
    "frame_order": "normal", "sampling": "centre of each segment", "preprocessing": "centre crop", "subset": "val",
    "class_names": NAMES, "weights": "none\x1b\ud800.tar", "root_path": "frames", "image_tmpl": "{:05d}.jpg",
}  # fmt: skip
SECTIONS = [
    "accuracy", "comparison", "views", "classes", "confusion", "calibration", "mistakes", "training", "settings",
]  # fmt: skip


class Elements(HTMLParser):
    """All elements with their attributes, in order, and all text but that of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.elements or self.elements[-1][0] not in ("script", "style"):
            self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def scored(predicted: list[int], folder: str, clips: int = 1, ids: bool = True, **protocol: object) -> ScoredModel:
    """A model that is sure of these classes, less so for later videos."""
    logits = (np.eye(6)[predicted] * np.linspace(9, 5, len(LABELS))[:, None]).astype(np.float32)
    names = tuple(f"<b>{i}" for i in range(len(LABELS))) if ids else None
    views = [[Scores(Path("x.pkl"), logits, LABELS, names)] for _ in range(clips)]
    return ScoredModel(Path(folder), views, {**PROTOCOL, **protocol})


def jpeg(root: Path, video: str, template: str) -> bytes:
    if video == "<b>9":
        raise InputError("frame 1 of <b>9 cannot be read")
    return f"{root} {template}".encode()


def written(folder: Path, models: list[ScoredModel]) -> str:
    coeff = [1.0] * len(models)
    path = write_report(folder, models, merge([model.clips for model in models], coeff), coeff, NAMES, jpeg)
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


FIRST, SECOND = [0, 0, 1, 1, 2, 2, 2, 3, 4, 0], [0, 1, 1, 2, 2, 0, 2, 3, 3, 4]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(
        tmp_path_factory.mktemp("page") / "report", [scored(FIRST, "runs/a", 2), scored(SECOND, "runs/b", 2, net="TSM")]
    )


def test_sections_and_references(html: str) -> None:
    found = Elements(html)
    ids = [own["id"] for _, own in found.elements if "id" in own]
    assert max(Counter(ids).values()) == 1
    assert [own["aria-labelledby"] for own in found.of("section")] == SECTIONS
    assert [own["href"] for own in found.of("a")] == [f"#{name}" for name in SECTIONS]
    for _, own in found.elements:
        targets = (own.get("aria-labelledby") or "").split() + (own.get("aria-describedby") or "").split()
        assert set(targets) <= set(ids)
    headings = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert max(np.diff(headings)) == 1


def test_what_screen_readers_need(html: str) -> None:
    found = Elements(html)
    assert found.of("html")[0]["lang"] == "en"
    assert len(found.of("caption")) == len(found.of("table"))
    assert all(own.get("scope") in ("row", "col") for own in found.of("th"))
    assert all(own.get("alt") for own in found.of("img"))
    assert all(own.get("aria-label") and own["role"] == "img" for own in found.of("svg"))
    assert found.of("canvas")[0]["tabindex"] == "0"
    assert len(found.of("select")) + len(found.of("input")) == len(found.of("label"))


def test_the_page_is_self_contained(html: str) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(", html)
    links = [own[name] for _, own in Elements(html).elements for name in ("src", "href") if name in own]
    assert {re.match("data:image|#", link)[0] for link in links} == {"data:image", "#"}
    assert "default-src 'none'" in html


def test_names_are_text(html: str) -> None:
    found = Elements(html)
    assert len(found.of("script")) == 2
    assert {own["src"][:5] for own in found.of("img")} == {"data:"}
    for name in (*NAMES[:5], r"-->\x1b[31m\u202e\ud800<!--", "<b>4"):
        assert name in "".join(found.texts)
    assert r"none\x1b\ud800.tar" in found.text
    data = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])
    assert data["names"][:5] == NAMES[:5]


def test_numbers(html: str) -> None:
    text = Elements(html).text
    assert "10 videos of the val list, 6 classes" in text
    assert "70.00" in text  # top-1 of A
    assert f"{100 * (1 + 2 / 3 + 1 + 0.5 + 0) / 5:.2f}" in text  # its mean class accuracy
    assert re.search(r"B\s−\sA\s-10\.00", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])
    assert [model["key"] for model in data["models"]] == ["A", "B", "Σ"]
    assert data["models"][0]["cells"] == [0, 0, 2, 1, 1, 2, 1, 2, 1, 2, 2, 2, 3, 3, 1, 3, 4, 1, 4, 0, 1]
    assert all(sorted(order) == list(range(6)) for order in data["orders"])


def test_one_model_has_no_comparison(tmp_path: Path) -> None:
    found = Elements(written(tmp_path / "report", [scored(FIRST, "a")]))
    assert [own["aria-labelledby"] for own in found.of("section")] == [
        name for name in SECTIONS if name not in ("comparison", "views")
    ]
    assert "Σ" not in found.text


def test_three_models_are_compared_in_pairs(tmp_path: Path) -> None:
    models = [scored(FIRST, "x/a"), scored(SECOND, "y/a"), scored(LABELS.tolist(), "y/b")]
    text = Elements(written(tmp_path / "report", models)).text
    for name in ("x/a", "y/a", "y/b", "ensemble"):
        assert name in text
    assert text.count("− A") == 3


def test_no_mistakes(tmp_path: Path) -> None:
    found = Elements(written(tmp_path / "report", [scored(LABELS.tolist(), "a")]))
    assert "every video is right" in found.text
    assert found.of("img") == []


def test_mistakes_show_the_most_confident_first_and_why_frames_are_missing(html: str) -> None:
    found = Elements(html)
    order = [own["alt"].split()[2] for own in found.of("img")]
    assert order[0] == "<b>4,"  # both models are sure of a wrong class
    assert "<b>9," not in order
    assert "No frames: frame 1 of <b>9 cannot be read" in found.text


@pytest.mark.parametrize(("ids", "words"), [(True, "does not say where the videos are"), (False, "have no video ids")])
def test_without_media(tmp_path: Path, ids: bool, words: str) -> None:
    model = scored(FIRST, "a", ids=ids)
    model.protocol.pop("root_path")
    found = Elements(written(tmp_path / "report", [model]))
    assert words in found.text
    assert found.of("img") == []


def test_the_number_of_mistakes_is_limited(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(page, "MOST_MISTAKES", 2)
    assert len(Elements(written(tmp_path / "report", [scored(FIRST, "a")])).of("h3")) == 2


def test_unknown_protocol(tmp_path: Path) -> None:
    model = scored(FIRST, "a")._replace(protocol={})
    assert "protocol unknown" in Elements(written(tmp_path / "report", [model])).text


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """Of texts with their backgrounds, as WCAG 2 defines it."""
    css = (Path(page.__file__).parent / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks]
    colour = {**colours[0], **colours[scheme]}
    pairs = [(text, ground) for text in ("ink", "quiet", "hit", "miss") for ground in ("page", "paper", "hover")]
    pairs += [("on", key) for key in ("sum", *(f"k{i}" for i in range(7)))]
    for text, ground in pairs:
        dark, light = sorted(luminance(colour[name]) for name in (text, ground))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


# Run in the page: what it shows after clicks and keys.
SCRIPT = """
const table = byId("class-table");
const rows = () => [...table.querySelectorAll("tbody tr:not([hidden])")];
const column = (i) => rows().map((row) => row.cells[i].textContent.trim());
const heading = (i) => table.tHead.rows[0].cells[i];
const direction = (i) => heading(i).getAttribute("aria-sort");
const sorted = (i) => { heading(i).firstElementChild.click(); return [column(i), direction(i)]; };
const change = (id, event, value) => { byId(id).value = value; byId(id).dispatchEvent(new Event(event)); };
const press = (...keys) => keys.forEach((key) => canvas.dispatchEvent(new KeyboardEvent("keydown", {key})));
const state = () => [byId("cell").textContent, view.side];
const seen = {title: document.title, width: innerWidth};
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.hidden = table.parentElement.scrollWidth - table.parentElement.clientWidth;
seen.heights = [...document.querySelectorAll("svg, canvas, img")].map((figure) => figure.clientHeight);
seen.colours = new Set(context.getImageData(0, 0, canvas.width, canvas.height).data).size;
seen.ascending = sorted(3);
seen.descending = sorted(3);
seen.names = sorted(1);
seen.unsorted = direction(3);
change("search", "input", "LONG");
seen.search = [column(1).length, byId("found").textContent];
change("order", "change", "0");
press("ArrowRight", "ArrowDown", "ArrowRight");
seen.moved = state();
press("+", "ArrowUp", "ArrowUp");
seen.zoomed = state();
byId("farther").click();
const box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + xOf(4.5), clientY: box.top + yOf(3.5)}));
seen.hovered = state();
document.querySelector(".show").click();
seen.shown = [byId("cell").textContent, document.activeElement.id];
seen.problems = problems;
document.body.textContent = `RESULT${JSON.stringify(seen)}END`;
"""
WATCH = """
const problems = [], note = (...words) => problems.push(words.map(String).join(" "));
console.error = console.warn = onerror = note;
addEventListener("securitypolicyviolation", (event) => note(event.violatedDirective));
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1280, 500])  # 500 is the narrowest that this Chromium makes
def test_in_a_browser(html: str, tmp_path: Path, width: int) -> None:
    script = f"<script>onload = () => setTimeout(() => {{ {SCRIPT} }}, 100);</script>"
    path = tmp_path / "page.html"
    path.write_text(html.replace("<head>", f"<head><script>{WATCH}</script>", 1).replace("</body>", script))
    flags = [
        "--headless",
        "--hide-scrollbars",
        "--no-sandbox",
        "--disable-gpu",
        f"--window-size={width},900",
        "--virtual-time-budget=2000",
    ]
    command = [BROWSER, *flags, f"--user-data-dir={tmp_path}/profile", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seen = json.loads(unescape(re.search("RESULT(.*)END", done.stdout, re.DOTALL)[1]).replace("\xa0", " "))

    assert seen["problems"] == []
    assert seen["title"] == "Test report: mine"
    assert (seen["width"], seen["overflow"]) == (width, 0)  # nothing is wider than the window
    assert seen["hidden"] == 0 or width < 1000  # long names do not push the figures out of sight
    assert len(seen["heights"]) == 2 + 1 + html.count("<img")
    assert min(seen["heights"][:3]) > 100
    assert seen["colours"] > 20
    assert seen["ascending"] == [["0.0", "50.0", "66.7", "100.0", "100.0", "\N{EN DASH}"], "ascending"]
    assert seen["descending"] == [["100.0", "100.0", "66.7", "50.0", "0.0", "\N{EN DASH}"], "descending"]
    assert set(NAMES[:5]) <= set(seen["names"][0])
    assert seen["unsorted"] is None
    assert seen["search"] == [1, "1 of 6 classes"]
    assert seen["moved"] == [f"\u201c{NAMES[1]}\u201d taken for \u201c{NAMES[2]}\u201d: A 1, B 2, Σ 2 of 3 videos", 6]
    assert seen["zoomed"] == [f"\u201c{NAMES[0]}\u201d taken for \u201c{NAMES[2]}\u201d: A 0, B 0, Σ 0 of 2 videos", 5]
    assert seen["hovered"] == [f"\u201c{NAMES[3]}\u201d taken for \u201c{NAMES[4]}\u201d: A 1, B 0, Σ 1 of 2 videos", 6]
    assert seen["shown"] == [seen["moved"][0], "matrix"]
