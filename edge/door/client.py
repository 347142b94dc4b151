"""The recogniser's side of the door socket: every call ends within its timeout, a lost door is an answer."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from edge.door import protocol
from edge.errors import DoorError
from edge.values import Grant


class DoorClient:
    """Connects when it is needed and again after a loss."""

    def __init__(self, path: Path, *, timeout_s: float = 0.5) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self.warning = ""  # what the door added to its last answer to a command

    def grant(self, grant: Grant) -> str | None:
        """Ask the door to open; None if it did, else its reason. Raises DoorError where no door answers."""
        kind, fields = self._request("grant", protocol.grant_fields(grant))
        return None if kind == "granted" else str(fields.get("reason", "refused"))

    def status(self) -> dict[str, Any]:
        """`state`, `reason`, `relocks_in_s`, `alarms`, `records_lost`, `reload_refused`, `inputs`.

        Raises DoorError where no door answers.
        """
        return self._request("status", {})[1]

    def command(self, command: str, note: str) -> str | None:
        """Ask as an operator; None where it was done, else why not. Raises DoorError where no door answers."""
        kind, fields = self._request("command", protocol.command_fields(command, note))
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
            if (
                not answer and reused
            ):  # the door was started anew since; it refuses a grant that it has seen
                answer = self._exchange(packet)
        except OSError as error:
            raise DoorError(
                f"{self._path}: the door process does not answer ({error}); is edge-door running?"
            ) from error
        if not answer:
            raise DoorError(
                f"{self._path}: the door process closed the connection; is this account in `door.clients` or `door.operators`?"
            )
        return protocol.decode(answer)

    def _exchange(self, packet: bytes) -> bytes:
        """One packet there and back; empty where the connection is gone. Raises OSError."""
        try:
            connection = self._connect()
            connection.send(packet)
            answer = connection.recv(protocol.PACKET_MAX)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        except OSError:
            self.close()  # an answer that comes late must not be taken for the next one
            raise
        if not answer:
            self.close()
        return answer

    def _connect(self) -> socket.socket:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            fresh.settimeout(self._timeout_s)
            try:
                fresh.connect(str(self._path))
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket
