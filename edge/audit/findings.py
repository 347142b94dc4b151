"""Findings of `edge-audit verify`."""

from __future__ import annotations

from edge.codes import Code


class FindingCode(Code):
    """Deviation of an audit log from what its writer produces."""

    CHANGED = "changed", "a record or line was changed after it was written"
    PERSONAL_MODIFIED = "personal-modified", "the personal part of a record was changed or replaced"
    REMOVED = "removed", "records or segments in the middle of the log are missing"
    INSERTED = "inserted", "a copy of a record, or a line that is no record, was inserted"
    REORDERED = "reordered", "a record is not in its place"
    TORN = "torn", "a record has lost the end of its line"
    FORGED = "forged", "the MAC of a record is not by its key: another program wrote it"
    MISSING_START = (
        "missing-start",
        "the oldest records are missing and retention did not remove them",
    )
    TRUNCATED = "truncated", "the newest records are missing"
    CUT_TAIL = "cut-tail", "the writer found at a start that stored records were missing"
    WRONG_LOG = "wrong-log", "the log belongs to another terminal or is the other log"
    NEW_CHAIN = "new-chain", "a new chain begins: nothing ties it to the records before it"
    STATE_MISMATCH = "state-mismatch", "the writer state is missing or does not belong to this log"
    CHECKPOINT_MISMATCH = (
        "checkpoint-mismatch",
        "the log does not contain the record of the checkpoint",
    )
    NOT_A_SEGMENT = "not-a-segment", "a file is named like a segment and the writer did not make it"
