"""Applications of the console behind a real port, and a browser that opens them."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from fastapi import FastAPI

from tests.processes import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# axe-core 4.14.1 of the npm registry, axe.min.js unchanged, MPL-2.0; used by tests only.
AXE = Path(__file__).parent / "axe" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


def find_barriers(page: Page) -> list[str]:
    """Return what axe-core finds on a page against WCAG 2.2 A and AA and its best practices."""
    source = AXE.read_bytes()
    assert hashlib.sha256(source).hexdigest() == AXE_SHA256
    page.evaluate(source.decode())
    found = page.evaluate("() => axe.run()")
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@contextmanager
def serve_app(app: FastAPI, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve an application in a thread; yield its address."""
    config = uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1)
    if tls is not None:
        config.ssl_context_factory = lambda *_: tls
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the server accepts requests")
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{bound}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; skip the test if it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: apt install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            yield browser
        finally:
            browser.close()
