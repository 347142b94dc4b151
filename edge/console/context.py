"""Parts of the console that all routes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from edge.config import TerminalConfig
from edge.console.live import LiveClient
from edge.console.settings import ConsoleSettings, build_settings
from edge.console.translation import Language, choose_language, read_languages


@dataclass(frozen=True, slots=True, eq=False)
class Console:
    """Shared parts; each is closed with `close`."""

    config: TerminalConfig
    settings: ConsoleSettings
    languages: Mapping[str, Language]
    language: Language
    live: LiveClient

    async def read_door(self) -> Mapping[str, Any] | None:
        """Return the status of the door, None if it does not answer."""
        return None

    def close(self) -> None:
        """Stop threads and close files."""


def build_console(config: TerminalConfig) -> Console:
    """Open all parts; raises ConfigError."""
    languages = read_languages()
    return Console(
        config,
        build_settings(config),
        languages,
        choose_language(languages, config.console.language),
        LiveClient(config.live_socket_path),
    )


def console_of(request: Request) -> Console:
    """Return the shared parts; a FastAPI dependency."""
    found: Console = request.app.state.console
    return found
