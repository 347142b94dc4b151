"""Metrics for Prometheus: counters of new events, and the present state of all processes.

No label holds personal data. A label value is a known code, or `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge.access.reasons import Reason
from edge.access.rules.codes import RuleRefusal
from edge.audit.kinds import RecordKind
from edge.codes import Code
from edge.console.records.events import Event
from edge.door.clock_trust import TRUST_CLOCK
from edge.door.commands import DOOR_COMMANDS, TARGET_COMMANDS, AccessCommand
from edge.door.events import (
    CredentialRefusal,
    DoorAlarm,
    DoorEventCode,
    DoorRefusal,
    EventCause,
    LockReason,
)
from edge.values import Verdict

OTHER = "other"  # label value of a code that this version does not know
_COMMANDS = frozenset(
    {*DOOR_COMMANDS, *TARGET_COMMANDS, TRUST_CLOCK, *(each.value for each in AccessCommand)}
)


def _codes(*enums: type[Code]) -> frozenset[str]:
    return frozenset(code.value for enum in enums for code in enum)


# Event of the door: name of its counter, label of its reason, known values.
_DOOR_COUNTERS: Mapping[str, tuple[str, str, str, frozenset[str]]] = {
    DoorEventCode.UNLOCKED: (
        "mfsa_door_unlocks",
        "Unlocks of the door by reason.",
        "reason",
        _codes(LockReason, EventCause),
    ),
    DoorEventCode.REFUSED: (
        "mfsa_door_refusals",
        "Grants and commands that the door refused.",
        "reason",
        _codes(DoorRefusal, RuleRefusal, CredentialRefusal),
    ),
    DoorEventCode.CREDENTIAL_REFUSED: (
        "mfsa_door_credential_refusals",
        "Cards and PINs that were not accepted.",
        "reason",
        _codes(CredentialRefusal, RuleRefusal, DoorRefusal),
    ),
    DoorEventCode.ALARM: ("mfsa_door_alarms", "Alarms that started.", "alarm", _codes(DoorAlarm)),
    DoorEventCode.OPERATOR_COMMAND: (
        "mfsa_door_operator_commands",
        "Commands of operators.",
        "command",
        _COMMANDS,
    ),
}


class Metrics:
    """Counters of events since the start of the console, and collectors of present states."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._records = self._counter("mfsa_records", "New audit records.", "log")
        self._lost = self._counter(
            "mfsa_records_lost", "Audit records that could not be written.", "log"
        )
        self._starts = self._counter("mfsa_process_starts", "Starts of a process.", "log")
        self._decisions = self._counter(
            "mfsa_decisions", "Decisions on faces that were recorded.", "log", "verdict", "reason"
        )
        self._verdicts, self._reasons = _codes(Verdict), _codes(Reason)
        self._door = {
            event: self._counter(name, text, "log", label)
            for event, (name, text, label, _) in _DOOR_COUNTERS.items()
        }

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def observe(self, event: Event) -> None:
        """Count an event; an observer of the feed."""
        record, log = event.record, event.log
        self._records.labels(log).inc()
        if lost := _count(record, "lost") + _count(record, "not_taken"):
            self._lost.labels(log).inc(lost)
        if RecordKind.STARTED in (record.get("kind"), record.get("event")):
            self._starts.labels(log).inc()
        if record.get("kind") == RecordKind.DECISION:
            verdict = _known(record.get("verdict"), self._verdicts)
            self._decisions.labels(log, verdict, _known(record.get("reason"), self._reasons)).inc()
        name = record.get("event")
        if isinstance(name, str) and name in self._door:
            reason = _known(record.get("reason"), _DOOR_COUNTERS[name][3])
            self._door[name].labels(log, reason).inc()

    def add_collector(self, collect: Callable[[], Iterator[Metric]]) -> None:
        """Add metrics that are read at each request."""
        self._registry.register(_StateCollector(collect))

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class _StateCollector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> list[Metric]:
        """Return nothing: the names are not checked at registration, nothing is read then."""
        return []

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def _known(value: object, codes: frozenset[str]) -> str:
    return value if isinstance(value, str) and value in codes else OTHER


def _count(record: Mapping[str, Any], field: str) -> int:
    value = record.get(field)
    return value if isinstance(value, int) and value > 0 else 0
