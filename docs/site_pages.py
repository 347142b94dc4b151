"""MkDocs hook: add the pages outside of docs/ to the site, with links that fit there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "examples/README.md": "examples.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each page."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = _LINK.sub(lambda link, source=source: _site_link(link, source), text)
        files.append(File.generated(config, target, content=content))
    return files


def _site_link(link: re.Match[str], source: str) -> str:
    """Return a link of the site; a link to a file that is no page becomes its text."""
    mark, text, target = link.groups()
    if re.match(r"[a-z]+:|#", target):
        return link.group()
    path, hash_, anchor = target.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if path in PAGES or path.startswith("docs/"):
        return f"{mark}[{text}]({PAGES.get(path, path.removeprefix('docs/'))}{hash_}{anchor})"
    return f"`{text}`"
