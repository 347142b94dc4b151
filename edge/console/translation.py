"""Texts of the console in several languages: gettext catalogues; numbers and times by Babel."""

from __future__ import annotations

import gettext
import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from babel import Locale, UnknownLocaleError, dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po

from edge.errors import ConfigError

LOCALES = Path(__file__).parent / "locales"


def mark(message: str) -> str:
    """Return the message as it is: marks a text that is translated later."""
    return message


class Language:
    """Texts, numbers and times in one language. The texts in the code are English."""

    def __init__(self, locale: Locale, texts: gettext.NullTranslations) -> None:
        self._locale, self._texts = locale, texts
        self.code = str(locale).replace("_", "-")  # as in the `lang` attribute of HTML

    @property
    def name(self) -> str:
        """Name of the language in the language itself."""
        return self._locale.display_name or self.code

    def gettext(self, message: str, **values: Any) -> str:
        """Return the text of a message, with `%(name)s` replaced by its value."""
        text = self._texts.gettext(message)
        return text % values if values else text

    def ngettext(self, singular: str, plural: str, number: int, **values: Any) -> str:
        """Return the text for a number, which is also the value `%(num)s`."""
        text = self._texts.ngettext(singular, plural, number)
        return text % {"num": self.number(number), **values}

    def number(self, value: float) -> str:
        return numbers.format_decimal(value, locale=self._locale)

    def percent(self, share: float) -> str:
        """Format a share 0..1."""
        return numbers.format_percent(share, locale=self._locale)

    def date(self, moment: datetime) -> str:
        """Format a day, in the time zone of the value."""
        return dates.format_date(moment, "medium", locale=self._locale)

    def time(self, moment: datetime) -> str:
        """Format a time of day, in the time zone of the value."""
        return dates.format_time(moment, "medium", tzinfo=moment.tzinfo, locale=self._locale)

    def moment(self, moment: datetime) -> str:
        """Format day and time of day, in the time zone of the value."""
        return dates.format_datetime(moment, "medium", tzinfo=moment.tzinfo, locale=self._locale)

    def duration(self, seconds: float) -> str:
        """Format a duration in its largest unit: `5 minutes`."""
        return dates.format_timedelta(timedelta(seconds=seconds), locale=self._locale)


def read_languages(folder: Path = LOCALES) -> dict[str, Language]:
    """Read each `CODE.po` of a folder; raises ConfigError."""
    found = (_read_language(path) for path in sorted(folder.glob("*.po")))
    return {language.code: language for language in found}


def _read_language(path: Path) -> Language:
    try:
        locale = Locale.parse(path.stem)
    except (UnknownLocaleError, ValueError) as error:
        raise ConfigError(
            f"{path}: {path.stem} is no code of a language; name the file such as de.po or pt_BR.po"
        ) from error
    compiled = io.BytesIO()
    try:
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=locale, abort_invalid=True))
    except (PoFileError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no catalogue of texts: {error}; correct the file") from error
    compiled.seek(0)
    return Language(locale, gettext.GNUTranslations(compiled))


def choose_language(languages: Mapping[str, Language], code: str) -> Language:
    """Return a language by its code; raises ConfigError with the known codes."""
    found = languages.get(code)
    if found is None:
        known = ", ".join(languages)
        raise ConfigError(
            f"console.language: expected one of {known}, found {code}; choose one, or add "
            f"{LOCALES / code}.po"
        )
    return found
