"""State of the zones as JSON text with one line for each person: only changed lines cost time."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from edge.access.rules.content import ZoneContent
from edge.access.rules.state import Name, Presence, parse_state

_BATCH = 200  # lines that are parsed at once: the interpreter lock is held meanwhile
_PEOPLE, _ZONE, _END_OF_ZONE, _END = ', "people": {', ": {", "}", "}}"
_ENTRIES = TypeAdapter(dict[Name, Presence])
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class ContentCodec:
    """Encodes and decodes the state of the zones. For one thread at a time."""

    def __init__(self) -> None:
        self._zones: dict[str, _ZoneText] = {}  # of the latest text

    def encode(self, content: ZoneContent) -> bytes:
        """Return the text of a state."""
        zones = {zone: self._zones.get(zone) or _ZoneText() for zone in content.people}
        parts = [_dump(content.head())[:-1] + _PEOPLE]
        for number, (zone, text) in enumerate(zones.items(), 1):
            text.update(content.people[zone], content.counted.get(zone, set()))
            comma = "," if number < len(zones) else ""
            parts += [_dump(zone) + _ZONE, *text.join(), _END_OF_ZONE + comma]
        self._zones = zones
        return "\n".join([*parts, _END]).encode()

    def decode(self, text: bytes) -> ZoneContent:
        """Return the state of a text in any layout. Raises ValueError for invalid content."""
        try:
            return self._decode_lines(text.decode().split("\n"))
        except (ValueError, RecursionError):  # another layout, or invalid
            self._zones = {}
            return ZoneContent.from_state(parse_state(_load(text)))

    def _decode_lines(self, lines: list[str]) -> ZoneContent:
        """Return the state of lines as `encode` writes them. Raises ValueError for others."""
        content = ZoneContent.from_state(parse_state(json.loads(lines[0] + _END)))
        if content.people or lines[-1] != _END:
            raise ValueError("more than the head in the first line, or no end")
        zones, known, at = dict[str, _ZoneText](), self._zones, 1
        while lines[at] != _END:
            zone = _NAME.validate_python(json.loads(lines[at].removesuffix(_ZONE)), strict=True)
            end = _find_end(lines, at)
            zones[zone] = known.get(zone) or _ZoneText()
            zones[zone].decode(lines[at + 1 : end])
            content.people[zone], content.counted[zone] = zones[zone].copy()
            at = end + 1
        self._zones = zones
        return content


class _ZoneText:
    """Lines of one zone with the people they were made of."""

    def __init__(self) -> None:
        self._people: dict[str, Presence] = {}
        self._counted: set[str] = set()
        self._texts: dict[str, str] = {}  # by person, in the order of `_people`
        self._names: dict[str, str] = {}  # by text

    def copy(self) -> tuple[dict[str, Presence], set[str]]:
        """Return people, and those that are counted."""
        return dict(self._people), set(self._counted)

    def join(self) -> list[str]:
        """Return the lines in one text; none without people."""
        return [",\n".join(self._texts.values())] if self._texts else []

    def update(self, people: dict[str, Presence], counted: set[str]) -> None:
        """Take the people of a state."""
        known = self._people.get
        moved = [name for name, presence in people.items() if known(name) is not presence]
        gone = [name for name in self._people if name not in people]
        for name in [*gone, *moved]:
            self._drop(name)
        for name in moved:
            self._set(name, people[name], is_counted=name in counted)
        for name in (self._counted ^ counted) & people.keys():
            self._set(name, people[name], is_counted=name in counted)
        if list(self._people) != list(people):
            self._people = dict(people)
            self._texts = {name: self._texts[name] for name in people}

    def decode(self, lines: list[str]) -> None:
        """Take the people of lines; only new lines are parsed. Raises ValueError."""
        # Loops instead of operations on sets, which would hold the interpreter lock longer.
        lines = [*(line[:-1] for line in lines[:-1]), *lines[-1:]]  # without commas
        unknown = [line for line in lines if line not in self._names]
        newest = set(lines)
        for text in [text for text in self._names if text not in newest]:
            self._drop(self._names[text])
        for first in range(0, len(unknown), _BATCH):
            batch = unknown[first : first + _BATCH]
            value = json.loads("{" + ",\n".join(batch) + "}")
            found = _ENTRIES.validate_python(value, strict=True)
            if len(found) != len(batch) or found.keys() & self._people.keys():
                raise ValueError("expected one line for each person")
            for name, text in zip(found, batch, strict=True):
                self._set(name, found[name], is_counted=found[name].is_counted, text=text)
        if len(self._people) != len(lines):
            raise ValueError("expected one line for each person")

    def _set(
        self, name: str, presence: Presence, *, is_counted: bool, text: str | None = None
    ) -> None:
        if text is None:
            entry = {**presence.model_dump(), "is_counted": is_counted}
            text = _dump({name: entry})[1:-1]
        self._names.pop(self._texts.get(name, ""), None)
        self._people[name], self._texts[name], self._names[text] = presence, text, name
        (self._counted.add if is_counted else self._counted.discard)(name)

    def _drop(self, name: str) -> None:
        if (text := self._texts.pop(name, None)) is not None:
            del self._people[name], self._names[text]
            self._counted.discard(name)


def _find_end(lines: list[str], first: int) -> int:
    """Return the index of the line that ends a zone. Raises ValueError."""
    try:
        return lines.index(_END_OF_ZONE + ",", first)
    except ValueError:
        return lines.index(_END_OF_ZONE, first)


def _load(text: bytes) -> object:
    """Return the JSON value of a text, None if it has none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
