"""The pages that users read: their links, paths, options and version match the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_OURS = {"tests", ".venv", ".venv-oldest"}
SOURCES = [path for path in ROOT.rglob("*.py") if not NOT_OURS & set(path.relative_to(ROOT).parts)]
CODE = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
OTHER_PROGRAMS = {
    "--help",
    "--nproc_per_node",
    "--logdir",
    "--ipc",
    "--shm-size",
    "--max-restarts",
    "--shutdown-timeout",
    "--local-addr",
}
OTHER_PROGRAMS |= {"--signals-to-handle", "--nodes", "--gpus-per-node", "--time", "--resolution"}
ABSENT = {"--dense_sample"}  # of the official code; docs/differences.md says why it is not here
ROUTE = [
    *("train.py", "ops/training/engine.py", "ops/training/fit.py", "ops/optimiser.py", "ops/schedule.py"),
    *("ops/hourglass.py", "ops/h2cn.py", "ops/shift.py", "ops/blocks.py", "ops/resnet.py", "ops/network.py"),
    *("ops/models.py", "datasets/sampling.py", "datasets/transforms.py", "datasets/plans.py"),
    "datasets/clip_dataset.py",
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_readme_is_short() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not link.startswith("http") and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_options_exist(page: Path) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text(encoding="utf-8"))) - OTHER_PROGRAMS - ABSENT
    assert sorted(option for option in named if not re.search(rf"{option}(?![\w-])", CODE)) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "extending.md"], ids=page_name)
def test_named_files_exist(page: Path) -> None:
    rooms = "ops|datasets|common|drawing|scripts|references|tests|docs"
    named = re.findall(rf"(?<![\w/])(?:{rooms})/[\w/]*(?:\.\w+)?", page.read_text(encoding="utf-8"))
    assert sorted(path for path in set(named) if not (ROOT / path).exists()) == []


def test_named_tests_exist() -> None:
    """docs/RELIABILITY.md gives files and the first words of names."""
    tests = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"`(test_\w+)::(\w+)`", read("docs/RELIABILITY.md"))
    assert len(named) > 50
    assert [name for name in named if not re.search(rf"def test_{name[1]}", tests.get(name[0], ""))] == []


def test_docs_index_lists_every_page() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([\w.]+)\)", read("docs/README.md")))


def test_code_index_names_every_folder() -> None:
    folders = {path.parent.relative_to(ROOT).name for path in SOURCES} - {""}
    assert folders <= set(re.findall(r"(\w+)/`", read("CONTRIBUTING.md")))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_route_is_in_order(page: str) -> None:
    positions = [read(page).index(f"`{path}`") for path in ROUTE[1:]]
    assert positions == sorted(positions)
    assert f"`{ROUTE[0]}`" in read(page)


def test_one_version() -> None:
    version = re.search(r'^version = "(.+)"$', read("pyproject.toml"), re.MULTILINE)[1]
    assert re.search(r'^version: "(.+)"$', read("CITATION.cff"), re.MULTILINE)[1] == version
    assert re.search(r"^## (\S+)$", read("CHANGELOG.md"), re.MULTILINE)[1] == version
