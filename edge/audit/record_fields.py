"""Fields of audit records: who may read them, how long they are kept, what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Fields = Mapping[str, Any]


class FieldClass(str, Enum):
    """Protection of a field."""

    PUBLIC = "public"  # kept as long as the record
    PERSONAL = "personal"  # in the personal part, which is erased
    SEALED = "sealed"  # in the personal part, encrypted with a key of the gallery


@dataclass(frozen=True, slots=True)
class RecordField:
    """Name, protection and meaning of a field."""

    name: str
    protection: FieldClass
    meaning: str
    in_details: bool = False  # shown in the column `details` of `edge-audit show`


_PUBLIC, _PERSONAL, _SEALED = FieldClass.PUBLIC, FieldClass.PERSONAL, FieldClass.SEALED

# A field that is not listed is personal: a new field is safe by default.
FIELDS: tuple[RecordField, ...] = (
    RecordField("id", _PUBLIC, "number of the record; never used twice, counts over restarts"),
    RecordField("wall", _PUBLIC, "time of the record in Unix seconds"),
    RecordField("mono", _PUBLIC, "seconds since the machine started"),
    RecordField(
        "latest_believed",
        _PUBLIC,
        "only while the clock is not trusted: estimated time in Unix seconds",
    ),
    RecordField(
        "clock_confirmed",
        _PUBLIC,
        "time of an operator's `trust-clock`, and identifier of that boot",
    ),
    RecordField("kind", _PUBLIC, "kind of the record"),
    RecordField("event", _PUBLIC, "event of the door, camera, gallery or enrollment"),
    RecordField("verdict", _PUBLIC, "verdict of a decision"),
    RecordField("reason", _PUBLIC, "reason code"),
    RecordField("subject", _PERSONAL, "name of the subject"),
    RecordField(
        "other",
        _PERSONAL,
        "second name of a `not-a-duplicate` record, or of two people with one grant",
        in_details=True,
    ),
    RecordField(
        "target",
        _PERSONAL,
        "person, reader or zone of an operator's command; `all`; `none` if no person has the card",
        in_details=True,
    ),
    RecordField("operator", _PERSONAL, "account of the operator"),
    RecordField("user", _PERSONAL, "user of the console", in_details=True),
    RecordField("address", _PERSONAL, "address of a client of the console", in_details=True),
    RecordField("role", _PUBLIC, "role of a user of the console", in_details=True),
    RecordField("permission", _PUBLIC, "permission in the console", in_details=True),
    RecordField("account", _PERSONAL, "account that ran an enrollment", in_details=True),
    RecordField("note", _PERSONAL, "reason that an operator or enrollment gave"),
    RecordField("liveness", _PERSONAL, "state of each liveness layer"),
    RecordField("after_s", _PERSONAL, "seconds that the gallery was unreadable", in_details=True),
    RecordField("model", _PUBLIC, "SHA-256 of the embedder"),
    RecordField("engine", _PUBLIC, "engine and precision"),
    RecordField("frame", _PUBLIC, "number of the camera frame", in_details=True),
    RecordField("frame_at", _PUBLIC, "exposure of the frame in monotonic seconds"),
    RecordField("track", _PUBLIC, "number of the track", in_details=True),
    RecordField("at", _PUBLIC, "time of a door event in monotonic seconds"),
    RecordField("grant_id", _PUBLIC, "id of the grant; the door refuses a repeated one"),
    RecordField(
        "record_id", _PUBLIC, "in the door's log: id of the decision of this grant", in_details=True
    ),
    RecordField(
        "decision",
        _PUBLIC,
        "in the log of decisions: id of the decision that the door answered or that is explained",
        in_details=True,
    ),
    RecordField(
        "others_in_zone",
        _PUBLIC,
        "in a grant, or `one-at-a-time`: other faces in `detector.zone`, of at least `min_face_px`",
        in_details=True,
    ),
    RecordField("lane", _PUBLIC, "lane of a door with several lanes", in_details=True),
    RecordField("reader", _PUBLIC, "name of a card or PIN reader", in_details=True),
    RecordField("missing", _PUBLIC, "factors of which a request needs one more", in_details=True),
    RecordField(
        "violations",
        _PUBLIC,
        "access rules that a grant violates and that are soft",
        in_details=True,
    ),
    RecordField("people", _PUBLIC, "number of people that the door knows", in_details=True),
    RecordField("outcome", _PUBLIC, "answer of the door process to a grant", in_details=True),
    RecordField("subjects", _PUBLIC, "number of enrolled people", in_details=True),
    RecordField("templates", _PUBLIC, "number of templates", in_details=True),
    RecordField(
        "left",
        _PUBLIC,
        "people without a template of the new model (model migration)",
        in_details=True,
    ),
    RecordField(
        "latches", _PUBLIC, "active states that survive a restart: fire, lockdown, tamper, duress"
    ),
    RecordField("lock", _PUBLIC, "`locked` or `unlocked`", in_details=True),
    RecordField("alarms", _PUBLIC, "active alarms of the door", in_details=True),
    RecordField("dropped", _PUBLIC, "door events that were not recorded", in_details=True),
    RecordField("left_out", _PUBLIC, "refusals that have no record of their own", in_details=True),
    RecordField("lost_s", _PUBLIC, "seconds without camera frames", in_details=True),
    RecordField("doubt", _PUBLIC, "reason why the clock is not trusted", in_details=True),
    RecordField("from", _PUBLIC, "first missing record, or gallery revision", in_details=True),
    RecordField("to", _PUBLIC, "last missing record, or gallery revision", in_details=True),
    RecordField("upto", _PUBLIC, "id of the last record that retention erased", in_details=True),
    RecordField("was", _PUBLIC, "hash of the last missing record, from the writer state"),
    RecordField(
        "lost", _PUBLIC, "records before this one that could not be written", in_details=True
    ),
    RecordField(
        "not_taken",
        _PUBLIC,
        "records that were dropped because the write queue was full",
        in_details=True,
    ),
    RecordField(
        "torn", _PUBLIC, "lines before this one that a power loss left invalid", in_details=True
    ),
    RecordField("score", _SEALED, "score of the best subject", in_details=True),
    RecordField("runner_up", _SEALED, "score of the second-best subject", in_details=True),
    RecordField(
        "comparison", _PUBLIC, "`1:1` with the holder of a presented card or PIN", in_details=True
    ),
    RecordField("threshold", _SEALED, "threshold that applied", in_details=True),
    RecordField(
        "votes", _SEALED, "frames in the voting window that name the subject", in_details=True
    ),
    RecordField("mask_worn", _SEALED, "probability of a mask", in_details=True),
    RecordField(
        "expected_similarity",
        _SEALED,
        "expected cosine to the embedding of the clear face",
        in_details=True,
    ),
    RecordField(
        "attention",
        _SEALED,
        "shares of the attention on eyes, nose, mouth and rest; mean of each map",
    ),
    RecordField(
        "explanation",
        _SEALED,
        "terms of the score by region, and the score with a region closed",
        in_details=True,
    ),
    RecordField("quality", _SEALED, "quality components"),
    RecordField("visible", _SEALED, "visibility components by the attention maps"),
    RecordField("box_xyxy", _SEALED, "face box in pixels"),
    RecordField("of", _PUBLIC, "only in the first record of a segment: terminal and log"),
    RecordField(
        "prev", _PUBLIC, "only in the first record of a segment: hash of the record before it"
    ),
    RecordField("commit", _PUBLIC, "SHA-256 of the personal part"),
    RecordField("hash", _PUBLIC, "SHA-256 of the previous hash and the public part"),
    RecordField("mac", _PUBLIC, "HMAC of the hash by the sealing key of this record"),
)
_PROTECTION = {field.name: field.protection for field in FIELDS}
NOT_IN_DETAILS = frozenset(field.name for field in FIELDS if not field.in_details) | {"erased"}


def split_fields(fields: Fields) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the public, personal and sealed fields."""
    split: dict[FieldClass, dict[str, Any]] = {each: {} for each in FieldClass}
    for name, value in fields.items():
        split[_PROTECTION.get(name, FieldClass.PERSONAL)][name] = value
    return split[FieldClass.PUBLIC], split[FieldClass.PERSONAL], split[FieldClass.SEALED]
