"""Victims of the audit logs.

They are begun, written, turned from segment to segment, kept for their time, and read by the door.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.kinds import RetentionReason
from edge.audit.provisioning import provision_log
from edge.audit.reader import read_log
from edge.audit.retention import Retention
from edge.audit.verify import verify_log
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import default_key_path, read_keys, read_state
from edge.door.record import LATCHES, load_previous_run
from edge.system.wallclock import DAY_S
from tests.durability.steps import (
    AFTERWARDS,
    Actor,
    CrashState,
    Step,
    collecting_errors,
    run_before,
)

_OF = "lobby/decisions"
_SEGMENT_BYTES = 4000
_BEGAN = 1.8e9 // DAY_S * DAY_S
_KEEP = Retention(delete_after_days=20, redact_after_days=8)
_CHORES = 400  # more steps than retention can have


def fields_of(step: Step) -> dict[str, Any]:
    """Return the fields of a record: a unique public number, personal name and text."""
    return {"kind": "record", "frame": step.seed, "subject": step.name, "note": "x" * step.count}


class LogActor:
    """A process that writes records, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._day = folder, 0.0
        self.log = self._open()

    def _open(self) -> AuditLogWriter:
        return AuditLogWriter(
            self._folder,
            log_id=_OF,
            segment_bytes=_SEGMENT_BYTES,
            retention=_KEEP,
            wall=lambda: _BEGAN + self._day * DAY_S,
        )

    def do(self, step: Step) -> str:
        self._day = max(self._day, step.day)
        if step.kind == "reopen":
            self.log.close()
            self.log = self._open()
            return ""
        if step.kind == "tend":
            for _ in range(_CHORES):
                self.log.run_maintenance()
            return ""
        return str(self.log.append(fields_of(step), durable=step.is_durable))

    def close(self) -> None:
        self.log.close()


class Log:
    """Audit log to which one process after the other appends records."""

    tends = 0  # times that retention is at work afterwards

    def __init__(self, name: str, before: Sequence[Step]) -> None:
        self.name, self.before = name, before

    def folder(self, folder: Path) -> Path:
        return folder / "decisions"

    def prepare(self, folder: Path) -> None:
        if self.before:
            run_before(self, folder)

    def script(self, rng: random.Random, count: int) -> list[Step]:
        steps = []
        for number in range(count):
            seed, size = 1000 * number + rng.randrange(1000), rng.choice((0, 30, 200, 600, 1500))
            step = Step("record", f"person {number}", 10**6 + seed, size, rng.random() < 0.8)
            steps.append(
                replace(step, kind="reopen", is_durable=False) if rng.random() < 0.15 else step
            )
        return steps

    def open(self, folder: Path) -> Actor:
        return LogActor(self.folder(folder))

    def again(self, folder: Path) -> LogActor:
        """Open the log in the process that follows the stopped one."""
        return LogActor(self.folder(folder))

    def keys(self, folder: Path) -> Path:
        return default_key_path(self.folder(folder))

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        """A power cut may lose an unacknowledged record, unless a later one was acknowledged."""
        at = self.folder(folder)
        with collecting_errors("unreadable") as trouble:
            found = read_log(at)
            yield from self._compare(found, left)
            with closing(self.again(folder)) as actor:
                today = max((step.day for step in _all(left)), default=0)
                actor.do(Step("record", AFTERWARDS, 1, 3, day=today))
                for day in range(
                    self.tends
                ):  # an erasure that was cut short is finished on another day
                    actor.do(Step("tend", day=today + 1 + day))
            after = read_log(at)
            kept = [record for record in after if record in found]
            if not self.tends and kept != found:
                yield "stuck: the next record took others away"
            if not any(_is(record, Step("record", AFTERWARDS, 1, 3)) for record in after):
                yield "stuck: the next record is not what was recorded"
            numbers = [record["id"] for record in after]
            if any(later <= number for number, later in itertools.pairwise(numbers)):
                yield f"order: the numbers of the records are {numbers[-8:]}"
            blanked = max(
                (
                    record["upto"]
                    for record in after
                    if record.get("reason") == RetentionReason.BLANKED
                ),
                default=0,
            )
            yield from (
                f"erased: record {r['id']} names a person again"
                for r in after
                if r["id"] <= blanked and "subject" in r
            )
            report = verify_log(
                at, self._verification_keys(folder), log_id=_OF, state=read_state(at)
            )
            yield from (f"damaged: {finding}" for finding in report.findings)
        yield from trouble

    def _verification_keys(self, folder: Path) -> list[Any]:
        """Return the verification keys: kept ones and those that the process had to make."""
        next_to_log = default_key_path(self.folder(folder))
        return read_keys(self.keys(folder)) + (
            read_keys(next_to_log) if next_to_log != self.keys(folder) else []
        )

    def _compare(self, found: Sequence[dict[str, Any]], left: CrashState) -> Iterator[str]:
        by_frame = {record["frame"]: record for record in found if record.get("kind") == "record"}
        acknowledged = [step for step in left.acknowledged if step.kind == "record"]
        promised = (
            max(
                (i for i, step in enumerate(acknowledged) if step.is_durable or not left.lossy),
                default=-1,
            )
            + 1
        )
        today = max((step.day for step in _all(left)), default=0)
        for step in acknowledged[:promised]:
            record = by_frame.get(step.seed)
            if record is None and step.day > today - _KEEP.delete_after_days:
                yield f"lost: the record of {step.name}"
            elif (
                record is not None
                and record.get("erased")
                and step.day <= today - _KEEP.redact_after_days
            ):
                continue
            elif record is not None and not _is(record, step):
                yield f"half: {record}"
        maybe = {step.seed: step for step in _all(left) if step.kind == "record"}
        for frame, record in by_frame.items():
            step = maybe.get(frame, Step(""))
            if not _is(record, step) and not (
                record.get("erased") and step.day <= today - _KEEP.redact_after_days
            ):
                yield f"half: {record}"
        script = left.acknowledged[len(left.acknowledged) - len(left.results) :]
        acknowledged_numbers = {
            step.seed: int(number)
            for number, step in zip(left.results, script, strict=True)
            if number
        }
        for step in acknowledged[:promised]:
            number = by_frame.get(step.seed, {}).get("id")
            if number is not None and number != acknowledged_numbers.get(step.seed, number):
                yield (
                    f"order: the record of {step.name} has number {number}, acknowledged was "
                    f"{acknowledged_numbers[step.seed]}"
                )


