"""Permissions, roles, and the user or token that sends a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.codes import Code

if TYPE_CHECKING:
    from edge.console.accounts.sessions import Session


class Permission(Code):
    """Permission that a route needs. Values are stored with API tokens: never change one."""

    VIEW_LIVE = "view-live", "see the live view of the camera"
    READ_EVENTS = "read-events", "read decisions and door events"
    READ_DOOR = "read-door", "read the state of the door"
    CONTROL_DOOR = "control-door", "unlock, hold, lock down and reset the door"
    READ_HEALTH = "read-health", "read the health of the terminal"
    READ_METRICS = "read-metrics", "read the metrics for a monitoring system"
    READ_PEOPLE = "read-people", "read the list of enrolled people"
    EDIT_PEOPLE = "edit-people", "enroll, change and erase people"
    VIEW_PICTURES = "view-pictures", "see evidence pictures of decisions"
    READ_AUDIT = "read-audit", "read the audit log of the console, verify and export audit logs"
    MANAGE_USERS = "manage-users", "add, change and disable users"
    MANAGE_TOKENS = "manage-tokens", "make and revoke API tokens"


class Role(Code):
    """Role of a user. Values are stored: never change one."""

    VIEWER = "viewer", "sees the live view, events, door and health"
    OPERATOR = "operator", "also controls the door and enrolls people"
    ADMINISTRATOR = "administrator", "also manages users, tokens and audit logs"
    AUDITOR = "auditor", "reads events and audit logs, sees no live view and changes nothing"


_P = Permission
_VIEWER = frozenset({_P.VIEW_LIVE, _P.READ_EVENTS, _P.READ_DOOR, _P.READ_HEALTH})
ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _VIEWER | {_P.CONTROL_DOOR, _P.READ_PEOPLE, _P.EDIT_PEOPLE},
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.AUDITOR: frozenset(
        {_P.READ_EVENTS, _P.READ_DOOR, _P.READ_HEALTH, _P.READ_AUDIT, _P.VIEW_PICTURES}
    ),
}

# A token cannot make users or other tokens.
TOKEN_PERMISSIONS = frozenset(_P) - {_P.MANAGE_USERS, _P.MANAGE_TOKENS}


@dataclass(frozen=True, slots=True)
class Principal:
    """User or API token that sends a request."""

    name: str  # of the user; of a token: `token:` and its name
    permissions: frozenset[Permission]
    session: Session | None = None  # of a user

    @property
    def csrf(self) -> str:
        """Token that the forms of a page send."""
        return self.session.csrf if self.session else ""

    def has(self, permission: Permission) -> bool:
        return permission in self.permissions
