"""`python -m tests.reference`: write the generated pages and systemd/terminal.yaml."""

from __future__ import annotations

from edge.config import reference
from tests.reference import commands, console_access, contracts
from tests.reference.parsers import ROOT, read_commands


def main() -> None:
    found = read_commands()
    pages = {
        "commands": commands.page(found),
        "contracts": contracts.page(found),
        "console-access": console_access.page(),
    }
    for name, text in pages.items():
        (ROOT / "docs" / f"{name}.md").write_text(text, encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(reference.build_markdown(), encoding="utf-8")
    (ROOT / "systemd" / "terminal.yaml").write_text(reference.build_sample(), encoding="utf-8")


if __name__ == "__main__":
    main()
