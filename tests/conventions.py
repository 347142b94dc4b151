"""Counts of the project's conventions.

`python -m tests.conventions [--list ROW]`, or `make counts`.

A count may not exceed its limit. Limits may only go down.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edge", "train", "export", "calibration")
PRODUCT = (*PACKAGES, "systemd", "benchmarks", "examples", "packaging")
CODE = (*PACKAGES, "benchmarks", "examples", "tests")
TEXT = {".py", ".yaml", ".yml", ".sh", ".html", ".service", ".socket", ".timer", ".conf", ".rules"}
COLUMNS = 100
FUNCTION_LINES = 50
QUOTES = {"tests/conventions.py", "tests/test_conventions.py"}  # they name the avoided words
POLLS = "tests/processes.py"  # its `until` is the one loop that waits for conditions
# Attributes that start with an underscore and are public all the same.
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}


@dataclass(frozen=True, slots=True)
class Place:
    """Place of an offence: file below the root, line and content."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A convention: its offences, the count at commit bba556d and the count that is allowed."""

    title: str
    find: Callable[[Path], list[Place]]
    before: int
    limit: int

    def count(self, root: Path = ROOT) -> int:
        return len(self.find(root))


def _files(root: Path, folders: tuple[str, ...], suffixes: set[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def _pages(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *_files(root, ("docs", "examples"), {".md"})]


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def _parsed(root: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, tuple[ast.AST, ...]]]:
    """Yield each Python file with all of its syntax nodes."""
    for path in _files(root, folders, {".py"}):
        yield _name(root, path), _nodes(path)


def _lines(root: Path, paths: list[Path]) -> Iterator[tuple[Path, int, str]]:
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield path, number, line


def _prose(root: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield each line of code and documents; the changelog may name what was renamed."""
    files = [
        *_files(root, PRODUCT, TEXT),
        *(each for each in _files(root, ("tests",), TEXT) if _name(root, each) not in QUOTES),
        *_pages(root),
        root / "Makefile",
        root / "pyproject.toml",
    ]
    for path, number, line in _lines(root, files):
        if not (path.name == "CHANGELOG.md" and " -> " in line):
            yield path, number, line


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root))


def _matches(root: Path, pattern: re.Pattern[str]) -> list[Place]:
    return [
        Place(_name(root, path), number, line.strip())
        for path, number, line in _prose(root)
        for _ in pattern.findall(line)
    ]


# Parts of identifiers count too: `is_told`.
_WORDS = re.compile(
    r"(?<![a-z])(?:told|tells?|whoever|anew|mend(?:s|ed|ing)?|beside|lies|spoil(?:s|t|ed)?|whom"
    r"|at hand|(?:is|are|be|was) let in)(?![a-z])",
    re.IGNORECASE,
)
_VERB = r"(?:is|was|has|had|can|may|must|will|would|could|should|does|did|\w+s|\w+ed)"
_SUBJECT = re.compile(rf"\b(?:Nobody|Somebody)\b|\b(?:nobody|somebody) (?:else )?{_VERB}\b")


def avoided_words(root: Path) -> list[Place]:
    return _matches(root, _WORDS)


def indefinite_subjects(root: Path) -> list[Place]:
    return _matches(root, _SUBJECT)


def repeated_classes(root: Path) -> list[Place]:
    """Find each further definition of a class name."""
    found: dict[str, list[Place]] = defaultdict(list)
    for file, nodes in _parsed(root, PACKAGES):
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(Place(file, node.lineno, f"class {node.name}"))
    return [place for places in found.values() for place in places[1:]]


def config_aliases(root: Path) -> list[Place]:
    return [
        Place(file, node.lineno, f"import {alias.name} as {alias.asname}")
        for file, nodes in _parsed(root, CODE)
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname and alias.asname.endswith("Config")
    ]


def long_code_lines(root: Path) -> list[Place]:
    return [
        Place(_name(root, path), number, line.strip()[:60])
        for path, number, line in _lines(root, list(_files(root, CODE, {".py"})))
        if len(line) > COLUMNS and "://" not in line
    ]


def long_prose_lines(root: Path) -> list[Place]:
    """Find long lines of pages outside code blocks and tables."""
    found, fenced = [], False
    for path, number, line in _lines(root, _pages(root)):
        if number == 1:
            fenced = False
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if len(line) > COLUMNS and not (fenced or line.lstrip().startswith("|") or "://" in line):
            found.append(Place(_name(root, path), number, line.strip()[:60]))
    return found


def _functions(nodes: tuple[ast.AST, ...]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _tests(root: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file, nodes in _parsed(root, ("tests",)):
        for node in _functions(nodes):
            if node.name.startswith("test_") and Path(file).name.startswith("test_"):
                yield file, node


def long_test_names(length: int) -> Callable[[Path], list[Place]]:
    def find(root: Path) -> list[Place]:
        return [
            Place(file, node.lineno, node.name)
            for file, node in _tests(root)
            if len(node.name) > length
        ]

    return find


def _called(node: ast.AST) -> str:
    """Return the last name of what a call calls."""
    if not isinstance(node, ast.Call):
        return ""
    target = node.func
    return (
        target.attr
        if isinstance(target, ast.Attribute)
        else target.id
        if isinstance(target, ast.Name)
        else ""
    )


def sleeps(root: Path) -> list[Place]:
    """Find calls of time.sleep in tests, also in programs that they start."""
    found = []
    files = [each for each in _parsed(root, ("tests",)) if each[0] != POLLS]
    for file, nodes in files:
        for node in nodes:
            real = isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
            text = isinstance(node, ast.Constant) and "time.sleep(" in str(node.value)
            if real or (text and "conventions" not in file):
                assert isinstance(node, ast.Call | ast.Constant)
                found.append(Place(file, node.lineno, ast.unparse(node)[:60]))
    return found


def _asserts(node: ast.AST) -> bool:
    return any(
        isinstance(each, ast.Assert) or _called(each) in {"raises", "warns", "fail"}
        for each in ast.walk(node)
    )


def tests_without_assertion(root: Path) -> list[Place]:
    """Find tests that neither assert nor call a function of the tests that does."""
    functions = [node for _, nodes in _parsed(root, ("tests",)) for node in _functions(nodes)]
    asserting = {node.name for node in functions if _asserts(node)}
    calls = {node.name: {_called(each) for each in ast.walk(node)} for node in functions}
    for _ in range(3):
        asserting |= {name for name, called in calls.items() if called & asserting}
    return [
        Place(file, node.lineno, node.name)
        for file, node in _tests(root)
        if not _asserts(node) and not {_called(each) for each in ast.walk(node)} & asserting
    ]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def _defined(nodes: tuple[ast.AST, ...]) -> set[str]:
    """Return the names that a file defines: functions, classes, variables, attributes."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def _reaches(node: ast.AST) -> list[str]:
    """Return the private names of others that a node uses."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return [] if node.value.id in {"self", "cls"} else [node.attr]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.ImportFrom):
        return [alias.name for alias in node.names]
    if _called(node) == "setattr":
        assert isinstance(node, ast.Call)
        names = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
        return [name.rpartition(".")[2] for name in names if isinstance(name, str)]
    return []


def private_reaches(root: Path) -> list[Place]:
    """Find uses of private names that the file does not define."""
    found = []
    for file, nodes in _parsed(root, ("tests",)):
        own = _defined(nodes)
        for node in nodes:
            for name in filter(_is_private, _reaches(node)):
                if name not in own:
                    found.append(Place(file, getattr(node, "lineno", 0), name))
    return found


def long_functions(root: Path) -> list[Place]:
    return [
        Place(file, node.lineno, node.name)
        for file, nodes in _parsed(root, CODE)
        for node in _functions(nodes)
        if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]


ROWS = {
    "words": Row("avoided words in code and documents", avoided_words, 1658, 0),
    "subjects": Row("nobody and somebody as subjects", indefinite_subjects, 133, 0),
    "classes": Row("class names defined again", repeated_classes, 42, 0),
    "aliases": Row("imports as ...Config", config_aliases, 13, 0),
    "code-lines": Row("lines of code over 100 columns", long_code_lines, 4139, 0),
    "prose-lines": Row("lines of prose over 100 columns", long_prose_lines, 523, 0),
    "names-60": Row("test names over 60 characters", long_test_names(60), 88, 0),
    "names-45": Row("test names over 45 characters", long_test_names(45), 425, 0),
    "sleeps": Row("sleeps in tests", sleeps, 21, 0),
    "assertions": Row("tests without an assertion", tests_without_assertion, 2, 0),
    "privates": Row("private names used by tests", private_reaches, 50, 0),
    "functions": Row("functions over 50 lines", long_functions, 4, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts offences against the conventions.")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout to count in")
    parser.add_argument("--list", metavar="ROW", choices=ROWS, help="list the places of one row")
    arguments = parser.parse_args()
    if arguments.list:
        for place in ROWS[arguments.list].find(arguments.root):
            print(f"{place.file}:{place.line}: {place.text}")
        return
    print(f"{'row':12}{'convention':42}{'bba556d':>8}{'now':>6}{'limit':>7}")
    for key, row in ROWS.items():
        print(f"{key:12}{row.title:42}{row.before:8}{row.count(arguments.root):6}{row.limit:7}")


if __name__ == "__main__":
    main()
