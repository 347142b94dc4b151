"""Parts of the console that all routes share."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from edge.config import TerminalConfig
from edge.console.settings import ConsoleSettings, build_settings


@dataclass(frozen=True, slots=True, eq=False)
class Console:
    """Shared parts; each is closed with `close`."""

    config: TerminalConfig
    settings: ConsoleSettings

    def close(self) -> None:
        """Stop threads and close files."""


def build_console(config: TerminalConfig) -> Console:
    """Open all parts; raises ConfigError."""
    return Console(config, build_settings(config))


def console_of(request: Request) -> Console:
    """Return the shared parts; a FastAPI dependency."""
    found: Console = request.app.state.console
    return found
