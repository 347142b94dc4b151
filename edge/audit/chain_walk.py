"""Walk over the lines of a log: each must follow the line before it."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

from edge.audit.chain import GENESIS, ChainLine, parse_line, record_hash
from edge.audit.findings import FindingCode
from edge.audit.kinds import RecordKind
from edge.audit.log_records import LogRecordCheck, lost_before
from edge.audit.mac_check import MacCheck
from edge.audit.reader import GARBAGE_MAX
from edge.audit.report import VerificationFinding, VerificationReport, format_span
from edge.audit.verification_keys import VerificationKeys

_FIRST_ID_MAX = 100_000_000  # deriving the key of a later record takes minutes
_INVALID_LISTED = 1000
_SKIPPED_MAX = 2_000_000  # ids that may be missing in all: each costs a derivation of the key
_MISSING_MAX = 100_000  # missing ids that may still turn up out of order
_SIBLINGS = 4096  # lines back that a record may follow after lines that were not acknowledged


class ChainWalk:
    """Check of all lines of a log in order."""

    def __init__(self, keys: VerificationKeys, log_id: str | None) -> None:
        self.report = VerificationReport()
        self.invalid_in_segment = 0
        self._macs = MacCheck(keys, self.report)
        self._log_records = LogRecordCheck(self.report, log_id)
        # Hashes that the next record may follow, newest last, with the losses of their lines.
        self._bases: deque[tuple[bytes, int]] = deque(maxlen=_SIBLINGS)
        self._expected: bytes | None = None  # hash of a record that states another one
        self._invalid: list[str] = []  # locations of the first invalid lines
        self._invalid_count = 0
        self._missing: dict[int, VerificationFinding] = {}
        self._skippable = _SKIPPED_MAX

    def check_line(self, raw: bytes, where: str, *, ended: bool = True) -> None:
        """Check the next line; `ended`: it has its newline."""
        line, last = parse_line(raw), self.report.last
        if line is not None and not ended:
            message = f"record {line.id} has lost the end of its line: readers leave it out"
            self.report.add(FindingCode.TORN, where, line.id, message)
        if line is None or line.id > (last.id + self._skippable if last else _FIRST_ID_MAX):
            self._invalid += [where] if len(self._invalid) < _INVALID_LISTED else []
            self._invalid_count += 1
            self.invalid_in_segment += 1
            return
        if last is not None and line.id <= last.id:
            self._check_out_of_place(line, last, where)
            return
        if last is None:
            self.report.first_id = line.id
        else:
            self._skippable -= line.id - last.id - 1
        is_linked = self._check_link(line, where)
        self._macs.check(line, where, is_linked)
        self._log_records.check(line, where)
        self._bases.append((line.hash, lost_before(line)))
        self.report.last = line
        self.report.records += 1

    def end(self) -> None:
        """Report what is known only after the last line."""
        self._macs.end()
        self._log_records.end()
        for where in self._invalid:
            message = "this line is no record"
            self.report.add(FindingCode.CHANGED, where, self.report.last_id + 1, message)

    def note_totals(self) -> None:
        """Add the numbers of erased parts and lost records to the notes."""
        self._log_records.note_totals()

    def stop_segment(self, name: str) -> None:
        """Report that the rest of a segment with too many invalid lines was not read."""
        message = f"over {GARBAGE_MAX} lines are no record; the rest of the file was not read"
        self.report.add(FindingCode.CHANGED, name, self.report.last_id, message)

    def _check_out_of_place(self, line: ChainLine, last: ChainLine, where: str) -> None:
        """Report a record whose id is not above the last one."""
        missing = self._missing.pop(line.id, None)
        if missing is None:
            message = f"record {line.id} is repeated after record {last.id}"
            self.report.add(FindingCode.INSERTED, where, line.id, message)
            return
        if missing not in self._missing.values():  # all records of that finding have turned up
            self.report.withdraw(missing)
        message = f"record {line.id} follows record {last.id}"
        self.report.add(FindingCode.REORDERED, where, line.id, message)

    def _check_link(self, line: ChainLine, where: str) -> bool:
        """Return True if a record follows a line before it; report it if not."""
        torn = max(0, torn) if isinstance(torn := line.public.get("torn"), int) else 0
        recent = list(islice(reversed(self._bases), torn + 1))
        bases = [*(base for base, _ in recent), *([self._expected] if self._expected else [])]
        if self.report.last is None:
            prev = _hash_bytes(line.public.get("prev"))
            if prev is None:
                message = f"the lines before record {line.id} in this file were removed"
                self.report.add(FindingCode.REMOVED, where, line.id, message)
                self._invalid, self._invalid_count = [], 0
                return False
            bases = [GENESIS if line.id == 1 else prev]
        self._expected = None
        invalid, self._invalid = self._invalid, []
        count, self._invalid_count = self._invalid_count, 0
        hashes = (record_hash(base, line.body) for base in bases)
        place = next((i for i, found in enumerate(hashes) if found == line.hash), None)
        is_linked = place is not None
        if place is not None and place < len(recent):
            # Lines between were never acknowledged; this record has their losses as well.
            self._log_records.forget_losses(sum(self._bases.pop()[1] for _ in range(place)))
        is_gap = line.public.get("kind") == RecordKind.GAP
        if is_linked and (torn or is_gap or not invalid):
            return True
        self._report_break(line, where, invalid[:1], count, is_linked)
        if not is_linked:  # if only its own hash was changed, the next record follows this
            self._expected = record_hash(bases[0], line.body)
        return is_linked

    def _report_break(
        self, line: ChainLine, where: str, invalid: list[str], count: int, is_linked: bool
    ) -> None:
        """Report what happened between the last record and this one."""
        last_id = self.report.last_id
        absent = range(last_id + 1, line.id)
        if invalid:
            code = FindingCode.INSERTED if is_linked else FindingCode.CHANGED
            missing = f"; {format_span(absent)} should be there" if absent else ""
            message = f"{count} lines are no record" + ("" if is_linked else missing)
            self.report.add(code, invalid[0], last_id + 1, message)
        elif absent:
            message = f"{format_span(absent)} belongs before record {line.id}"
            self.report.add(FindingCode.REMOVED, where, absent[0], message)
            self._missing |= dict.fromkeys(absent[:_SIBLINGS], self.report.findings[-1])
            while len(self._missing) > _MISSING_MAX:
                del self._missing[next(iter(self._missing))]
        else:
            message = f"record {line.id} was changed or does not follow its predecessor"
            self.report.add(FindingCode.CHANGED, where, line.id, message)


def _hash_bytes(value: Any) -> bytes | None:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return None
