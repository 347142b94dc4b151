"""The recogniser lends its camera's frames to an enrollment: raw, by a socket, to one borrower at a time.

A header and the picture's bytes per frame; the borrower answers each with one byte when it wants the next, so that the newest
frame wins and one who stalls is noticed. No file is written. All waiting happens in threads of their own: the loop that offers
frames never waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
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
from edge.errors import CameraError
from edge.system.unix_sockets import listen, peer_uid
from edge.values import FRAME_AGE_MAX_S, Frame

log = logging.getLogger(__name__)

HEADER = struct.Struct("<4sIIdQ")  # kind, height, width, monotonic seconds, number
FRAME, BUSY, OVER = b"FRAM", b"BUSY", b"OVER"
NEXT = b"+"

STALL_S = 5.0
SESSION_S = 180.0
_LOOK_S = 0.2  # how often a loan looks whether it is over while there are no frames
_SIDE_MAX = 8192


@dataclass(slots=True, eq=False)
class FrameSession:
    """One borrower's time."""

    account: str
    frames: int = 0
    ended: str = ""  # finished, stalled, time-up or closed; empty as long as it lasts


class FrameServer:
    """The daemon's end. `loan` is set before the first frame is lent, so that whoever offers can tell before."""

    def __init__(
        self,
        path: Path,
        *,
        stall_s: float = STALL_S,
        session_s: float = SESSION_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises CameraError where it cannot listen. The caller holds the claim on the place."""
        self._path, self._stall_s, self._session_s, self._clock = path, stall_s, session_s, clock
        self._slot = FrameSlot()
        self._stopped = False
        self.session: FrameSession | None = None
        self._listener = _listen(path)
        threading.Thread(target=self._accept, name="lending", daemon=True).start()

    def publish(self, frame: Frame) -> None:
        """The newest frame; never waits."""
        self._slot.put(frame)

    def close(self) -> None:
        self._stopped = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._stopped:
            try:
                peer, _ = self._listener.accept()
                self._admit(peer)
            except (
                OSError,
                RuntimeError,
            ) as error:  # out of descriptors or threads: they come back
                if not self._stopped:
                    log.warning("a borrower of the camera was not served: %s", error)
                    time.sleep(_LOOK_S)

    def _admit(self, peer: socket.socket) -> None:
        uid = peer_uid(peer)
        peer.settimeout(self._stall_s)
        if uid not in (0, os.geteuid()):
            log.warning("user %d asked for the camera's frames and was refused", uid)
            peer.close()
        elif self.session is not None:
            with contextlib.suppress(OSError), peer:
                peer.sendall(HEADER.pack(BUSY, 0, 0, 0.0, 0))
        else:
            slot, loan = FrameSlot(), FrameSession(_account(uid))  # nothing that was seen before
            threading.Thread(
                target=self._serve, args=(peer, slot, loan), name="loan", daemon=True
            ).start()
            self._slot, self.session = slot, loan

    def _serve(self, peer: socket.socket, slot: FrameSlot, loan: FrameSession) -> None:
        ended = "finished"
        try:
            ended = self._send_frames(peer, slot, loan)
            peer.sendall(HEADER.pack(OVER, 0, 0, 0.0, 0))
        except TimeoutError:
            ended = "stalled"
        except OSError:  # it went away
            pass
        finally:
            peer.close()
            loan.ended = ended
            self.session = None

    def _send_frames(self, peer: socket.socket, slot: FrameSlot, loan: FrameSession) -> str:
        """Until the borrower or the time is over; why. Raises TimeoutError, OSError."""
        ends_at = self._clock() + self._session_s
        while not self._stopped:
            if self._clock() >= ends_at:
                return "time-up"
            frame = slot.take(_LOOK_S)
            if frame is None:
                if _has_gone(peer):
                    return "finished"
                continue
            height, width = frame.image.shape[:2]
            peer.sendall(HEADER.pack(FRAME, height, width, frame.at, frame.number))
            peer.sendall(np.ascontiguousarray(frame.image).data)
            loan.frames += 1
            if not peer.recv(1):
                return "finished"
        return "closed"


class RemoteCamera:
    """The enrollment's end: a camera whose frames come from the daemon that has it."""

    def __init__(self, path: Path, *, timeout_s: float = STALL_S) -> None:
        """Raises CameraError."""
        self._path = path
        self._owed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise CameraError(
                f"an edge-daemon runs here and cannot be asked for its camera ({path}: {error.strerror or error}); "
                "it may still be starting: try again, or stop it meanwhile"
            ) from error

    def read(self) -> Frame | None:
        """Return the newest frame that is not too old.

        Raises CameraError if the daemon lends no frames, or stops lending them.
        """
        while time.monotonic() - (frame := self._next()).at > FRAME_AGE_MAX_S:
            log.debug("frame %d of the daemon is too old", frame.number)
        return frame

    def _next(self) -> Frame:
        try:
            if self._owed:
                self._socket.sendall(NEXT)
            kind, height, width, at, number = HEADER.unpack(self._receive(HEADER.size))
            if kind != FRAME:
                raise CameraError(
                    _REFUSALS.get(
                        kind, f"{self._path}: not what edge-daemon says; are both of one version?"
                    )
                )
            if not (0 < height <= _SIDE_MAX and 0 < width <= _SIDE_MAX):
                raise CameraError(
                    f"{self._path}: a frame of {width}x{height} pixels; are both of one version?"
                )
            pixels = self._receive(height * width * 3)
        except TimeoutError as error:
            raise CameraError(
                "edge-daemon has the camera and shows no frames; is the camera lost? its log says"
            ) from error
        except CameraError:
            raise
        except OSError as error:
            raise CameraError(
                f"edge-daemon lends its camera no longer: {error.strerror or error}"
            ) from error
        self._owed = True
        return Frame(np.frombuffer(pixels, np.uint8).reshape(height, width, 3), at, number)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, size: int) -> bytearray:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            count = self._socket.recv_into(view[got:])
            if not count:
                raise CameraError(
                    "edge-daemon lends its camera no longer; it stopped, or refuses this account"
                )
            got += count
        return data


_REFUSALS = {
    BUSY: "somebody else enrolls from this camera; wait until they are done",
    OVER: "edge-daemon took its camera back: an enrollment has 3 minutes; begin again",
}


def _has_gone(peer: socket.socket) -> bool:
    """Whether the other end hung up; it has nothing to say before it got a frame."""
    ready = select.poll()  # a socket with a timeout would wait in `recv`, whatever its flags say
    ready.register(peer, select.POLLIN)
    return bool(ready.poll(0)) and not peer.recv(1, socket.MSG_PEEK)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _listen(path: Path) -> socket.socket:
    try:
        return listen(path, socket.SOCK_STREAM, 0o600, 16)
    except OSError as error:
        raise CameraError(
            f"{path}: cannot listen there: {error.strerror or error}; check folder and rights"
        ) from error
