"""Stores and services of the accounts, opened together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.config import TerminalConfig
from edge.console.accounts.database import AccountDatabase
from edge.console.accounts.first_login import OneTimeCodes
from edge.console.accounts.login import LoginService
from edge.console.accounts.passwords import PasswordHasher
from edge.console.accounts.sessions import SessionStore
from edge.console.accounts.tokens import TokenStore
from edge.console.accounts.users import UserStore
from edge.console.audit_log import ConsoleAuditLog, open_audit_log
from edge.console.settings import ConsoleSettings


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """Users, sessions and tokens of the console, and its audit log."""

    database: AccountDatabase
    users: UserStore
    sessions: SessionStore
    codes: OneTimeCodes
    tokens: TokenStore
    logins: LoginService
    audit: ConsoleAuditLog
    wall: Callable[[], float]  # Unix seconds

    def write_pending(self) -> None:
        """Write the records that commands have left; raises RecordError."""
        self.audit.write_pending(self.database)

    def close(self) -> None:
        self.audit.close()
        self.database.close()


def open_accounts(
    config: TerminalConfig,
    settings: ConsoleSettings,
    passwords: PasswordHasher,
    wall: Callable[[], float],
    clock: Callable[[], float],
) -> Accounts:
    """Open database and audit log; raises AccountError."""
    database = AccountDatabase(settings.folder)
    users, codes = UserStore(database), OneTimeCodes(database)
    sessions = SessionStore(database, settings.idle_s, settings.session_s)
    audit = open_audit_log(config)
    logins = LoginService(users, sessions, codes, passwords, audit, wall, clock)
    return Accounts(database, users, sessions, codes, TokenStore(database), logins, audit, wall)
