"""Real processes of a terminal and its console in a browser: from empty to the audit."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from edge.portraits import COLLINS, load_portrait
from tests.processes import TIMEOUT_S, Process, run, until
from tests.test_demo import free_ports

pytest.importorskip("fastapi", reason="the extra `console` is not installed")
from tests.edge.console.running import open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "correct horse battery"
# Chromium's patience with a machine that is busy.
TIMEOUT_MS = TIMEOUT_S * 1000


@pytest.fixture
def config(tmp_path: Path, bundle_path: Path) -> Iterator[Path]:
    """Terminal without people, whose camera sees a portrait."""
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), load_portrait(COLLINS))
    port, kiosk = free_ports(2)
    # A socket's path may have 107 bytes, and folders of tests are long.
    with tempfile.TemporaryDirectory(prefix="mfsa-tour-") as state:
        path = tmp_path / "terminal.yaml"
        path.write_text(
            f"bundle: {bundle_path}\nstate: {state}\nliveness: {{kind: none}}\n"
            "camera: {kind: replay, path: clip, fps: 8, loop: true}\n"
            f"console: {{listen: '127.0.0.1:{port}', kiosk_port: {kiosk}, language: LANGUAGE}}\n"
            "record: {max_pictures: 50}\n"
        )
        yield path


@pytest.fixture
def page(config: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Page of a browser; relative addresses are those of the console."""
    config.write_text(config.read_text().replace("LANGUAGE", request.param))
    found = re.search(r"127\.0\.0\.1:\d+", config.read_text())
    assert found is not None
    with ExitStack() as running:
        browser = running.enter_context(open_browser())
        for name, *command in (
            ("door", "run"),
            ("daemon",),
            ("people", "serve"),
            ("console", "run"),
        ):
            log = tmp_path / f"{name}.log"
            arguments = (*command, "--config", config)
            running.enter_context(Process(f"edge.cli.{name}", *arguments, log=log))
        log = tmp_path / "console.log"
        until(lambda: "listening at" in log.read_text(), "the console listens")
        address = f"https://{found.group()}"
        context = browser.new_context(base_url=address, ignore_https_errors=True)
        context.set_default_timeout(TIMEOUT_MS)
        yield context.new_page()
        context.close()


def log_in_first(page: Page, config: Path) -> None:
    code = run("edge.cli.console", "first-login", "--config", config).stdout
    found = re.search(r": (\S+-\S+)", code)
    assert found is not None, code
    page.goto("/first-login")
    for text in (found.group(1), PASSWORD, PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("header")


def enroll(page: Page) -> None:
    page.goto("/people/enroll")
    page.locator("[name=name]").fill("Eileen Collins")
    page.locator("[name=frontal_only]").check()
    page.locator("main button.primary").click()
    page.wait_for_selector(".notice.good")
    page.goto("/people")
    page.get_by_role("link", name="Eileen Collins").wait_for()


def open_event(page: Page, code: str) -> None:
    """Open the newest event with a code, once there is one."""
    page.goto("/events")
    page.locator("tr", has=page.locator(f".badge:text-is('{code}')")).first.locator("a").click()
    page.wait_for_selector("dl.facts")


def send_command(page: Page, command: str) -> None:
    page.goto(f"/door/main/{command}")
    page.locator("[name=reason]").fill("tour")
    page.locator("main form button").click()
    page.wait_for_url(re.compile("/door/main(#|[?]|$)"))


@pytest.mark.parametrize("page", ["en", "ja"], indirect=True)
def test_operator_enrolls_locks_and_verifies(page: Page, config: Path, tmp_path: Path) -> None:
    log_in_first(page, config)
    enroll(page)
    open_event(page, "unlocked")
    open_event(page, "grant")
    with page.expect_response("**/picture") as answer:
        page.locator("a.button[href$='/picture']").click()
    assert answer.value.headers["content-type"] == "image/png"
    send_command(page, "lockdown")
    open_event(page, "operator-command")
    assert page.locator("code:text-is('tour')").count()
    page.goto("/events?reason=lockdown&verdict=refused")
    open_event(page, "refused")
    for name in ("decisions", "door", "console"):
        page.goto("/audit")
        page.locator(f"form:has(input[value={name}]) button").click()
        page.wait_for_selector(".notice.good")
        assert page.locator(".notice.bad").count() == 0
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    assert not any("Traceback" in log or PASSWORD in log for log in logs)
