"""Pages of operators in Chromium: first login by keyboard, sizes of screens, barriers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from edge.console.accounts.first_login import FIRST_LOGIN_S
from edge.console.app import create_app
from edge.console.context import Console
from edge.console.roles import Role
from edge.console.tls import certificate_files, prepare_certificate, utc_now
from tests.edge.console.conftest import PASSWORD
from tests.edge.console.running import find_barriers, open_browser, serve_app

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = (320, 768, 1920)
PATHS = ("/health", "/users", "/tokens", "/account")


@pytest.fixture
def page(console: Console) -> Iterator[Page]:
    """Page of a browser; relative addresses are those of the console, over TLS."""
    prepare_certificate(console.settings, utc_now())
    tls = certificate_files(console.settings).server_context()
    with serve_app(create_app(console), tls=tls) as address, open_browser() as browser:
        context = browser.new_context(base_url=address, ignore_https_errors=True)
        page = context.new_page()
        yield page
        context.close()


def log_in_first(console: Console, page: Page) -> None:
    """Set the first password by keyboard only."""
    user = console.accounts.users.add("ada", Role.ADMINISTRATOR)
    code = console.accounts.codes.issue(user, console.accounts.wall(), FIRST_LOGIN_S)
    page.goto("/first-login")
    for text in (code, PASSWORD, PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("header")


def check_page(page: Page, width: int) -> None:
    """Check that a page has no barrier, and is not wider than the screen."""
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
    assert find_barriers(page) == [], page.url


def test_pages_have_no_barriers(console: Console, page: Page) -> None:
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.goto("/login")
    check_page(page, 320)
    log_in_first(console, page)
    for path in PATHS:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(path)
            for width in WIDTHS:
                check_page(page, width)
    assert errors == [], "the content security policy blocks nothing"


def test_code_of_new_user_is_shown_once(console: Console, page: Page) -> None:
    log_in_first(console, page)
    page.goto("/users")
    page.fill("main form[action='/users/add'] [name=name]", "bob")
    page.click("form[action='/users/add'] button")
    code = page.text_content("code.code")
    assert code and console.accounts.codes.find(code, console.accounts.wall())
    check_page(page, 320)
    page.goto("/users")
    assert page.query_selector("code.code") is None


def test_logout_in_browser_ends_the_session(console: Console, page: Page) -> None:
    log_in_first(console, page)
    page.click("text=Log out")
    page.wait_for_url("**/login")
    page.goto("/users")
    assert "/login?next=/users" in page.url
