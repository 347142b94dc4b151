"""Entry points of the commands, which report Ctrl-C during the load of libraries in one line."""

from __future__ import annotations

import importlib
import sys


def run_command(name: str, argv: list[str] | None = None) -> int:
    """Load and run a command; return 1 if it is interrupted before it handles Ctrl-C itself."""
    try:
        return int(importlib.import_module(f"edge.cli.{name}").main(argv))
    except KeyboardInterrupt:
        print(f"edge-{name}: stopped", file=sys.stderr)
        return 1


def setup(argv: list[str] | None = None) -> int:
    return run_command("setup", argv)


def daemon(argv: list[str] | None = None) -> int:
    return run_command("daemon", argv)


def door(argv: list[str] | None = None) -> int:
    return run_command("door", argv)


def enroll(argv: list[str] | None = None) -> int:
    return run_command("enroll", argv)


def gallery(argv: list[str] | None = None) -> int:
    return run_command("gallery", argv)


def audit(argv: list[str] | None = None) -> int:
    return run_command("audit", argv)


def bench(argv: list[str] | None = None) -> int:
    return run_command("bench", argv)


def doctor(argv: list[str] | None = None) -> int:
    return run_command("doctor", argv)


def demo(argv: list[str] | None = None) -> int:
    return run_command("demo", argv)


def rehearse(argv: list[str] | None = None) -> int:
    return run_command("rehearse", argv)


def people(argv: list[str] | None = None) -> int:
    return run_command("people", argv)


def console(argv: list[str] | None = None) -> int:
    return run_command("console", argv)
