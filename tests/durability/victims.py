"""Table of the victims by name."""

from __future__ import annotations

from tests.durability.people import FirstEnrollment, GalleryVictim, KeyRotation
from tests.durability.records import Door, Init, Log, Retained
from tests.durability.steps import Step, Victim

ENROLLMENT = GalleryVictim(
    "enrollment", {"enroll": 8, "replace": 2, "describe": 2, "reopen": 1}, people=8
)
REMOVAL = GalleryVictim("removal", {"remove": 8, "enroll": 3, "replace": 1, "reopen": 1}, people=16)
# Enough for SQLite to checkpoint its write-ahead log by itself.
BULK = GalleryVictim("bulk enrollment", {"enroll": 1}, people=1, sizes=(500, 600, 700))
LOG = Log("records", [Step("record", "before", n, 40 * n) for n in range(20)])
FIRST_RECORDS = Log("first records", [])
VICTIMS: dict[str, Victim] = {
    victim.name: victim
    for victim in (
        ENROLLMENT,
        BULK,
        REMOVAL,
        FirstEnrollment(),
        KeyRotation(),
        LOG,
        FIRST_RECORDS,
        Init(),
        Retained(),
        Door(),
    )
}
