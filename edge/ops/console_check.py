"""Checks of the console: first login and certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from edge.config import TerminalConfig
from edge.console.accounts import database
from edge.console.accounts.users import UserStore
from edge.console.settings import build_settings
from edge.console.tls import RENEW_BEFORE, certificate_files, fingerprint, remaining, utc_now
from edge.ops.check_result import ERROR, OK, WARNING, CheckResult
from edge.system.accounts import acting_as_owner
from edge.system.text import format_count

_FIRST_LOGIN = "no administrator yet; as root: edge-console first-login --config FILE"


def check_console(config: TerminalConfig) -> Iterator[CheckResult]:
    """Yield the results, none if the console was never started or installed."""
    settings = build_settings(config)
    folder = settings.folder
    if not folder.exists():
        return
    with acting_as_owner(folder):
        yield _check_users(config)
        files = certificate_files(settings)
        if files.is_own and not files.certificate.exists():
            return  # made at the first start
        certificate = files.read()
        left = remaining(certificate, utc_now())
    words = f"certificate until {certificate.not_valid_after_utc:%Y-%m-%d}"
    if left.total_seconds() < 0:
        yield CheckResult(ERROR, "console", f"{words}: expired; {_renewal(files.is_own)}")
    elif left < RENEW_BEFORE:
        yield CheckResult(WARNING, "console", f"{words}; {_renewal(files.is_own)}")
    else:
        yield CheckResult(OK, "console", f"{words}, SHA-256 {fingerprint(certificate)}")


def _check_users(config: TerminalConfig) -> CheckResult:
    folder = config.console_folder
    if not (folder / database.NAME).exists():
        return CheckResult(WARNING, "console", _FIRST_LOGIN)
    with closing(database.AccountDatabase(folder)) as opened:
        users = UserStore(opened)
        if not users.has_administrator():
            return CheckResult(WARNING, "console", _FIRST_LOGIN)
        return CheckResult(OK, "console", format_count(len(users.list_all()), "user"))


def _renewal(is_own: bool) -> str:
    if is_own:
        return "restart edge-console: it makes a new one"
    return "replace the files of `console.certificate`, then restart edge-console"
