"""Links between pages lead to files and headings, and the site's navigation lists every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md")
    for path in ROOT.glob(pattern)
)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def _links(page: str) -> Iterator[tuple[str, str]]:
    """Yield path and anchor of each relative link outside of code."""
    text = _CODE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        target = match.group(1) or match.group(2)
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs form them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_exist(page: str) -> None:
    folder = (ROOT / page).parent
    broken = [path for path, _ in _links(page) if path and not (folder / path).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_link_anchors_exist(page: str) -> None:
    folder = (ROOT / page).parent
    broken = []
    for path, anchor in _links(page):
        target = folder / path if path else ROOT / page
        if anchor and target.suffix == ".md" and anchor not in _anchors(target):
            broken.append(f"{path}#{anchor}")
    assert not broken


_PATH = re.compile(
    r"`((?:benchmarks|calibration|docs|edge|examples|export|systemd|tests|train)/[\w./-]+)`"
)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_paths_named_in_pages_exist(page: str) -> None:
    """Paths with a placeholder such as NAME are left out."""
    named = set(_PATH.findall((ROOT / page).read_text(encoding="utf-8")))
    named = {path for path in named if not re.search(r"[A-Z]{4}", path)}
    assert not [path for path in named if not (ROOT / path).exists()]


def test_pages_of_docs_link_inside_docs() -> None:
    """MkDocs copies nothing else; the pages of the root are added by docs/site_pages.py."""
    docs = ROOT / "docs"
    outside = [
        f"{page}: {path}"
        for page in PAGES
        if page.startswith("docs/")
        for path, _ in _links(page)
        if path and not (ROOT / page).parent.joinpath(path).resolve().is_relative_to(docs)
    ]
    assert not outside


def _entries(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for part in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
        yield from _entries(part)


def test_navigation_lists_every_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = list(_entries(site["nav"]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    of_root = {"index.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples.md"}
    assert sorted(listed) == sorted(pages | of_root)


def test_make_targets_named_in_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        (page, target)
        for page in PAGES
        if page != "CHANGELOG.md"
        for code in _CODE.findall((ROOT / page).read_text(encoding="utf-8"))
        for target in re.findall(r"^`?make ([a-z-]+)", code, re.MULTILINE)
    }
    assert len(named) > 20
    assert not [each for each in named if each[1] not in targets]


def test_modules_of_api_pages_exist() -> None:
    named = [
        module
        for page in ROOT.glob("docs/api/*.md")
        for module in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(named) > 40
    paths = [ROOT / module.replace(".", "/") for module in named]
    assert not [
        path for path in paths if not (path.is_dir() or path.with_name(f"{path.name}.py").is_file())
    ]
