"""Frames of the recogniser's camera for an enrollment, over a Unix socket, one client at a time.

Each frame is a header and the bytes of the picture. The client answers with one byte when it wants
the next frame: it gets the newest one, and a stalled client is noticed. No file is written. All
waiting is done in threads, so that the caller of `publish` never waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.camera.capture import FrameSlot
from edge.codes import Code
from edge.errors import CameraError
from edge.system.accounts import account_name
from edge.system.stream_server import StreamServer
from edge.system.unix_sockets import connect, peer_uid, receive_exactly
from edge.values import FRAME_AGE_MAX_S, Frame

log = logging.getLogger(__name__)

HEADER = struct.Struct("<4sIIdQ")  # kind, height, width, monotonic seconds, number
FRAME, BUSY, OVER = b"FRAM", b"BUSY", b"OVER"
NEXT = b"+"

STALL_S = 5.0
SESSION_S = 180.0
_POLL_S = 0.2  # interval of checking for the end of a session while there are no frames
_SIDE_MAX = 8192


class SessionEnd(Code):
    """Why an enrollment ended its use of the camera. Stored in records: never change a value."""

    FINISHED = "finished", "the enrollment was finished or stopped"
    STALLED = "stalled", "the enrollment took no frames"
    TIME_UP = "time-up", "the enrollment took longer than is allowed"
    CLOSED = "closed", "the recogniser ended"


@dataclass(slots=True, eq=False)
class FrameSession:
    """Session of one client."""

    account: str
    frames: int = 0
    ended: SessionEnd | None = None  # None during the session


class FrameServer:
    """Server in the recogniser. `session` is set before the first frame is sent."""

    def __init__(
        self,
        path: Path,
        *,
        stall_s: float = STALL_S,
        session_s: float = SESSION_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen at `path`; the caller holds the lock file of its folder. Raises CameraError."""
        self._stall_s, self._session_s, self._clock = stall_s, session_s, clock
        self._slot = FrameSlot()
        self._stopped = False
        self.session: FrameSession | None = None
        self._server = _open_server(path, self._admit)

    def publish(self, frame: Frame) -> None:
        """Offer the newest frame to the session; never waits."""
        self._slot.put(frame)

    def close(self) -> None:
        self._stopped = True
        self._server.close()

    def _admit(self, peer: socket.socket) -> None:
        uid = peer_uid(peer)
        peer.settimeout(self._stall_s)
        if uid not in (0, os.geteuid()):
            log.warning("refused the camera's frames to user %d: not root or this account", uid)
            peer.close()
        elif self.session is not None:
            with contextlib.suppress(OSError), peer:
                peer.sendall(HEADER.pack(BUSY, 0, 0, 0.0, 0))
        else:
            slot, session = FrameSlot(), FrameSession(account_name(uid))  # no earlier frame
            threading.Thread(
                target=self._serve, args=(peer, slot, session), name="frame-session", daemon=True
            ).start()
            self._slot, self.session = slot, session

    def _serve(self, peer: socket.socket, slot: FrameSlot, session: FrameSession) -> None:
        ended = SessionEnd.FINISHED
        try:
            ended = self._send_frames(peer, slot, session)
            peer.sendall(HEADER.pack(OVER, 0, 0, 0.0, 0))
        except TimeoutError:
            ended = SessionEnd.STALLED
        except OSError:  # the client disconnected
            pass
        finally:
            peer.close()
            session.ended = ended
            self.session = None

    def _send_frames(
        self, peer: socket.socket, slot: FrameSlot, session: FrameSession
    ) -> SessionEnd:
        """Send frames until the session ends; return why. Raises TimeoutError, OSError."""
        ends_at = self._clock() + self._session_s
        while not self._stopped:
            if self._clock() >= ends_at:
                return SessionEnd.TIME_UP
            frame = slot.take(_POLL_S)
            if frame is None:
                if _is_disconnected(peer):
                    return SessionEnd.FINISHED
                continue
            height, width = frame.image.shape[:2]
            peer.sendall(HEADER.pack(FRAME, height, width, frame.at, frame.number))
            peer.sendall(np.ascontiguousarray(frame.image).data)
            session.frames += 1
            if not peer.recv(1):
                return SessionEnd.FINISHED
        return SessionEnd.CLOSED


class RemoteCamera:
    """Camera of an enrollment whose frames come from the recogniser."""

    def __init__(self, path: Path, *, timeout_s: float = STALL_S) -> None:
        """Connect to the recogniser. Raises CameraError."""
        self._path = path
        self._must_request = False  # the first frame is sent without a request
        try:
            self._socket = connect(path, socket.SOCK_STREAM, timeout_s)
        except OSError as error:
            raise CameraError(
                f"{path}: edge-daemon has the camera and cannot be reached: "
                f"{error.strerror or error}; if it is starting, try again, else stop it"
            ) from error

    def read(self) -> Frame | None:
        """Return the newest frame that is not too old.

        Raises CameraError if the recogniser sends no frames, or stops sending them.
        """
        while time.monotonic() - (frame := self._next()).at > FRAME_AGE_MAX_S:
            log.debug("frame %d of edge-daemon is too old", frame.number)
        return frame

    def _next(self) -> Frame:
        try:
            if self._must_request:
                self._socket.sendall(NEXT)
            kind, height, width, at, number = HEADER.unpack(self._receive(HEADER.size))
            if kind != FRAME:
                unknown = f"{self._path}: unknown answer {kind!r}; are both of one version?"
                raise CameraError(_REFUSALS.get(kind, unknown))
            if not (0 < height <= _SIDE_MAX and 0 < width <= _SIDE_MAX):
                raise CameraError(
                    f"{self._path}: a frame of {width}x{height} pixels; are both of one version?"
                )
            pixels = self._receive(height * width * 3)
        except TimeoutError as error:
            raise CameraError(
                "edge-daemon has the camera and sends no frames; see its log for the state of the "
                "camera"
            ) from error
        except CameraError:
            raise
        except OSError as error:
            raise CameraError(
                f"edge-daemon sends no frames any more: {error.strerror or error}"
            ) from error
        self._must_request = True
        return Frame(np.frombuffer(pixels, np.uint8).reshape(height, width, 3), at, number)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, size: int) -> bytearray:
        data = receive_exactly(self._socket, size)
        if data is None:
            raise CameraError(
                "edge-daemon closed the connection; it stopped, or refuses this account"
            )
        return data


_REFUSALS = {
    BUSY: "another enrollment uses this camera; wait until it is done",
    OVER: f"edge-daemon ended the session: limit {SESSION_S / 60:.0f} minutes; start it again",
}


def _is_disconnected(peer: socket.socket) -> bool:
    """Return True if the client disconnected; it sends nothing before its first frame."""
    ready = select.poll()  # a socket with a timeout waits in `recv` even with MSG_DONTWAIT
    ready.register(peer, select.POLLIN)
    return bool(ready.poll(0)) and not peer.recv(1, socket.MSG_PEEK)


def _open_server(path: Path, admit: Callable[[socket.socket], None]) -> StreamServer:
    try:
        return StreamServer(path, 0o600, admit)
    except OSError as error:
        raise CameraError(
            f"{path}: cannot listen: {error.strerror or error}; check the folder and its rights"
        ) from error
