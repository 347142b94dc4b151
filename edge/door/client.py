"""Client of the door's socket. Each call ends within a timeout."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from edge.door import protocol
from edge.errors import DoorError
from edge.system.unix_sockets import connect
from edge.values import Grant

WAITING = "waiting"  # instead of a refusal


class DoorClient:
    """Connects at the first call, and again after a lost connection."""

    def __init__(self, path: Path, *, timeout_s: float = 0.5) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self.warning = ""  # of the latest answer to a command; empty if there is none
        self.waiting: protocol.WaitingAnswer | None = None  # answer to the latest grant

    def grant(self, grant: Grant) -> str | None:
        """Request to unlock; return why it was refused, None if the door unlocked.

        `waiting` is set if another factor or person is missing. Raises DoorError if the door
        process does not answer.
        """
        kind, fields = self._request("grant", protocol.grant_fields(grant))
        self.waiting = protocol.parse_waiting(fields) if kind == "waiting" else None
        if self.waiting is not None:
            return WAITING
        return None if kind == "granted" else str(fields.get("reason", "refused"))

    def claim(self, lane: str) -> str | None:
        """Return the person whose card or PIN waits for a face at a lane.

        Raises DoorError if the door process refuses the lane or does not answer.
        """
        kind, fields = self._request("claim", protocol.claim_fields(lane))
        if kind == "refused":
            raise DoorError(f"{self._path}: request for cards and PINs: {fields.get('reason')}")
        return protocol.parse_claim(fields)

    def panel_verdict(self, grant_id: str) -> str | None:
        """Return what the access control panel decided about a grant, None if it has not yet.

        Raises DoorError if the door process does not answer.
        """
        return protocol.parse_verdict(self._request("verdict", {"id": grant_id})[1])

    def learned_card(self, target: str) -> tuple[str, str]:
        """Return the state of `learn-card` for `READER=NAME`, and once the digest of its card.

        Raises DoorError if the door process does not answer.
        """
        return protocol.parse_learned(self._request("learned", {"target": target})[1])

    def status(self) -> dict[str, Any]:
        """Return `terminal`, `door`, `instance`, `state`, `reason`, `relocks_in_s`, `alarms`,
        `records_lost`, `clock`, `inputs`, `reload_refused`, and `access` for operators.

        Raises DoorError if the door process does not answer.
        """
        return self._request("status", {})[1]

    def command(self, command: str, note: str, argument: str = "", *, user: str = "") -> str | None:
        """Send an operator's command; return why it was refused, None if it was done.

        `user`: user of the console that sends it by this account, for the audit log.

        Raises DoorError if the door process does not answer.
        """
        request = protocol.command_fields(command, note, argument, user)
        kind, fields = self._request("command", request)
        self.warning = str(fields.get("note", ""))
        return None if kind == "done" else str(fields.get("reason", "refused"))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _request(self, kind: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        packet = protocol.encode(kind, fields)
        reused = self._socket is not None
        try:
            answer = self._exchange(packet)
            if not answer and reused:  # the door was restarted; it refuses a repeated grant
                answer = self._exchange(packet)
        except OSError as error:
            raise DoorError(
                f"{self._path}: no answer from the door process: {error.strerror or error}; is "
                "edge-door running?"
            ) from error
        if not answer:
            raise DoorError(
                f"{self._path}: the door process closed the connection; is this account in "
                "`door.clients` or `door.operators`?"
            )
        return protocol.decode(answer)

    def _exchange(self, packet: bytes) -> bytes:
        """Return the answer to a packet, empty if the connection is lost. Raises OSError."""
        try:
            connection = self._connect()
            connection.send(packet)
            answer = connection.recv(protocol.PACKET_MAX)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        except OSError:
            self.close()  # a late answer must not count as the next one
            raise
        if not answer:
            self.close()
        return answer

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket = connect(self._path, socket.SOCK_SEQPACKET, self._timeout_s)
        return self._socket
