"""Which fields of a record may be kept as long as the record, which tell of a person, and which help whoever tries out faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, Any]

# Whatever is not named here tells of a person, and is erased when its time has come: a new field is safe by default.
PUBLIC = frozenset({
    "kind", "event", "verdict", "reason", "model", "engine", "frame", "frame_at", "track", "at", "grant_id", "record_id",
    "decision", "outcome", "subjects", "templates", "left", "latches", "latest_believed", "lost", "not_taken", "left_out",
    "from", "to", "upto", "was", "lost_s", "doubt", "clock_confirmed", "dropped", "alarms", "lock",
})  # fmt: skip
# Sealed where the record has a seal: with these at hand a picture can be changed until it passes.
SEALED = frozenset(
    {
        "score",
        "runner_up",
        "threshold",
        "votes",
        "attention",
        "quality",
        "visible",
        "mask_worn",
        "box_xyxy",
    }
)


def split_fields(fields: Fields) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Public, personal, and what is to be sealed."""
    public: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    sealed: dict[str, Any] = {}
    for name, value in fields.items():
        (public if name in PUBLIC else sealed if name in SEALED else personal)[name] = value
    return public, personal, sealed
