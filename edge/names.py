"""Normalisation and checks of names of people and groups. Standard library only."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from edge.errors import ConfigError, GalleryError

NAME_MAX = 128
_SEPARATORS = ",;"  # of lists of groups
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_JOINERS = frozenset({_ZWNJ, _ZWJ})
_VIRAMA = 9  # canonical combining class
# Printable by their category, but invisible: two names with and without one would look alike.
_INVISIBLE = frozenset(
    map(chr, [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164])
) | frozenset(map(chr, range(0xFE00, 0xFE10)))
_VARIANTS = frozenset(map(chr, range(0xE0100, 0xE01F0)))  # glyphs of one ideograph
# Scripts whose ordinary letters have a compatibility decomposition.
_ORDINARY = ("THAI", "LAO", "TIBETAN")
_LOOK_DIFFERENT = ("<super>", "<sub>")


def normalize_name(text: str) -> str:
    """Return the normalised form of a name: NFC, single spaces, no space at either end.

    Upper and lower case stay distinct, and so do letters that only look alike. Never raises.
    """
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in text)
    return unicodedata.normalize("NFC", " ".join(part for part in spaced.split(" ") if part))


def name_key(text: str) -> str:
    """Return the key of a name: its normalised form without joiners and glyph variants.

    These stay in the displayed name, but two names never differ by them alone.
    """
    kept = "".join(c for c in text if c not in _JOINERS and c not in _VARIANTS)
    return normalize_name(kept)


def is_printable(text: str) -> bool:
    """Return True for text without control characters; joiners between letters are allowed."""
    return "".join(c for c in text if c not in _JOINERS).isprintable()


def check_name(text: str, what: str = "a subject name") -> None:
    """Raise GalleryError for a name that is not valid for a new subject; it names the character."""
    name = normalize_name(text)
    if not name or len(name) > NAME_MAX:
        raise GalleryError(
            f"expected {what} of 1 to {NAME_MAX} printable characters, found {text[:40]!r}"
        )
    for place, c in enumerate(name):
        if flaw := _flaw(name, place):
            described = f"U+{ord(c):04X} ({unicodedata.name(c, 'unnamed').lower()})"
            raise GalleryError(
                f"expected {what} of printable characters, found {text[:40]!r}: {described} {flaw}"
            )


def is_name(text: str) -> bool:
    """Return True for a valid name of a subject, also of an earlier version."""
    return bool(normalize_name(text)) and len(text) <= NAME_MAX and is_printable(text)


def parse_group(text: str) -> str:
    """Return the normalised form of a group's name; raises ConfigError."""
    try:
        check_name(text, "a group name")
    except GalleryError as error:
        raise ConfigError(str(error)) from error
    if found := next((c for c in text if c in _SEPARATORS), None):
        raise ConfigError(
            f"expected a group name without {found!r}, found {text!r}; "
            "several groups are separated by commas: staff,night"
        )
    return normalize_name(text)


def parse_groups(text: str) -> tuple[str, ...]:
    """Return the groups of a comma-separated list, each once; raises ConfigError."""
    return tuple(dict.fromkeys(map(parse_group, text.split(",")))) if text.strip() else ()


def check_spellings(source: object, names: Iterable[str]) -> None:
    """Raise ConfigError if two names of a source are one name in two spellings."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name_key(name), name)) != name:
            raise ConfigError(
                f"{source}: {other!a} and {name!a} are one name in two spellings; "
                "move all files into one of the two folders"
            )


def unused_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """Return a name, followed by the first free number if it is taken."""
    fresh, number = name, 1
    while is_taken(fresh):
        number += 1
        fresh = f"{name} ({number})"
    return fresh


def _flaw(name: str, place: int) -> str:
    """Return the flaw of one character; empty if it has none."""
    c = name[place]
    if c in _JOINERS:
        return "" if _joins(name, place) else "joins no letters here; remove it"
    if c in _VARIANTS:
        return "" if place and name[place - 1].isalpha() else "follows no letter; remove it"
    if c in _INVISIBLE or not c.isprintable():
        return "is invisible or changes how text is shown; remove it"
    plain = unicodedata.normalize("NFKC", c)
    tag = unicodedata.decomposition(c).partition(" ")[0]
    is_ordinary = unicodedata.name(c, "").startswith(_ORDINARY) or tag in _LOOK_DIFFERENT
    if plain != c and not is_ordinary and not plain.startswith(" "):
        return f"looks like {plain!r}; write that"
    return ""


def _joins(name: str, place: int) -> bool:
    """Return True if a joiner changes how letters are shown (after RFC 5892, appendix A)."""
    before = name[:place]
    if before and unicodedata.combining(before[-1]) == _VIRAMA:
        return True
    letters = [c for c in before if unicodedata.category(c) != "Mn"]
    after = name[place + 1 : place + 2]
    return (
        name[place] == _ZWNJ
        and bool(letters)
        and unicodedata.bidirectional(letters[-1]) == "AL"
        and unicodedata.bidirectional(after or " ") == "AL"
    )
