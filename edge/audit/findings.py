"""Findings of `edge-audit verify`."""

from __future__ import annotations

from enum import Enum


class FindingCode(str, Enum):
    """Deviation of an audit log from what its writer produces."""

    CHANGED = "changed"
    PERSONAL_MODIFIED = "personal-modified"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TORN = "torn"
    FORGED = "forged"
    MISSING_START = "missing-start"
    TRUNCATED = "truncated"
    CUT_TAIL = "cut-tail"
    WRONG_LOG = "wrong-log"
    NEW_CHAIN = "new-chain"
    STATE_MISMATCH = "state-mismatch"
    CHECKPOINT_MISMATCH = "checkpoint-mismatch"
    NOT_A_SEGMENT = "not-a-segment"

    @property
    def sentence(self) -> str:
        """Sentence for an auditor."""
        return _SENTENCES[self]


_SENTENCES = {
    FindingCode.CHANGED: "A record or line was changed after it was written.",
    FindingCode.PERSONAL_MODIFIED: "The personal part of a record was changed or replaced.",
    FindingCode.REMOVED: "Records or segments in the middle of the log are missing.",
    FindingCode.INSERTED: "A copy of a record, or a line that is no record, was inserted.",
    FindingCode.REORDERED: "A record is not in its place.",
    FindingCode.TORN: "A record has lost the end of its line.",
    FindingCode.FORGED: "The MAC of a record is not by its key: another program wrote it.",
    FindingCode.MISSING_START: "The oldest records are missing and retention did not remove them.",
    FindingCode.TRUNCATED: "The newest records are missing.",
    FindingCode.CUT_TAIL: "The writer found at a start that stored records were missing.",
    FindingCode.WRONG_LOG: "The log belongs to another terminal or is the other log.",
    FindingCode.NEW_CHAIN: "A new chain begins: nothing ties it to the records before it.",
    FindingCode.STATE_MISMATCH: "The writer state is missing or does not belong to this log.",
    FindingCode.CHECKPOINT_MISMATCH: "The log does not contain the record of the checkpoint.",
    FindingCode.NOT_A_SEGMENT: "A file is named like a segment and the writer did not make it.",
}
