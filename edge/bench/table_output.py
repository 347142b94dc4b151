"""Output of tables: with rich if it is installed, else as plain columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

_PAPER = 150  # columns if the width of the terminal is unknown
NO_RICH = "plain tables, since rich is not installed: pip install 'mfsa-edge[cpu]'"


@dataclass(frozen=True, slots=True)
class Table:
    """Table of text cells; columns of numbers are right-aligned."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def print_tables(tables: Sequence[Table]) -> str | None:
    """Print with rich; return plain text if rich is not installed."""
    try:
        from rich.console import Console
        from rich.table import Table as RichTable
    except ImportError:
        return "\n\n".join(format_plain(table) for table in tables)
    console = Console(width=None if sys.stdout.isatty() else _PAPER)
    for table in tables:
        shown = RichTable(
            title=table.title,
            title_justify="left",
            show_header=any(table.head),
            box=None,
            padding=(0, 2, 0, 0),
        )
        for number, name in enumerate(table.head):
            right = number > 0 and _numbers(table, number)
            shown.add_column(
                name, justify="right" if right else "left", overflow="fold", no_wrap=right
            )
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown, markup=False)
        console.print()
    return None


def format_plain(table: Table) -> str:
    """Return columns padded with spaces."""
    rows = [table.head, *table.rows] if any(table.head) else list(table.rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    right = [i > 0 and _numbers(table, i) for i in range(len(table.head))]
    lines = [
        "  ".join(
            cell.rjust(w) if r else cell.ljust(w)
            for cell, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([table.title, *lines])


def _numbers(table: Table, column: int) -> bool:
    """Return True if all cells of a column are numbers or empty."""
    cells = [row[column] for row in table.rows]
    return all(
        cell in ("", "-") or cell.rstrip("%").replace(".", "", 1).lstrip("+-").isdigit()
        for cell in cells
    )
