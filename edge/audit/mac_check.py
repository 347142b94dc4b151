"""Check of the MACs of a log against its verification keys."""

from __future__ import annotations

from edge.audit.chain import ChainLine
from edge.audit.findings import FindingCode
from edge.audit.kinds import GapReason, RecordKind
from edge.audit.report import VerificationReport, format_span
from edge.audit.verification_keys import VerificationKeys


class MacCheck:
    """Checks one MAC after the other and reports forged records and new chains."""

    def __init__(self, keys: VerificationKeys, report: VerificationReport) -> None:
        self._keys, self._report = keys, report
        # Location, first and last id of the records in a row whose MAC does not fit.
        self._unkeyed: tuple[str, int, int] | None = None

    def check(self, line: ChainLine, where: str, is_linked: bool) -> None:
        """Check a line; `is_linked`: it follows the line before it."""
        if _is_new_chain(line):
            message = "the writer state was lost: nothing ties what follows to what was before"
            self._report.add(FindingCode.NEW_CHAIN, where, line.id, message)
            if not self._keys.starts_chain(line):
                self._keys.forget_chain()
        before = self._keys.current
        matches = self._keys.matches(line)
        if matches is False and self._keys.starts_chain(line):
            message = (
                "another verification key applies from here on: nothing ties it to what was before"
            )
            self._report.add(FindingCode.NEW_CHAIN, where, line.id, message)
            matches = True
        if self._keys.is_untrusted and before is None:
            message = "the verification key of this chain is not one that root keeps"
            self._report.add(FindingCode.NEW_CHAIN, where, line.id, message)
        self._report.authentic += bool(matches and is_linked)
        if matches is False and is_linked:
            where, first_id, _ = self._unkeyed or (where, line.id, 0)
            self._unkeyed = (where, first_id, line.id)
        else:
            self.end()

    def end(self) -> None:
        """Report the records in a row whose MAC does not fit."""
        if self._unkeyed is None:
            return
        where, first_id, last_id = self._unkeyed
        self._unkeyed = None
        is_all = first_id == self._report.first_id and not self._report.authentic
        why = (
            "a wrong key, or the log of another terminal"
            if is_all
            else "written by a program without the key"
        )
        span = format_span(range(first_id, last_id + 1))
        message = f"the MAC of {span} does not fit: {why}"
        self._report.add(FindingCode.FORGED, where, first_id, message)


def _is_new_chain(line: ChainLine) -> bool:
    public = line.public
    return public.get("kind") == RecordKind.GAP and public.get("reason") == GapReason.NEW_CHAIN