def _all(left: CrashState) -> list[Step]:
    return [*left.acknowledged, *([left.pending] if left.pending is not None else [])]


def _is(record: dict[str, Any], step: Step) -> bool:
    return {key: record.get(key) for key in ("kind", "frame", "subject", "note")} == fields_of(step)


class Init(Log):
    """Log whose verification key is made in a separate folder before records are written."""

    def __init__(self) -> None:
        super().__init__("edge-audit init", [])

    def keys(self, folder: Path) -> Path:
        return folder / "kept" / "decisions.key"

    def prepare(self, folder: Path) -> None:
        (folder / "state").mkdir()
        (folder / "kept").mkdir()

    def folder(self, folder: Path) -> Path:
        return folder / "state" / "decisions"

    def script(self, rng: random.Random, count: int) -> list[Step]:
        return [Step("init"), *super().script(rng, count - 1)]

    def open(self, folder: Path) -> Actor:
        return _InitActor(self.folder(folder), self.keys(folder))

    def again(self, folder: Path) -> LogActor:
        provision_log(self.folder(folder), self.keys(folder))
        return LogActor(self.folder(folder))


class _InitActor:
    def __init__(self, folder: Path, keys: Path) -> None:
        self._folder, self._keys = folder, keys
        self._log: LogActor | None = None

    def do(self, step: Step) -> str:
        if step.kind == "init":
            provision_log(self._folder, self._keys)
            return ""
        if self._log is None:
            self._log = LogActor(self._folder)
        return self._log.do(step)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()


class Retained(Log):
    """Retention over some days: personal parts are blanked, complete segments are removed."""

    tends = 2

    def __init__(self) -> None:
        super().__init__(
            "retention", [Step("record", f"person {n}", n + 10, 100, day=n / 2) for n in range(40)]
        )

    def script(self, rng: random.Random, count: int) -> list[Step]:
        steps, day = [], self.before[-1].day
        for number in range(count):
            day += rng.choice((0, 0, 0.5, 1, 3))
            kind = rng.choice(("record", "record", "tend"))
            steps.append(Step(kind, f"person {number}", 10**6 + number, 300, kind == "record", day))
        return steps


class Door(Log):
    """The door's states, by which it starts again.

    Written by a thread of its own, as the door does.
    """

    def __init__(self) -> None:
        super().__init__("door's states", [Step("event", "", 0), Step("event", LATCHES[0], 1)])

    def folder(self, folder: Path) -> Path:
        return folder / "door"

    def script(self, rng: random.Random, count: int) -> list[Step]:
        """Return steps with at most one latch each, never that of the previous step."""
        steps, latched = [], LATCHES[0]
        for number in range(count):
            latched = rng.choice([name for name in ("", *LATCHES) if name != latched])
            steps.append(Step("event", latched, 10 + number))
        return steps

    def open(self, folder: Path) -> Actor:
        return _DoorActor(self.folder(folder))

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        with collecting_errors("unreadable") as trouble:
            past = load_previous_run(self.folder(folder))
            if past.error:
                yield f"unreadable: {past.error}"
            latched = [name for name in LATCHES if getattr(past.latches, name)]
            possible = [
                step.name
                for step in (left.acknowledged[-1] if left.acknowledged else None, left.pending)
                if step is not None
            ]
            if (latched or [""])[0] not in (possible or [""]) or len(latched) > 1:
                yield f"lost: the door would start with {latched}, expected one of {possible}"
        yield from trouble
        yield from super().problems(folder, left)


class _DoorActor:
    def __init__(self, folder: Path) -> None:
        self._log = AsyncLogWriter(
            lambda: AuditLogWriter(folder, log_id=_OF, segment_bytes=_SEGMENT_BYTES)
        )

    def do(self, step: Step) -> str:
        job = self._log.submit(
            {
                "event": "operator-command",
                "at": step.seed,
                "latches": [step.name] if step.name else [],
            }
        )
        job.done.wait()
        if job.error is not None:
            raise job.error
        return ""

    def close(self) -> None:
        self._log.close()
