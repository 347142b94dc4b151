"""`python -m tests.reference`: write docs/commands.md and docs/contracts.md."""

from __future__ import annotations

from tests.reference import commands, contracts
from tests.reference.parsers import ROOT, read_commands


def main() -> None:
    found = read_commands()
    for name, text in (("commands", commands.page(found)), ("contracts", contracts.page(found))):
        (ROOT / "docs" / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
