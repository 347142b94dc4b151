"""Main function of `edge-console run`."""

from __future__ import annotations

import asyncio

from edge.config import TerminalConfig
from edge.console.accounts.passwords import PasswordHasher
from edge.console.context import build_console
from edge.console.server import serve


def run(config: TerminalConfig) -> None:
    """Run the console until SIGTERM; raises ConfigError."""
    console = build_console(config, PasswordHasher())
    try:
        asyncio.run(serve(console))
    finally:
        console.close()
