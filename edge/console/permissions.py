"""FastAPI dependencies that check the permission of a request."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, HTTPException, Request

from edge.console.roles import Permission, Principal


def current_principal(request: Request) -> Principal:
    """Return who sends a request; raises HTTPException 401. A FastAPI dependency."""
    raise HTTPException(401, "log in first")


class PermissionCheck:
    """FastAPI dependency that refuses requests without a permission; returns the principal."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, principal: Principal = Depends(current_principal)) -> Principal:
        if not principal.has(self.permission):
            raise HTTPException(403, f"{principal.name} has no permission {self.permission}")
        return principal


def require(permission: Permission) -> Any:
    """Return the dependency of a route that needs a permission; its value is the Principal."""
    return Depends(PermissionCheck(permission))
