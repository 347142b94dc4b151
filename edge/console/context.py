"""Parts of the console that all routes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.requests import HTTPConnection

from edge.config import TerminalConfig
from edge.console.accounts.context import Accounts, open_accounts
from edge.console.accounts.passwords import PasswordHasher
from edge.console.commands import CommandService
from edge.console.door_control import DoorControl
from edge.console.enrollment import EnrollmentRunner
from edge.console.idempotency import IdempotencyStore
from edge.console.kiosk.credentials import RefusedCredentials
from edge.console.live import LiveClient
from edge.console.metrics import Metrics
from edge.console.people_control import PeopleControl
from edge.console.recogniser_status import RecogniserStatus
from edge.console.records.feed import RecordFeed
from edge.console.records.find import find_logs
from edge.console.settings import ConsoleSettings, build_settings
from edge.console.state_metrics import collect_state
from edge.console.translation import Language, choose_language, read_languages
from edge.console.user_view import without_silent


@dataclass(frozen=True, slots=True, eq=False)
class Console:
    """Shared parts; each is closed with `close`."""

    config: TerminalConfig
    settings: ConsoleSettings
    accounts: Accounts
    languages: Mapping[str, Language]
    language: Language
    live: LiveClient
    refused_credentials: RefusedCredentials
    doors: DoorControl
    keys: IdempotencyStore
    commands: CommandService
    people: PeopleControl
    enrollments: EnrollmentRunner
    feed: RecordFeed
    recogniser: RecogniserStatus
    metrics: Metrics

    async def read_door(self) -> Mapping[str, Any] | None:
        """Return the status of the door without silent alarms, None if it does not answer."""
        status = await self.doors.status(self.config.door.name)
        return without_silent(status.fields) or None

    def close(self) -> None:
        """Stop threads and close files."""
        self.feed.close()
        self.doors.close()
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
    metrics, doors = Metrics(), DoorControl(config.door_sockets)
    refused = RefusedCredentials(config.log_name(config.door_record_path), time.monotonic)
    feed = RecordFeed(lambda: find_logs(config), [metrics.observe, refused.observe])
    recogniser = RecogniserStatus(config.live_socket_path)
    metrics.add_collector(lambda: collect_state(feed, doors, recogniser))
    keys = IdempotencyStore(accounts.database)
    people = PeopleControl(config.people_socket_path)
    commands = CommandService(doors, keys)
    feed.start()
    return Console(
        config=config,
        settings=settings,
        accounts=accounts,
        languages=languages,
        language=language,
        live=LiveClient(config.live_socket_path),
        refused_credentials=refused,
        doors=doors,
        keys=keys,
        commands=commands,
        people=people,
        enrollments=EnrollmentRunner(people),
        feed=feed,
        recogniser=recogniser,
        metrics=metrics,
    )


def console_of(connection: HTTPConnection) -> Console:
    """Return the shared parts; a FastAPI dependency."""
    found: Console = connection.app.state.console
    return found
