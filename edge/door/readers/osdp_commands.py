"""Commands and events of OSDP as libosdp takes them."""

from __future__ import annotations

from typing import Any

from edge.door.readers.events import CardRead
from edge.door.readers.feedback import ReaderFeedback
from edge.door.readers.osdp_library import Message, load_library

_SHOW = 20  # tenths of a second
_WAIT = 100
_BLINK = 3
_TEMPORARY, _TONE = 2, 2  # control codes


def feedback_commands(feedback: ReaderFeedback) -> list[Message]:
    """Return light and sound; each ends by itself, at the latest after ten seconds."""
    library = load_library()
    if feedback is ReaderFeedback.GRANTED:
        return [_light(library.LED_COLOR_GREEN, _SHOW, blinks=False), _beeps(1)]
    if feedback is ReaderFeedback.REFUSED:
        return [_light(library.LED_COLOR_RED, _SHOW, blinks=True), _beeps(3)]
    return [_light(library.LED_COLOR_AMBER, _WAIT, blinks=True)]


def status_request() -> Message:
    """Return the request for tamper and power state."""
    library = load_library()
    return {"command": library.CMD_STATUS, "type": library.STATUS_REPORT_LOCAL}


def card_event(card: CardRead) -> Message:
    """Return the event of a card; its bits are padded with zeros to full bytes at the end."""
    library = load_library()
    size = -(-card.bits // 8)
    return {
        "event": library.EVENT_CARDREAD,
        "reader_no": 0,
        "format": library.CARD_FMT_RAW_WIEGAND,
        "direction": 0,
        "length": card.bits,
        "data": (card.data << (size * 8 - card.bits)).to_bytes(size, "big"),
    }


def _light(color: int, tenths: int, *, blinks: bool) -> dict[str, Any]:
    library = load_library()
    return {
        "command": library.CMD_LED,
        "reader": 0,
        "led_number": 0,
        "temporary": True,
        "control_code": _TEMPORARY,
        "on_color": color,
        "off_color": library.LED_COLOR_NONE,
        "on_count": _BLINK if blinks else tenths,
        "off_count": _BLINK if blinks else 0,
        "timer_count": tenths,
    }


def _beeps(count: int) -> dict[str, Any]:
    return {
        "command": load_library().CMD_BUZZER,
        "reader": 0,
        "control_code": _TONE,
        "on_count": 2,
        "off_count": 2,
        "rep_count": count,
    }


def accepted_commands() -> frozenset[int]:
    """Return the commands of a panel that the terminal acknowledges as its reader.

    All others are refused: another key, address or speed comes from the configuration only.
    """
    library = load_library()
    return frozenset({library.CMD_LED, library.CMD_BUZZER, library.CMD_TEXT, library.CMD_STATUS})


def color_named(name: str) -> int:
    """Return libosdp's number of a color."""
    return int(getattr(load_library(), f"LED_COLOR_{name.upper()}"))
