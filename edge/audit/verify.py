"""Whether a record is whole and by its writer alone: what was changed, removed, inserted or reordered in it, and where.

It walks the lines once. Each must hash, with the hash before it, to what it says, and its MAC must be by the key of its number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from edge.audit.chain import GENESIS, ChainLine, next_key, parse_line, personal_digest, record_hash
from edge.audit.findings import FindingCode
from edge.audit.kinds import GapReason, RecordKind, RetentionReason
from edge.audit.reader import GARBAGE_MAX, read_segment
from edge.audit.segments import invalid_segments, list_segments, split_lines
from edge.audit.verification_keys import VerificationKeys
from edge.audit.writer_state import VerificationKey, WriterState

_FIRST_ID_MAX = 100_000_000  # beyond that its key takes minutes to derive
_FINDINGS_MAX = 10_000  # more are counted
_GARBAGE_SHOWN = 1000
_SKIPPED_MAX = 2_000_000  # numbers that may be missing in all: each costs a step of the key
_MISSING_MAX = 100_000  # numbers that may still turn up out of order
_SIBLINGS = 4096  # lines back that a record may follow after ones that were not acknowledged


@dataclass(frozen=True, slots=True)
class VerificationFinding:
    """Deviation of a log from what its writer produces."""

    code: FindingCode
    location: str  # segment and line
    id: int  # of the record, or of the first one that is concerned
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.code.value}: {self.message}"


@dataclass(frozen=True, slots=True)
class ExpectedRecord:
    """Record of a checkpoint."""

    id: int
    hash: bytes


@dataclass(slots=True)
class VerificationReport:
    """What was looked at, and what was found."""

    findings: list[VerificationFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    first_id: int = 0
    last: ChainLine | None = None
    records: int = 0
    authentic: int = 0  # whose MAC was checked and fits
    erased: int = 0
    unlisted: int = 0  # findings beyond those that are listed

    @property
    def keyless(self) -> int:
        return self.records - self.authentic


class LogWalk:
    """One pass over all lines."""

    def __init__(self, keys: VerificationKeys, log_id: str | None) -> None:
        self.report = VerificationReport()
        self._keys = keys
        self._log_id = log_id
        # Hashes that the next record may follow, newest last, with the losses that each told of.
        self._bases: deque[tuple[bytes, int]] = deque(maxlen=_SIBLINGS)
        self._claimed: bytes | None = None  # by a record whose hash is another one
        self._garbage: list[str] = []  # places of the first invalid lines
        self._garbage_count = 0
        self.no_records = 0  # invalid lines of the present segment
        self._missing: dict[int, VerificationFinding] = {}
        self._unkeyed: tuple[str, int, int] | None = None  # records in a row whose MAC does not fit
        self._removed = self._blanked = 0
        self._erased_above: list[int] = []
        self._lost = 0
        self._skippable = _SKIPPED_MAX  # numbers that may be missing; each costs a step of the key

    def take(self, raw: bytes, where: str, *, ended: bool = True) -> None:
        line, last = parse_line(raw), self.report.last
        if line is not None and not ended:
            self._find(
                FindingCode.TORN,
                where,
                line.id,
                f"record {line.id} has lost the end of its line: readers leave it out",
            )
        if line is None or line.id > (last.id + self._skippable if last else _FIRST_ID_MAX):
            self._garbage += [where] if len(self._garbage) < _GARBAGE_SHOWN else []
            self._garbage_count += 1
            self.no_records += 1
            return
        if last is not None and line.id <= last.id:
            self._out_of_place(line, where)
            return
        if last is None:
            self.report.first_id = line.id
        else:
            self._skippable -= line.id - last.id - 1
        sound = self._follows(line, where)
        self._check_mac(line, where, sound)
        self._check_personal(line, where)
        self._note(line, where)
        self._bases.append((line.hash, _lost_by(line)))
        self._lost += self._bases[-1][1]
        self.report.last = line
        self.report.records += 1

    def _out_of_place(self, line: ChainLine, where: str) -> None:
        missing = self._missing.pop(line.id, None)
        assert self.report.last is not None
        if missing is None:  # nobody missed it
            self._find(
                FindingCode.INSERTED,
                where,
                line.id,
                f"record {line.id} stands here once more, after record {self.report.last.id}",
            )
        else:
            if missing not in self._missing.values():  # all that it told of has turned up
                self._withdraw(missing)
            self._find(
                FindingCode.REORDERED,
                where,
                line.id,
                f"record {line.id} stands after record {self.report.last.id}",
            )

    def _follows(self, line: ChainLine, where: str) -> bool:
        """Whether a record follows what is before it; where not, the finding."""
        last, public = self.report.last, line.public
        torn = max(0, torn) if isinstance(torn := public.get("torn"), int) else 0
        gap = public.get("kind") == RecordKind.GAP
        prev = _bytes_of(public.get("prev"))
        known = list(islice(reversed(self._bases), torn + 1))
        bases = [*(base for base, _ in known), *([self._claimed] if self._claimed else [])]
        if last is None:
            if prev is None:
                self._find(
                    FindingCode.REMOVED,
                    where,
                    line.id,
                    f"what was before record {line.id} in this file was cut off",
                )
                self._garbage, self._garbage_count = [], 0
                return False
            bases = [GENESIS if line.id == 1 else prev]
        self._claimed = None
        garbage, self._garbage = self._garbage, []
        count, self._garbage_count = self._garbage_count, 0
        place = next(
            (i for i, base in enumerate(bases) if record_hash(base, line.body) == line.hash), None
        )
        sound = place is not None
        if place is not None and place < len(known):
            for _ in range(
                place
            ):  # lines that stand there and were never acknowledged: what they told of, this one tells too
                self._lost -= self._bases.pop()[1]
        if sound and (torn or gap or not garbage):
            return True
        self._explain(line, where, garbage[:1], count, sound)
        if not sound:
            self._claimed = record_hash(
                bases[0], line.body
            )  # where its own hash was changed, the next one follows this
        return sound

    def _explain(
        self, line: ChainLine, where: str, garbage: list[str], count: int, sound: bool
    ) -> None:
        """Which kind of change it was."""
        last_id = self.report.last.id if self.report.last else 0
        absent = range(last_id + 1, line.id)
        if garbage and sound:
            self._find(
                FindingCode.INSERTED, garbage[0], last_id + 1, f"{count} lines are no record"
            )
        elif garbage:
            gone = f"; {_span(absent)} should be there" if absent else ""
            self._find(
                FindingCode.CHANGED, garbage[0], last_id + 1, f"{count} lines are no record{gone}"
            )
        elif absent:
            self._find(
                FindingCode.REMOVED,
                where,
                absent[0],
                f"{_span(absent)} should stand before record {line.id}",
            )
            self._missing |= dict.fromkeys(absent[:_SIBLINGS], self.report.findings[-1])
            while len(self._missing) > _MISSING_MAX:
                del self._missing[next(iter(self._missing))]
        else:
            self._find(
                FindingCode.CHANGED,
                where,
                line.id,
                f"record {line.id} is not as it was written, or does not follow the one before",
            )

    def _check_mac(self, line: ChainLine, where: str, sound: bool) -> None:
        told = (
            line.public.get("kind") == RecordKind.GAP
            and line.public.get("reason") == GapReason.NEW_CHAIN
        )
        if told:
            self._find(
                FindingCode.NEW_CHAIN,
                where,
                line.id,
                "the writer's state was lost: nothing ties what follows to what was before",
            )
            if not self._keys.starts_chain(line):
                self._keys.forget_chain()
        before = self._keys.current
        fits = self._keys.matches(line)
        if fits is False and self._keys.starts_chain(line):
            self._find(
                FindingCode.NEW_CHAIN,
                where,
                line.id,
                "another verification key counts from here on: nothing ties it to what was before",
            )
            fits = True
        if self._keys.is_untrusted and before is None:
            self._find(
                FindingCode.NEW_CHAIN,
                where,
                line.id,
                "the verification key of this chain is not one that root keeps",
            )
        self.report.authentic += bool(fits and sound)
        if fits is False and sound:
            where, first_id, _ = self._unkeyed or (where, line.id, 0)
            self._unkeyed = (where, first_id, line.id)
        else:
            self._end_unkeyed()

    def _end_unkeyed(self) -> None:
        if self._unkeyed is not None:
            where, first_id, last_id = self._unkeyed
            self._unkeyed = None
            every = first_id == self.report.first_id and not self.report.authentic
            why = (
                "a wrong key, or the record of another terminal"
                if every
                else "written by somebody without the key"
            )
            self._find(
                FindingCode.FORGED,
                where,
                first_id,
                f"the MAC of {_span(range(first_id, last_id + 1))} does not fit: {why}",
            )

    def _check_personal(self, line: ChainLine, where: str) -> None:
        commit = line.public.get("commit")
        if line.is_erased:
            self.report.erased += 1
            self._erased_above.append(line.id)
        elif (commit is None and line.personal) or (
            commit is not None and personal_digest(line.personal) != commit
        ):
            self._find(
                FindingCode.PERSONAL_MODIFIED,
                where,
                line.id,
                f"the personal part of record {line.id} was changed, or its erasure cut short",
            )

    def _note(self, line: ChainLine, where: str) -> None:
        """What the log says of itself."""
        public = line.public
        if "of" in public and self._log_id is not None and public["of"] != self._log_id:
            self._find(
                FindingCode.WRONG_LOG,
                where,
                line.id,
                f"this is of {public['of']!r}, expected {self._log_id!r}",
            )
        kind, reason = public.get("kind"), public.get("reason")
        if kind == RecordKind.RETENTION and isinstance(upto := public.get("upto"), int):
            if reason == RetentionReason.REMOVED:
                self._removed = max(self._removed, upto)
            elif reason == RetentionReason.BLANKED:
                self._blanked = max(self._blanked, upto)
        elif kind == RecordKind.GAP and "from" in public:
            span = f"records {public['from']} to {public.get('to')}"
            if reason == GapReason.CUT_TAIL:
                self._find(
                    FindingCode.CUT_TAIL,
                    where,
                    line.id,
                    f"{span} were on disk and are gone, says the record itself",
                )
            else:
                self.report.notes.append(f"{span} were lost with the power or cut off ({where})")

    def end(self, unended: str | None, state: WriterState | None) -> VerificationReport:
        """After the last line; `unended` is where the newest segment ends in the middle of a line."""
        report = self.report
        self._end_unkeyed()
        last_id = report.last.id if report.last else 0
        if report.first_id > self._removed + 1:
            absent = range(1, report.first_id)
            self._find(
                FindingCode.MISSING_START,
                "the beginning",
                1,
                f"{_span(absent)} are gone, and no record of retention tells of it",
            )
        elif report.first_id > 1:
            report.notes.append(f"records up to {report.first_id - 1} were removed by retention")
        for where in self._garbage:
            self._find(FindingCode.CHANGED, where, last_id + 1, "this line is no record")
        self._check_state(state, unended)
        if report.erased:
            by_hand = sum(number > self._blanked for number in self._erased_above)
            report.notes.append(
                f"{report.erased} personal parts are erased, {report.erased - by_hand} by retention, {by_hand} otherwise"
            )
        if self._lost:
            report.notes.append(
                f"{self._lost} records were never written, for want of a disk, says the record itself"
            )
        return report

    def _check_state(self, state: WriterState | None, unended: str | None) -> None:
        """Against what the writer remembers; whoever can cut the record can turn that back too."""
        last = self.report.last
        last_id = last.id if last else 0
        if state is None:
            if last is not None:
                self._find(
                    FindingCode.STATE_MISMATCH,
                    "state",
                    last_id,
                    "the writer's state is gone or cannot be read: the next start begins anew",
                )
            elif self._keys.has_keys:
                self._find(
                    FindingCode.STATE_MISMATCH,
                    "state",
                    0,
                    "there is a verification key, and neither a log nor its writer state",
                )
            return
        if state.next_id > last_id + 1:
            absent = range(last_id + 1, state.next_id)
            self._find(
                FindingCode.TRUNCATED,
                unended or "the end",
                absent[0],
                f"{_span(absent)} were written and are not there",
            )
        elif unended is not None:
            self.report.notes.append(
                f"a record is being written, or was begun when its writer was stopped ({unended})"
            )
        elif state.next_id <= last_id:
            self.report.notes.append(
                f"the writer's state is {last_id + 1 - state.next_id} records behind; it is brought forward"
            )
        if last is None or state.next_id != last_id + 1:
            return
        present = self._keys.current
        if state.hash != last.hash or (
            present is not None and next_key(present[1].key) != state.key
        ):
            self._find(
                FindingCode.STATE_MISMATCH,
                "state",
                last_id,
                "the writer's state is not of this record: somebody replaced it",
            )

    def _find(self, code: FindingCode, where: str, number: int, words: str) -> None:
        if len(self.report.findings) < _FINDINGS_MAX:
            self.report.findings.append(VerificationFinding(code, where, number, words))
        else:
            self.report.unlisted += 1

    def _withdraw(self, finding: VerificationFinding) -> None:
        if finding in self.report.findings:
            self.report.findings.remove(finding)

    def give_up(self, name: str) -> None:
        """Report that the rest of a segment with too many invalid lines was not read."""
        words = f"over {GARBAGE_MAX} lines are no record; the rest of the file was not read"
        self._find(FindingCode.CHANGED, name, self.report.last.id if self.report.last else 0, words)

    def report_strange(self, name: str, why: str) -> None:
        """Report a file in the folder that the writer cannot have made."""
        words = f"{why}: another program wrote it; examine it and remove it"
        self._find(FindingCode.NOT_A_SEGMENT, name, 0, words)


def verify_log(
    folder: Path,
    first: Sequence[VerificationKey] = (),
    *,
    log_id: str | None = None,
    expected: ExpectedRecord | None = None,
    state: WriterState | None = None,
    trusted: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> VerificationReport:
    """All of a record; `first` are the keys with which its chains began. `progress` is told of bytes. Raises OSError.

    `state` is read before: a record that is written meanwhile is ahead of it and not behind. The first `trusted` keys are root's.
    """
    walk = LogWalk(VerificationKeys(first, trusted), log_id)
    unended, found_hash = None, None
    for name, why in invalid_segments(folder).items():
        walk.report_strange(name, why)
    paths = [path for path in list_segments(folder) if path.stat().st_size]
    for path in paths:
        data, walk.no_records = read_segment(path), 0
        for number, (_, raw, ended) in enumerate(split_lines(data), 1):
            if walk.no_records >= GARBAGE_MAX:
                walk.give_up(path.name)
                break
            where = f"{path.name}, line {number}"
            if ended or path is not paths[-1]:
                walk.take(raw, where, ended=ended)
            else:
                unended = where
            if (
                expected is not None
                and walk.report.last is not None
                and walk.report.last.id == expected.id
            ):
                found_hash = walk.report.last.hash
        progress(len(data))
    report = walk.end(unended, state)
    if expected is not None:
        _check_checkpoint(report, expected, found_hash)
    return report


def _check_checkpoint(
    report: VerificationReport, expected: ExpectedRecord, found: bytes | None
) -> None:
    last_id = report.last.id if report.last else 0
    if found == expected.hash:
        return
    if found is not None:
        words = f"record {expected.id} is not the record of the checkpoint"
        report.findings.append(
            VerificationFinding(
                FindingCode.CHECKPOINT_MISMATCH, "the checkpoint", expected.id, words
            )
        )
    elif expected.id > last_id:
        words = f"{_span(range(last_id + 1, expected.id + 1))} existed when the checkpoint was made and are missing"
        report.findings.append(
            VerificationFinding(FindingCode.TRUNCATED, "the end", last_id + 1, words)
        )
    elif expected.id < report.first_id:
        report.notes.append(
            f"the checkpoint is of record {expected.id}, which is not kept any more"
        )
    else:
        report.findings.append(
            VerificationFinding(
                FindingCode.CHECKPOINT_MISMATCH,
                "the checkpoint",
                expected.id,
                f"record {expected.id} of the checkpoint is missing",
            )
        )


def _lost_by(line: ChainLine) -> int:
    return sum(n for name in ("lost", "not_taken") if isinstance(n := line.public.get(name), int))


def _span(ids: range) -> str:
    return f"record {ids[0]}" if len(ids) == 1 else f"records {ids[0]} to {ids[-1]}"


def _bytes_of(value: Any) -> bytes | None:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return None
