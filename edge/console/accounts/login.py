"""Logins by password or one-time code, and the lockout after failures."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable

from edge.access.lockout import Lockout, LockoutRule
from edge.console.accounts.first_login import OneTimeCodes
from edge.console.accounts.passwords import PasswordHasher, check_password
from edge.console.accounts.sessions import Session, SessionStore
from edge.console.accounts.totp import matching_step
from edge.console.accounts.users import User, UserStore
from edge.console.audit_log import ConsoleAuditLog
from edge.console.events import ConsoleEvent
from edge.errors import AccountError

ACCOUNT_RULE = LockoutRule(failures=5, window_s=900, lock_s=60, lock_max_s=900)
ADDRESS_RULE = LockoutRule(failures=20, window_s=900, lock_s=60, lock_max_s=3600)
_NAME_MAX = 64
_WRONG = "name, password or code is wrong"
_WRONG_CODE = "the one-time code is wrong, used or expired"
_IPV6_NETWORK = 64  # bits that one customer of a provider has


class LoginRefusedError(AccountError):
    """A login was refused; `retry_s` is set while the account or address is locked."""

    def __init__(self, message: str, retry_s: float) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class LoginService:
    """Starts sessions. Every attempt is recorded or counted; methods may wait for a hash."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        codes: OneTimeCodes,
        passwords: PasswordHasher,
        audit: ConsoleAuditLog,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._users, self._sessions, self._codes = users, sessions, codes
        self._passwords, self._audit = passwords, audit
        self._wall, self._clock = wall, clock
        self._lock = threading.Lock()
        self.accounts, self.addresses = Lockout(ACCOUNT_RULE), Lockout(ADDRESS_RULE)

    def login(self, name: str, password: str, code: str, address: str) -> Session:
        """Return a new session; raises LoginRefusedError, or RecordError without a record."""
        account, network = name[:_NAME_MAX].lower(), client_network(address)
        self._check_locked(account, network)
        user = self._users.find(name)
        stored = user.password if user and not user.is_disabled else None
        is_valid = self._passwords.is_valid(stored, password)
        if user is None or not is_valid or not self._is_second_factor_valid(user, code):
            self._note_failure(account, network, user)
            raise LoginRefusedError(_WRONG, 0.0)
        session = self._start(user, account, address, ConsoleEvent.LOGIN)
        self._check_unchanged(user, session)
        return session

    def set_password(self, code: str, password: str, address: str) -> Session:
        """Set the password of the user of a one-time code; return a new session.

        Raises LoginRefusedError for an invalid code, AccountError for an unsuitable password.
        """
        network = client_network(address)
        self._check_locked("", network)
        number = self._codes.find(code, self._wall())
        user = self._users.by_id(number) if number is not None else None
        if user is None or user.is_disabled:
            self._note_failure("", network, None)
            raise LoginRefusedError(_WRONG_CODE, 0.0)
        check_password(password, user.name)
        hashed = self._passwords.hash(password)
        if self._codes.redeem(code, self._wall()) is None:  # used meanwhile
            raise LoginRefusedError(_WRONG_CODE, 0.0)
        self._audit.append(ConsoleEvent.PASSWORD_SET, user.name, address=address)
        self._users.update_password(user, hashed)
        return self._start(user, user.name.lower(), address, ConsoleEvent.LOGIN)

    def change_password(self, user: User, old: str, new: str, address: str) -> Session:
        """Replace a user's password; all sessions end, a new one is returned."""
        account, network = user.name.lower(), client_network(address)
        self._check_locked(account, network)
        if not self._passwords.is_valid(user.password, old):
            self._note_failure(account, network, user)
            raise LoginRefusedError("the current password is wrong", 0.0)
        check_password(new, user.name)
        hashed = self._passwords.hash(new)
        self._audit.append(ConsoleEvent.PASSWORD_SET, user.name, address=address)
        self._users.update_password(user, hashed)
        return self._sessions.start(user, address, self._wall())

    def _start(self, user: User, account: str, address: str, event: ConsoleEvent) -> Session:
        with self._lock:
            self.accounts.note_success(account)
        self._audit.append(event, user.name, address=address)
        now = self._wall()
        self._users.note_login(user, now)
        return self._sessions.start(user, address, now)

    def _check_unchanged(self, user: User, session: Session) -> None:
        """End a session whose password or authenticator was replaced while it was checked."""
        present = self._users.by_id(user.id)
        if present is None or (present.password, present.totp) != (user.password, user.totp):
            self._sessions.end(session.token)
            raise LoginRefusedError(_WRONG, 0.0)

    def _is_second_factor_valid(self, user: User, code: str) -> bool:
        if user.totp is None:
            return True
        step = matching_step(user.totp, code, self._wall())
        return step is not None and self._users.use_totp_step(user, step)

    def _check_locked(self, account: str, network: str) -> None:
        now = self._clock()
        with self._lock:
            locked_s = self.addresses.locked_s(network, now)
            if account:
                locked_s = max(locked_s, self.accounts.locked_s(account, now))
        if locked_s > 0:
            raise LoginRefusedError(
                f"too many failed logins; try again in {int(locked_s // 60) + 1} min", locked_s
            )

    def _note_failure(self, account: str, network: str, user: User | None) -> None:
        """Count a failure. A name is recorded only if it is a user's: it may be a password."""
        now, name = self._clock(), user.name if user else ""
        with self._lock:
            is_locked = self.addresses.note_failure(network, now)
            if account:
                is_locked = self.accounts.note_failure(account, now) or is_locked
        if is_locked:
            self._audit.append(ConsoleEvent.LOCKED_OUT, name, address=network)
        else:
            self._audit.append_refusal(ConsoleEvent.LOGIN_FAILED, name, address=network)


def client_network(address: str) -> str:
    """Return the address that failures are counted for: an IPv4 address or an IPv6 network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))
    return str(found)
