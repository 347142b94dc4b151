"""Requests while passwords are hashed."""

from __future__ import annotations

import asyncio
import threading

import httpx2

from edge.config import TerminalConfig
from edge.console.accounts.passwords import PasswordHasher
from edge.console.app import create_app
from edge.console.context import build_console
from tests.edge.console.conftest import BASE


class HeldHasher(PasswordHasher):
    """Hasher that works only after `released` is set."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_kib=64)
        self.started, self.released = threading.Event(), threading.Event()

    def is_valid(self, stored: str | None, password: str) -> bool:
        self.started.set()
        self.released.wait()
        return super().is_valid(stored, password)


def test_pages_answer_while_a_password_is_hashed(console_config: TerminalConfig) -> None:
    hasher = HeldHasher()
    console = build_console(console_config, hasher)

    async def compare() -> tuple[int, bool, int]:
        transport = httpx2.ASGITransport(create_app(console))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
            form = {"name": "ada", "password": "a guess"}
            login = asyncio.create_task(client.post("/login", data=form))
            try:
                await asyncio.to_thread(hasher.started.wait)
                page = await client.get("/login")
                is_waiting = not login.done()
            finally:
                hasher.released.set()
            return page.status_code, is_waiting, (await login).status_code

    try:
        assert asyncio.run(compare()) == (200, True, 403)
    finally:
        console.close()
