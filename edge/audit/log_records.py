"""Check of the records about the log itself: retention, gaps, losses, erased parts."""

from __future__ import annotations

from edge.audit.chain import ChainLine, personal_digest
from edge.audit.findings import FindingCode
from edge.audit.kinds import GapReason, RecordKind, RetentionReason
from edge.audit.report import VerificationReport, format_span


class LogRecordCheck:
    """Collects the records about the log and checks what they explain."""

    def __init__(self, report: VerificationReport, log_id: str | None) -> None:
        self._report, self._log_id = report, log_id
        self._removed = self._blanked = 0  # newest record that retention removed or blanked
        self._erased: list[int] = []
        self._lost = 0

    def check(self, line: ChainLine, where: str) -> None:
        """Check the personal part of a line and note what the record states."""
        self._check_personal_part(line, where)
        public = line.public
        if "of" in public and self._log_id is not None and public["of"] != self._log_id:
            message = f"this log is {public['of']!r}, expected {self._log_id!r}"
            self._report.add(FindingCode.WRONG_LOG, where, line.id, message)
        kind = public.get("kind")
        if kind == RecordKind.RETENTION:
            self._note_retention(line)
        elif kind == RecordKind.GAP and "from" in public:
            self._note_gap(line, where)
        self._lost += lost_before(line)

    def forget_losses(self, count: int) -> None:
        """Subtract the losses of lines that were never acknowledged."""
        self._lost -= count

    def end(self) -> None:
        """Report a missing start, erased parts and losses."""
        report = self._report
        if report.first_id > self._removed + 1:
            span = format_span(range(1, report.first_id))
            message = f"{span} are missing, and no retention record explains it"
            report.add(FindingCode.MISSING_START, "the beginning", 1, message)
        elif report.first_id > 1:
            report.notes.append(f"records up to {report.first_id - 1} were removed by retention")

    def note_totals(self) -> None:
        """Add the numbers of erased parts and lost records to the notes."""
        report = self._report
        if report.erased:
            others = sum(number > self._blanked for number in self._erased)
            report.notes.append(
                f"{report.erased} personal parts are erased, {report.erased - others} by "
                f"retention, {others} otherwise"
            )
        if self._lost:
            report.notes.append(
                f"{self._lost} records were not written because the disk failed, according to the "
                "log"
            )

    def _check_personal_part(self, line: ChainLine, where: str) -> None:
        commit = line.public.get("commit")
        if line.is_erased:
            self._report.erased += 1
            self._erased.append(line.id)
            return
        is_added = commit is None and bool(line.personal)
        if is_added or (commit is not None and personal_digest(line.personal) != commit):
            message = (
                f"the personal part of record {line.id} was changed, or its erasure did not finish"
            )
            self._report.add(FindingCode.PERSONAL_MODIFIED, where, line.id, message)

    def _note_retention(self, line: ChainLine) -> None:
        upto, reason = line.public.get("upto"), line.public.get("reason")
        if not isinstance(upto, int):
            return
        if reason == RetentionReason.REMOVED:
            self._removed = max(self._removed, upto)
        elif reason == RetentionReason.BLANKED:
            self._blanked = max(self._blanked, upto)

    def _note_gap(self, line: ChainLine, where: str) -> None:
        span = f"records {line.public['from']} to {line.public.get('to')}"
        if line.public.get("reason") == GapReason.CUT_TAIL:
            message = f"{span} were on disk and are missing, according to the log"
            self._report.add(FindingCode.CUT_TAIL, where, line.id, message)
        else:
            self._report.notes.append(f"{span} were lost with the power or truncated ({where})")


def lost_before(line: ChainLine) -> int:
    """Return the number of unwritten records that this record states."""
    counts = (line.public.get(name) for name in ("lost", "not_taken"))
    return sum(count for count in counts if isinstance(count, int))
