"""`python -m tests.leaks --out docs/measurements/leaks.md`: search for a known template."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from edge.config import TerminalConfig, load_config
from edge.gallery.key import load_key
from edge.gallery.secure_delete import find_remnants
from edge.gallery.store import GalleryStore, open_store
from tests.bundles import EMBEDDING
from tests.leaks.search import found, table
from tests.processes import TIMEOUT_S

MODEL = "m" * 64
NAME = "Wilhelmina Template"
PEOPLE = 50
_HEAD = """# Search for readable templates

Made by `make leaks`: a gallery of {people} people in the product's own store, and a process that
holds it as the recogniser does and then aborts while core dumps are allowed. The search looks for
the bytes of one template as float32, float16 and int8, and for the subject's name as text. In
controls the search must find them.

"""
_TAIL = """

Encrypted rows of that person (record, tag, template, chip) in database, write-ahead log and free
pages: before erasure {before}, after erasure {after}. The file system cannot reach the blocks that
a flash drive has replaced: see [threat-model.md](../threat-model.md).
"""


def terminal(folder: Path) -> tuple[TerminalConfig, Path]:
    """Return a configuration with its state in a folder."""
    path = folder / "terminal.yaml"
    fields = {
        "bundle": "bundle",
        "camera": {"kind": "replay", "path": "clip"},
        "liveness": {"kind": "none"},
    }
    path.write_text(yaml.safe_dump(fields))
    return load_config(path), path


def people(count: int) -> np.ndarray:
    made = np.random.default_rng(7).standard_normal((count, EMBEDDING)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def fill(store: GalleryStore, templates: np.ndarray) -> None:
    for number, template in enumerate(templates):
        store.enroll(
            NAME if number == 0 else f"person {number}",
            template[None],
            chips=[template.tobytes() * 5],
        )


def dump(config_path: Path, folder: Path, guard: str) -> list[Path]:
    """Return the core files of a process that holds the gallery."""
    folder.mkdir()
    arguments = [
        sys.executable,
        "-m",
        "tests.leaks.holder",
        str(config_path),
        MODEL,
        guard,
        str(folder),
    ]
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == str(PEOPLE), done.stderr
    return sorted(folder.iterdir())


@dataclass(frozen=True)
class SearchResult:
    rows: dict[str, dict[str, bool]]  # of the table
    before: bool  # True if encrypted rows of the person were in the files before erasure
    after: bool  # and after it


def search_files(folder: Path) -> SearchResult:
    config, path = terminal(folder)
    templates = people(PEOPLE)
    wanted = templates[0]
    rows: dict[str, dict[str, bool]] = {}
    plain = folder / "plain"
    for kind, content in (
        ("f4", templates.astype("<f4")),
        ("f2", templates.astype("<f2")),
        ("i1", np.rint(templates * 127)),
    ):
        plain.write_bytes(content.astype({"i1": np.int8}.get(kind, content.dtype)).tobytes())
        rows[f"control: unencrypted file of {kind}"] = found([plain], wanted)
    plain.unlink()
    with closing(open_store(config, MODEL, load_key(config.key_path, create=True))) as store:
        fill(store, templates)
        for suffix, name in (
            ("", "database"),
            ("-wal", "write-ahead log"),
            ("-shm", "shared memory of SQLite"),
        ):
            file = Path(f"{store.path}{suffix}")
            rows[f"{name}, {file.stat().st_size >> 10} KiB"] = found([file], wanted)
            assert NAME.encode() not in file.read_bytes(), name
        rows["core dump of a process without the guard (control)"] = found(
            dump(path, folder / "control", "bare"), wanted
        )
        left = dump(path, folder / "guarded", "guarded")
        rows[f"core dump of the product: {len(left)} files"] = found(left, wanted)
        sealed = sealed_rows(store, NAME)
        before = find_remnants(store.path, sealed)
        store.remove(NAME)
        rows["all files after erasure"] = found(config.state.iterdir(), wanted)
        after = find_remnants(store.path, sealed)
    return SearchResult(rows, before, after)


def sealed_rows(store: GalleryStore, name: str) -> list[bytes]:
    """Return the encrypted rows of a person in the files."""
    subject, _, record = store.find_row(name) or (0, 0, b"")
    rows = store.db.execute(
        "SELECT t.sealed, c.sealed FROM templates t JOIN chips c ON c.template = t.id "
        "WHERE t.subject = ?",
        (subject,),
    )
    return [record, store.cipher.name_tag(name), *(blob for row in rows for blob in row)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the Markdown file to write"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = search_files(Path(folder))
    tail = _TAIL.format(
        before="found" if result.before else "none", after="found" if result.after else "none"
    )
    args.out.write_text(_HEAD.format(people=PEOPLE) + table(result.rows) + tail)
    print(args.out.read_text())


if __name__ == "__main__":
    main()
