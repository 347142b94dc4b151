"""Selection of audit records by the options of `edge-audit`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from edge.audit.kinds import RecordEvent, RecordKind
from edge.audit.locations import LogLocation
from edge.audit.segments import invalid_segments
from edge.door.events import DoorEventCode
from edge.errors import ConfigError, RecordError
from edge.names import name_key
from edge.values import Verdict

NamedRecord = tuple[str, dict[str, Any]]  # name of the log, record
KINDS = frozenset(
    code.value for codes in (RecordKind, RecordEvent, DoorEventCode, Verdict) for code in codes
)
SHOWN_MAX = 20  # findings and files that are printed


class RecordFilter:
    """Filter of the command line, with a check that its kind and subject exist."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._subject, self._kind = args.subject, args.kind
        self._has_subject = args.subject is None
        self._has_kind = args.kind is None or args.kind in KINDS

    def is_selected(self, named: NamedRecord) -> bool:
        """Return True if the options select a record."""
        record = named[1]
        kinds = (record.get("kind"), record.get("event"), record.get("verdict"))
        is_kind = self._kind is None or self._kind in kinds
        is_subject = self._subject is None or any(
            has_name(record, field, self._subject) for field in ("subject", "other")
        )
        self._has_kind |= is_kind
        self._has_subject |= is_subject
        return is_kind and is_subject

    def check_kind(self) -> None:
        """Raise ConfigError for a kind that no record has."""
        if not self._has_kind:
            known = ", ".join(sorted(KINDS))
            raise ConfigError(f"--kind {self._kind!r}: unknown kind; expected one of {known}")

    def check(self) -> None:
        """Raise ConfigError or RecordError if no record matched; call it after all records."""
        self.check_kind()
        if not self._has_subject:
            raise RecordError(
                f"no record of subject {self._subject!r}; names are erased after "
                "`record.redact_after_days`, edge-gallery list shows who is enrolled"
            )


def has_name(record: Mapping[str, Any], field: str, name: str) -> bool:
    """Return True if a field holds a name, in any spelling."""
    found = record.get(field)
    return isinstance(found, str) and name_key(found) == name_key(name)


def warn_of_invalid_segments(locations: Iterable[LogLocation]) -> bool:
    """Print the files that are left out; return True if there are any."""
    found = False
    for location in locations:
        for name, why in list(invalid_segments(location.folder).items())[:SHOWN_MAX]:
            words = f"{location.folder / name}: left out: {why}"
            print(f"edge-audit: warning: {words}; see edge-audit verify", file=sys.stderr)
            found = True
    return found
