"""Parts of the console that all routes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.requests import HTTPConnection

from edge.config import TerminalConfig
from edge.console.accounts.parts import Accounts, open_accounts
from edge.console.accounts.passwords import PasswordHasher
from edge.console.live import LiveClient
from edge.console.settings import ConsoleSettings, build_settings
from edge.console.translation import Language, choose_language, read_languages


@dataclass(frozen=True, slots=True, eq=False)
class Console:
    """Shared parts; each is closed with `close`."""

    config: TerminalConfig
    settings: ConsoleSettings
    accounts: Accounts
    languages: Mapping[str, Language]
    language: Language
    live: LiveClient

    async def read_door(self) -> Mapping[str, Any] | None:
        """Return the status of the door, None if it does not answer."""
        return None

    def close(self) -> None:
        """Stop threads and close files."""
        self.accounts.close()


def build_console(
    config: TerminalConfig,
    passwords: PasswordHasher,
    wall: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> Console:
    """Open all parts; raises ConfigError, AccountError. `wall` gives Unix seconds."""
    settings = build_settings(config)
    languages = read_languages()
    language = choose_language(languages, config.console.language)
    accounts = open_accounts(config, settings, passwords, wall, clock)
    return Console(
        config, settings, accounts, languages, language, LiveClient(config.live_socket_path)
    )


def console_of(connection: HTTPConnection) -> Console:
    """Return the shared parts; a FastAPI dependency."""
    found: Console = connection.app.state.console
    return found
