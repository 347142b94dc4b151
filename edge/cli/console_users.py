"""`edge-console first-login`, `user` and `certificate`: for root on the terminal."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from typing import Any

from edge.cli import common
from edge.config import TerminalConfig, load_config
from edge.console.accounts.database import AccountDatabase
from edge.console.accounts.first_login import FIRST_LOGIN_S, INVITATION_S, OneTimeCodes
from edge.console.accounts.users import User, UserStore
from edge.console.audit_log import leave_record
from edge.console.events import ConsoleEvent
from edge.console.roles import Role
from edge.errors import AccountError
from edge.system.accounts import acting_as_owner

_EXAMPLE = "sudo edge-console user add ada --role operator --config /etc/mfsa-edge/terminal.yaml"
_HEAD = f"{'name':24} {'role':14} {'state':9} {'app':4} latest login (UTC)"


def add_commands(commands: Any) -> None:
    """Add the subcommands."""
    first = commands.add_parser("first-login", help="print the one-time code of an administrator")
    first.add_argument("--name", default="admin", help="user name (default %(default)s)")
    common.add_config(first)
    first.set_defaults(action=_first_login)
    user = commands.add_parser(
        "user", help="list, add and change users", epilog=f"example: {_EXAMPLE}"
    )
    parts = user.add_subparsers(
        dest="change", required=True, metavar="list|add|role|disable|enable|reset"
    )
    for name, action, text in (
        ("list", _list, "list all users"),
        ("add", _add, "add a user, print the one-time code"),
        ("role", _change_role, "give a user another role"),
        ("disable", _disable, "disable a user and end the sessions"),
        ("enable", _enable, "enable a user again"),
        ("reset", _reset, "remove password and authenticator, print a one-time code"),
    ):
        part = parts.add_parser(name, help=text)
        common.add_config(part)
        part.set_defaults(action=action)
        if name != "list":
            part.add_argument("name", metavar="NAME", help="user name")
        if name in ("add", "role"):
            part.add_argument(
                "--role", choices=[role.value for role in Role], required=True, help="role"
            )


class _Change:
    """Change of the users by a command; its record is written by the console."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database
        self.users, self._codes = UserStore(database), OneTimeCodes(database)

    def record(self, event: ConsoleEvent, user: User, **fields: Any) -> None:
        operator = common.calling_account()
        leave_record(self._database, event, operator, target=user.name, **fields)

    def issue_code(self, user: User, lifetime_s: float) -> None:
        code = self._codes.issue(user, time.time(), lifetime_s)
        hours = lifetime_s / 3600
        valid = f"{hours:.0f} h" if hours >= 1 else f"{lifetime_s / 60:.0f} min"
        print(f"one-time code of {user.name}, valid {valid}: {code}")
        print("enter it on the page /first-login of the console")


@contextmanager
def _opened(config: TerminalConfig) -> Iterator[_Change]:
    """Open the users in one transaction, with the rights of the console's account."""
    folder = config.console_folder
    with (
        acting_as_owner(folder),
        closing(AccountDatabase(folder)) as database,
        database.transaction(),
    ):
        yield _Change(database)


def _first_login(args: argparse.Namespace) -> int:
    with _opened(load_config(args.config)) as change:
        if change.users.has_administrator():
            raise AccountError(
                "there is an administrator already; for a forgotten password: "
                "edge-console user reset NAME"
            )
        user = change.users.find(args.name)
        if user is None:
            user = change.users.add(args.name, Role.ADMINISTRATOR)
        elif user.role != Role.ADMINISTRATOR or user.is_disabled:
            raise AccountError(f"user {user.name}: exists already; choose another --name")
        change.record(ConsoleEvent.USER_ADDED, user, role=user.role)
        change.issue_code(user, FIRST_LOGIN_S)
    return common.DONE


def _list(args: argparse.Namespace) -> int:
    with _opened(load_config(args.config)) as change:
        users = change.users.list_all()
    print(_HEAD)
    for user in users:
        login = "-"
        if user.login_at is not None:
            login = f"{datetime.fromtimestamp(user.login_at, timezone.utc):%Y-%m-%d %H:%M:%S}"
        app = "yes" if user.totp else "-"
        print(f"{user.name:24} {user.role:14} {user.state:9} {app:4} {login}")
    return common.DONE


def _add(args: argparse.Namespace) -> int:
    with _opened(load_config(args.config)) as change:
        user = change.users.add(args.name, Role(args.role))
        change.record(ConsoleEvent.USER_ADDED, user, role=user.role)
        change.issue_code(user, INVITATION_S)
    return common.DONE


def _change_role(args: argparse.Namespace) -> int:
    def change_role(change: _Change, user: User) -> None:
        change.users.update_role(user, Role(args.role))
        change.record(ConsoleEvent.ROLE_CHANGED, user, role=args.role)

    return _change_user(args, change_role)


def _disable(args: argparse.Namespace) -> int:
    def disable(change: _Change, user: User) -> None:
        change.users.update_disabled(user, True)
        change.record(ConsoleEvent.USER_DISABLED, user)

    return _change_user(args, disable)


def _enable(args: argparse.Namespace) -> int:
    def enable(change: _Change, user: User) -> None:
        change.users.update_disabled(user, False)
        change.record(ConsoleEvent.USER_ENABLED, user)

    return _change_user(args, enable)


def _reset(args: argparse.Namespace) -> int:
    def reset(change: _Change, user: User) -> None:
        change.users.update_password(user, None)
        change.users.update_totp(user, None)
        change.record(ConsoleEvent.PASSWORD_RESET, user)
        change.issue_code(user, INVITATION_S)

    return _change_user(args, reset)


def _change_user(args: argparse.Namespace, action: Callable[[_Change, User], None]) -> int:
    with _opened(load_config(args.config)) as change:
        user = change.users.get(args.name)
        action(change, user)
        print(f"{user.name}: done")
    return common.DONE
