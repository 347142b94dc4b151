"""Messages of the door's socket: one JSON object per packet (Unix SOCK_SEQPACKET), version 1."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from edge.config.lane import PANEL
from edge.errors import DoorError
from edge.names import NAME_MAX, is_name, is_printable, normalize_name
from edge.system.strict_json import read_json
from edge.values import Grant

VERSION = 1
PACKET_MAX = 16384
_TEXT_MAX = 256
USER_MAX = 64
_COMMAND = {"command", "argument", "note"}
_GRANT: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "subject": (str,),
    "record_id": (int,),
    "frame_at": (int, float),
    "lane": (str,),
    "masked": (bool,),
    "claimed": (bool,),
}
_MISSING = frozenset({"face", "card", "pin", PANEL})


def encode(kind: str, fields: dict[str, Any]) -> bytes:
    return json.dumps(
        {"v": VERSION, "kind": kind, **fields}, ensure_ascii=False, allow_nan=False
    ).encode()


def decode(packet: bytes) -> tuple[str, dict[str, Any]]:
    """Return kind and fields of a packet. Raises DoorError if it is not valid."""
    try:
        message = read_json(packet)
    except ValueError as error:
        raise DoorError("malformed: expected one JSON object per packet") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise DoorError("malformed: expected an object with `v` and `kind`")
    if message.pop("v", None) != VERSION:
        raise DoorError(
            f"version: expected protocol version {VERSION}; "
            "run both processes from one installation"
        )
    return message.pop("kind"), message


def grant_fields(grant: Grant) -> dict[str, Any]:
    """Return the fields of a request; the door process adds its own."""
    return {name: value for name, value in asdict(grant).items() if name in _GRANT}


def parse_grant(fields: dict[str, Any]) -> Grant:
    """Return a grant. Raises DoorError for a missing or unknown field, or a wrong type."""
    if fields.keys() != _GRANT.keys():
        raise DoorError(f"malformed: expected the fields {', '.join(_GRANT)}")
    for name, expected in _GRANT.items():
        value = fields[name]
        if type(value) not in expected or (isinstance(value, str) and not _is_plain(value)):
            raise DoorError(f"malformed: {name} is not of the expected type or length")
    subject = fields["subject"]
    if not is_name(subject) or len(normalize_name(subject)) > NAME_MAX:  # it may get longer
        raise DoorError("malformed: subject is not the name of a person")
    try:
        return Grant(**{**fields, "frame_at": float(fields["frame_at"])})
    except OverflowError as error:
        raise DoorError("malformed: frame_at is out of range") from error


@dataclass(frozen=True, slots=True)
class WaitingAnswer:
    """Answer to a grant whose request is not complete."""

    missing: tuple[str, ...]  # card, pin, face; panel: its answer; empty: a second person
    until: float  # monotonic seconds


def waiting_fields(missing: list[str], until: float) -> dict[str, Any]:
    return {"missing": missing, "until": until}


def parse_waiting(fields: dict[str, Any]) -> WaitingAnswer:
    """Return the answer of the door. Raises DoorError."""
    missing, until = fields.get("missing"), fields.get("until")
    if (
        fields.keys() != {"missing", "until"}
        or not isinstance(missing, list)
        or not isinstance(until, float)
        or not all(isinstance(factor, str) and factor in _MISSING for factor in missing)
    ):
        raise DoorError("malformed: expected the missing factors and a time")
    return WaitingAnswer(tuple(missing), until)


def claim_fields(lane: str) -> dict[str, Any]:
    return {"lane": lane}


def parse_claim_lane(fields: dict[str, Any]) -> str:
    """Return the lane of a request for a claim. Raises DoorError."""
    lane = fields.get("lane")
    if fields.keys() != {"lane"} or not isinstance(lane, str) or not _is_plain(lane):
        raise DoorError("malformed: expected a lane")
    return lane


def parse_claim(fields: dict[str, Any]) -> str | None:
    """Return the person whose card or PIN waits for a face, None if none does; raises DoorError."""
    person = fields.get("person")
    if fields.keys() != {"person"} or not isinstance(person, str):
        raise DoorError("malformed: expected a person")
    return person or None


def parse_verdict(fields: dict[str, Any]) -> str | None:
    """Return what the panel decided about a grant, None if it has not; raises DoorError."""
    verdict = fields.get("verdict")
    if fields.keys() != {"verdict"} or not isinstance(verdict, str):
        raise DoorError("malformed: expected a verdict")
    return verdict or None


def parse_learned(fields: dict[str, Any]) -> tuple[str, str]:
    """Return the state of learning a card, and the digest of the card; raises DoorError."""
    if fields.keys() != {"state", "digest"} or not all(isinstance(v, str) for v in fields.values()):
        raise DoorError(f"the card cannot be learned: {fields.get('reason', 'malformed answer')}")
    return fields["state"], fields["digest"]


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """Command of an operator."""

    command: str
    argument: str  # name, reader or zone; empty if there is none
    note: str  # the operator's reason
    user: str = ""  # user of the console that sent the command; stated by its account


def command_fields(command: str, note: str, argument: str, user: str) -> dict[str, Any]:
    fields = {"command": command, "argument": argument, "note": note}
    return {**fields, "user": user} if user else fields


def parse_command(fields: dict[str, Any]) -> CommandRequest:
    """Return a command with the operator's reason for it. Raises DoorError."""
    if fields.keys() - {"user"} != _COMMAND:
        raise DoorError("malformed: expected a command, its argument and a reason")
    if not all(isinstance(value, str) for value in fields.values()):
        raise DoorError("malformed: expected texts as command, argument, reason and user")
    check_reason(fields["note"])
    if fields["argument"] and not _is_plain(fields["argument"]):
        raise DoorError("malformed: the argument is not of the expected length or characters")
    if "user" in fields and not (0 < len(fields["user"]) <= USER_MAX and _is_plain(fields["user"])):
        raise DoorError(f"malformed: expected a user of 1 to {USER_MAX} printable characters")
    return CommandRequest(**fields)


def check_reason(text: str) -> None:
    """Raise DoorError for an operator's reason that the audit log cannot hold."""
    if not _is_plain(text):
        raise DoorError(
            f"reason: expected 1 to {_TEXT_MAX} printable characters, found {len(text)}: "
            f"{text[:40]!r}"
        )


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _TEXT_MAX and is_printable(text)
