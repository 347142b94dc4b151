"""Routes of the console's application for operators, with the permission that each needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute

from edge.console.api.app import ROUTERS as API_ROUTERS
from edge.console.api.document import PREFIX
from edge.console.app import ROUTERS
from edge.console.permissions import PermissionCheck, current_principal, logged_in_user
from edge.console.roles import ROLE_PERMISSIONS, Permission, Role

ANYONE, ANY_USER, ANY_LOGIN = "public", "any user", "any user or token"


@dataclass(frozen=True, slots=True)
class ConsoleRoute:
    """Method and path, with what it needs: a permission, or one of the three words."""

    method: str
    path: str
    needs: str

    @property
    def example(self) -> str:
        """Path with a value for each parameter."""
        return re.sub(r"\{[^}]+\}", "1", self.path)

    def allows(self, role: Role | None) -> bool:
        """Return True for a user with a role; None: without a login."""
        if role is None:
            return self.needs == ANYONE
        known = {permission.value for permission in Permission}
        return self.needs not in known or Permission(self.needs) in ROLE_PERMISSIONS[role]


def list_routes() -> list[ConsoleRoute]:
    """Return all routes by path and method."""
    return sorted(_routes(), key=lambda route: (route.path, route.method))


def _routes() -> Iterator[ConsoleRoute]:
    yield ConsoleRoute("GET", "/static/{file}", ANYONE)
    routers = [("", router) for router in ROUTERS] + [(PREFIX, router) for router in API_ROUTERS]
    for prefix, router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods:
                    yield ConsoleRoute(method, prefix + route.path, _needs(route.dependant))
            elif isinstance(route, APIWebSocketRoute):
                yield ConsoleRoute("WS", prefix + route.path, _needs(route.dependant))
            else:
                raise AssertionError(f"a route of an unknown kind: {route}")


def _needs(dependant: Dependant) -> str:
    calls = list(_calls(dependant))
    permissions = [each.permission for each in calls if isinstance(each, PermissionCheck)]
    if permissions:
        (permission,) = permissions
        return permission.value
    if logged_in_user in calls:
        return ANY_USER
    return ANY_LOGIN if current_principal in calls else ANYONE


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    yield dependant.call
    for part in dependant.dependencies:
        yield from _calls(part)
