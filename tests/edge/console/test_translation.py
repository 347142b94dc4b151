"""Catalogues of texts: complete, current, and read from files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge.console.translation import LOCALES, choose_language, read_languages
from edge.errors import ConfigError
from tests.locales import extract_texts, missing_texts, render_updated

CATALOGUES = sorted(LOCALES.glob("*.po"))
NOON = datetime(2026, 11, 30, 12, 5, 9, tzinfo=ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_catalogue_has_all_texts(path: Path) -> None:
    assert missing_texts(path) == []
    assert path.read_text() == render_updated(path), "run `python -m tests.locales`"


def test_extraction_finds_marked_texts() -> None:
    assert "Look at the camera" in extract_texts()


def test_missing_translation_is_found(tmp_path: Path) -> None:
    path = tmp_path / "ja.po"
    text = (LOCALES / "ja.po").read_text()
    path.write_text(text.replace('"お待ちください"', '""'))
    assert missing_texts(path) == ["Please wait"]


def test_languages_translate() -> None:
    languages = read_languages()
    assert languages["ja"].gettext("Please wait") == "お待ちください"
    assert languages["en"].gettext("Please wait") == "Please wait"
    assert [languages[code].name for code in ("en", "ja")] == ["English", "日本語"]


def test_numbers_and_times_by_language() -> None:
    english, japanese = read_languages()["en"], read_languages()["ja"]
    assert english.number(12345.5) == "12,345.5"
    assert english.percent(0.25) == "25%"
    assert english.date(NOON) == "Nov 30, 2026"
    assert japanese.date(NOON) == "2026/11/30"
    assert japanese.time(NOON) == "12:05:09"
    assert japanese.moment(NOON) == "2026/11/30 12:05:09"
    assert english.duration(300) == "5 minutes"


def test_plural_forms(tmp_path: Path) -> None:
    (tmp_path / "de.po").write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
        'msgid "%(num)s door"\nmsgid_plural "%(num)s doors"\n'
        'msgstr[0] "%(num)s Tür"\nmsgstr[1] "%(num)s Türen"\n'
    )
    german = read_languages(tmp_path)["de"]
    assert german.ngettext("%(num)s door", "%(num)s doors", 1) == "1 Tür"
    assert german.ngettext("%(num)s door", "%(num)s doors", 1200) == "1.200 Türen"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("klingon.po", 'msgid ""\nmsgstr ""\n', "no code of a language"), ("de.po", "msgid x", "no")],
)
def test_invalid_catalogue_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=f"{name}: .*{message}"):
        read_languages(tmp_path)


def test_unknown_language_names_the_known() -> None:
    with pytest.raises(ConfigError, match="expected one of en, ja, found fr"):
        choose_language(read_languages(), "fr")
