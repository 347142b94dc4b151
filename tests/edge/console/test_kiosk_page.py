"""Page of the terminal's screen in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge.console.context import Console
from edge.console.kiosk.texts import kiosk_messages
from edge.console.kiosk_app import create_kiosk_app
from edge.console.translation import read_languages
from tests.edge.console.running import find_barriers, open_browser, serve_app
from tests.live_recogniser import LiveRecogniser, live_recogniser, make_answer, make_face, make_view
from tests.processes import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = [(320, 568), (568, 320), (768, 1024), (1920, 1080)]
JPEG = cv2.imencode(".jpg", np.full((480, 640, 3), 60, np.uint8))[1].tobytes()
TIMEOUT_MS = 60_000
# Elements whose content is cut off.
CUT_OFF = """() => ['camera', 'message', 'text', 'title', 'lock', 'controls', 'clock']
    .map((id) => document.getElementById(id)).concat([document.documentElement])
    .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
    .filter((e) => getComputedStyle(e).display !== 'inline')
    .map((e) => `${e.id || 'page'}: ${e.textContent.trim()}`)"""


def make_views() -> dict[str, dict[str, Any]]:
    """Return a view for each state of the screen."""
    face = make_face(reason="too-small")
    until = make_answer("")["at"] + 600.0
    answers = {
        "waiting": make_answer("waiting", missing=["card", "pin"], until=until),
        "granted": make_answer("unlocked"),
        "refused": make_answer("refused", reason="not-in-group"),
    }
    return {
        "idle": make_view(),
        "guide": make_view(face),
        **{state: make_view(face, door=answer) for state, answer in answers.items()},
        "camera-lost": make_view(camera="lost"),
        "enrollment": make_view(camera="enrollment"),
    }


class Kiosk:
    """Kiosk in a browser, with a recogniser and a server that tests control."""

    def __init__(self, browser: Browser, console: Console, parts: ExitStack) -> None:
        config = console.config
        config.recogniser_folder.mkdir(parents=True, exist_ok=True)
        self._console = console
        self.server = ExitStack()
        parts.callback(self.server.close)
        self.recogniser: LiveRecogniser = parts.enter_context(
            live_recogniser(config.live_socket_path)
        )
        self.recogniser.show(make_view(), JPEG)
        self.address = ""
        self.start_server()
        context = browser.new_context(reduced_motion="reduce", locale="en")
        parts.callback(context.close)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def start_server(self) -> None:
        port = int(self.address.rpartition(":")[2] or 0)
        app = create_kiosk_app(self._console)
        self.address = self.server.enter_context(serve_app(app, port))

    def open(self, width: int = 768, height: int = 1024) -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.goto(f"{self.address}/kiosk")
        self.wait("idle")

    def show(self, state: str) -> None:
        self.recogniser.show(make_views()[state], JPEG)
        self.wait(state)

    def wait(self, state: str) -> None:
        self.page.locator(f'html[data-state="{state}"]').wait_for()

    def wait_text(self, text: str) -> None:
        self.page.get_by_role("status").get_by_text(text, exact=True).wait_for()

    def wait_tones(self, count: int) -> None:
        until(lambda: self.page.evaluate("window.tones") == count, f"{count} tones were played")

    def choose(self, language: str) -> None:
        self.page.get_by_role("button", name=language).click()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def kiosk(browser: Browser, console: Console) -> Iterator[Kiosk]:
    with ExitStack() as parts:
        made = Kiosk(browser, console, parts)
        yield made
        assert made.errors == []


@pytest.mark.parametrize("language", ["English", "日本語"])
def test_states_have_no_barriers(kiosk: Kiosk, language: str) -> None:
    kiosk.open()
    kiosk.choose(language)
    for state in make_views():
        kiosk.show(state)
        assert find_barriers(kiosk.page) == [], state


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("language", ["English", "日本語"])
def test_states_fit_the_screen(kiosk: Kiosk, language: str, size: tuple[int, int]) -> None:
    kiosk.open(*size)
    kiosk.choose(language)
    for state in make_views():
        kiosk.show(state)
        assert kiosk.page.evaluate(CUT_OFF) == [], state


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("code", ["en", "ja"])
def test_all_texts_fit_the_screen(kiosk: Kiosk, code: str, size: tuple[int, int]) -> None:
    kiosk.open(*size)
    kiosk.choose({"en": "English", "ja": "日本語"}[code])
    kiosk.show("refused")
    language = read_languages()[code]
    for message in sorted(kiosk_messages()):
        script = "(text) => { document.getElementById('text').textContent = text; }"
        kiosk.page.evaluate(script, language.gettext(message))
        assert kiosk.page.evaluate(CUT_OFF) == [], message


def test_instructions_in_both_languages(kiosk: Kiosk) -> None:
    kiosk.open()
    kiosk.show("guide")
    kiosk.wait_text("Come closer")
    kiosk.choose("日本語")
    kiosk.wait_text("もっと近づいてください")
    assert kiosk.page.locator("html").get_attribute("lang") == "ja"


def test_language_returns_when_idle(kiosk: Kiosk) -> None:
    kiosk.page.clock.install()
    kiosk.open()
    kiosk.show("guide")
    kiosk.choose("日本語")
    kiosk.show("idle")
    kiosk.wait_text("カメラの前に立ってください")
    kiosk.page.clock.run_for(31_000)
    kiosk.wait_text("Step in front of the camera")


def test_screen_without_mouse(kiosk: Kiosk) -> None:
    kiosk.open()
    keyboard = kiosk.page.keyboard
    for _ in range(2):
        keyboard.press("Tab")
    assert kiosk.page.locator(":focus-visible").inner_text() == "日本語"
    keyboard.press("Enter")
    kiosk.wait_text("カメラの前に立ってください")
    keyboard.press("Tab")
    keyboard.press("Space")
    assert kiosk.page.locator(":focus").inner_text() == "音: オフ"


def test_box_is_drawn_on_the_picture(kiosk: Kiosk) -> None:
    kiosk.open()
    kiosk.show("guide")
    pixel = """([x, y]) => {
        const canvas = document.getElementById('picture');
        return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data];
    }"""
    kiosk.page.locator('#picture[width="640"]').wait_for()
    left, top = round(0.35 * 640), round(0.2 * 480)
    assert min(kiosk.page.evaluate(pixel, [left, top + 5])[:3]) > 200  # on the line
    assert kiosk.page.evaluate(pixel, [left + 60, top + 100])[0] == pytest.approx(60, abs=4)


def test_sounds_can_be_switched_off(kiosk: Kiosk) -> None:
    kiosk.page.add_init_script(
        "window.tones = 0; const Tone = OscillatorNode;"
        "window.OscillatorNode = class extends Tone {"
        " constructor(...given) { super(...given); window.tones += 1; } };"
    )
    kiosk.open()
    tones = 0
    for state in ("waiting", "refused", "granted"):
        kiosk.show(state)
        tones += 2
        kiosk.wait_tones(tones)
    kiosk.page.get_by_role("button", name="Sound on").click()
    kiosk.show("refused")
    assert kiosk.page.evaluate("window.tones") == tones
    kiosk.page.reload()
    kiosk.page.get_by_role("button", name="Sound off").wait_for()


def test_lost_console_is_shown(kiosk: Kiosk) -> None:
    kiosk.open()
    kiosk.show("guide")
    kiosk.server.close()
    kiosk.wait("disconnected")
    kiosk.wait_text("Use another entrance or ask the staff")
    assert find_barriers(kiosk.page) == []
    kiosk.start_server()
    kiosk.wait("guide")


def test_lost_recogniser_is_shown(kiosk: Kiosk) -> None:
    kiosk.open()
    kiosk.show("guide")
    kiosk.recogniser.close()
    kiosk.wait("offline")
    with live_recogniser(kiosk.recogniser.path) as again:
        again.show(make_views()["guide"], JPEG)
        kiosk.wait("guide")


def test_page_loads_nothing_from_elsewhere(kiosk: Kiosk) -> None:
    kiosk.open()
    kiosk.show("granted")
    assert [url for url in kiosk.requests if not url.startswith(kiosk.address)] == []
