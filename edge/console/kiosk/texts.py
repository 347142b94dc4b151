"""Texts of the kiosk's page in all languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.console.kiosk import lock
from edge.console.kiosk.instructions import (
    CARD_OR_PIN,
    DOOR_INSTRUCTIONS,
    ENTER_PIN,
    FACE_INSTRUCTIONS,
    PRESENT_CARD,
    SECOND_PERSON,
    SHOW_FACE,
)
from edge.console.kiosk.screen import SCREENS
from edge.console.translation import Language, mark

CONTROLS = (
    mark("Picture of the camera"),
    mark("Progress"),
    mark("Sound on"),
    mark("Sound off"),
    mark("Language"),
    mark("Please wait"),
    mark("%(seconds)s seconds left"),
)
_WAITS = (CARD_OR_PIN, ENTER_PIN, PRESENT_CARD, SECOND_PERSON, SHOW_FACE)


def kiosk_messages() -> set[str]:
    """Return the English texts that the page can show."""
    codes = [*FACE_INSTRUCTIONS.values(), *DOOR_INSTRUCTIONS.values(), *_WAITS]
    instructions = {found.text for found in codes if found}
    screens = {text for screen in SCREENS for text in (screen.title, screen.text) if text}
    return instructions | screens | {*lock.TEXTS, *CONTROLS}


def kiosk_texts(languages: Mapping[str, Language], default: str) -> dict[str, Any]:
    """Return the texts by language and English text."""
    messages = sorted(kiosk_messages())
    return {
        "default": default,
        "languages": {
            code: {
                "name": language.name,
                "texts": {message: language.gettext(message) for message in messages},
            }
            for code, language in languages.items()
        },
    }
