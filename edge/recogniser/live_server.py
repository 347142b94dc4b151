"""Server of the live socket. Threads wait for clients; the main loop only replaces a reference."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.camera.zone_picture import ZonePicture
from edge.face.boxes import is_centre_in_zone
from edge.live import protocol
from edge.live.protocol import Camera, LiveDoorAnswer, LiveFace, LiveStatistics, LiveView
from edge.recogniser.live_faces import ShownFace
from edge.system.stream_server import StreamServer
from edge.values import Frame, Zone

log = logging.getLogger(__name__)

_POLL_S = 0.01  # a new view is noticed after this time at the latest
MODE = 0o660  # for members of the recogniser's group


@dataclass(frozen=True, slots=True, eq=False)
class LiveScene:
    """State of the recogniser, with references to what it used anyway."""

    at: float  # monotonic seconds
    wall: float  # Unix seconds
    number: int  # of the frame
    camera: Camera
    frame: Frame | None
    zone: Zone
    faces: tuple[ShownFace, ...]  # also those outside the zone
    answer: LiveDoorAnswer | None


class LiveMessage:
    """View and picture of a scene, made at the first request and once for all clients."""

    def __init__(self, scene: LiveScene, read_statistics: Callable[[], LiveStatistics]) -> None:
        self.frame = scene.frame
        self._scene, self._read_statistics = scene, read_statistics
        self._lock = threading.Lock()
        self._view: bytes | None = None
        self._picture: bytes | None = None

    def view(self) -> bytes:
        """Return the view as JSON."""
        with self._lock:
            if self._view is None:
                self._view = protocol.encode_view(self._build_view())
            return self._view

    def picture(self) -> bytes:
        """Return the picture as JPEG, empty if there is none."""
        scene = self._scene
        if scene.frame is None:
            return b""
        with self._lock:
            if self._picture is None:
                outside = [one.face.box_xyxy for one in scene.faces if not self._is_in_zone(one)]
                self._picture = ZonePicture(scene.frame.image, scene.zone).encode(outside)
            return self._picture

    def _is_in_zone(self, one: ShownFace) -> bool:
        scene = self._scene
        return scene.frame is not None and is_centre_in_zone(
            one.face.box_xyxy, scene.frame.image.shape, scene.zone
        )

    def _build_view(self) -> LiveView:
        scene = self._scene
        faces: tuple[LiveFace, ...] = ()
        width = height = 0
        if scene.frame is not None:
            picture = ZonePicture(scene.frame.image, scene.zone)
            width, height = picture.width, picture.height
            shown = [one for one in scene.faces if self._is_in_zone(one)]
            nearest = max(shown, key=lambda one: one.face.width_px, default=None)
            faces = tuple(_build_face(one, picture, is_nearest=one is nearest) for one in shown)
        answer = scene.answer
        is_shown = answer is not None and any(one.track == answer.track for one in faces)
        return LiveView(
            at=scene.at,
            wall=scene.wall,
            number=scene.number,
            width=width,
            height=height,
            camera=scene.camera,
            faces=faces,
            door=answer if is_shown else None,
            stats=self._read_statistics(),
        )


def _build_face(one: ShownFace, picture: ZonePicture, *, is_nearest: bool) -> LiveFace:
    return LiveFace(
        box=picture.locate(one.face.box_xyxy),
        track=one.track,
        reason=one.decision.reason.value,
        progress=round(one.progress, 3),
        verdict=one.decision.verdict.value,
        nearest=is_nearest,
    )


class LiveServer:
    """Sends the newest message to each client that requests one."""

    def __init__(
        self, path: Path, first: LiveMessage, *, stall_s: float = protocol.STALL_S
    ) -> None:
        """Listen at `path`; the caller holds the lock file of its folder. Raises OSError."""
        self._stall_s = stall_s
        self._newest = (1, first)  # version and message
        self._lock = threading.Lock()  # of the peers
        self._peers: set[socket.socket] = set()
        self._closed = threading.Event()
        self._server = StreamServer(path, MODE, self._admit)

    def publish(self, message: LiveMessage) -> None:
        """Replace the newest message, without a lock and without waking a thread.

        A thread that is woken may take the core of the caller.
        """
        self._newest = (self._newest[0] + 1, message)

    def close(self) -> None:
        """Disconnect all clients."""
        self._server.close()
        with self._lock:
            self._closed.set()
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    def _admit(self, peer: socket.socket) -> None:
        with self._lock:
            is_admitted = not self._closed.is_set() and len(self._peers) < protocol.CLIENTS_MAX
            if is_admitted:
                self._peers.add(peer)
        if not is_admitted:
            peer.close()
            return
        try:
            threading.Thread(
                target=self._serve, args=(peer,), name="live client", daemon=True
            ).start()
        except RuntimeError:
            self._drop(peer)
            raise

    def _serve(self, peer: socket.socket) -> None:
        try:
            peer.settimeout(self._stall_s)
            self._answer_requests(peer)
        except OSError as error:  # stalled or disconnected
            log.debug("a client of the live view is disconnected: %s", error)
        finally:
            self._drop(peer)

    def _answer_requests(self, peer: socket.socket) -> None:
        """Answer until the client disconnects or sends anything else. Raises OSError."""
        version, frame = 0, None
        while not self._closed.is_set() and peer.recv(1) == protocol.NEXT:
            version, message = self._wait_newer(version)
            view = message.view()
            picture = message.picture() if message.frame is not frame else b""
            frame = message.frame
            peer.sendall(protocol.encode_header(view, picture) + view + picture)

    def _wait_newer(self, version: int) -> tuple[int, LiveMessage]:
        """Return the newest version and message; waits a limited time for one after `version`."""
        ends = time.monotonic() + protocol.REPEAT_S
        while self._newest[0] <= version and time.monotonic() < ends:
            if self._closed.wait(_POLL_S):
                break
        return self._newest

    def _drop(self, peer: socket.socket) -> None:
        with self._lock:
            self._peers.discard(peer)
        peer.close()
