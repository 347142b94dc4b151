"""Newest faces of each lane, published in memory for the other recognisers of a terminal.

Each recogniser replaces its own file `INSTANCE.faces` in a folder of the file system in memory. All
files have one size. The content of the other files is checked before use: a damaged, foreign or old
one counts as a lane without faces, and so does a recogniser that ended or hangs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.config import TerminalConfig
from edge.config.lane import LABEL_PATTERN
from edge.errors import ConfigError
from edge.system.atomic_files import read_regular, write_in_memory

log = logging.getLogger(__name__)

FRESH_S = 0.5  # older faces of other lanes do not count
FACES_MAX = 8  # published faces of one lane
NO_SUBJECT = bytes(16)
_LANES_MAX = 16  # other lanes that are read
_RANK_MAX = 100.0
_NORM_TOLERANCE = 1e-3
_MAGIC = b"mfsalan1"
_HEADER = struct.Struct("<8s16sdII")  # magic, model, monotonic seconds, faces, dimension
_FACE = struct.Struct("<dd?7x16s")  # monotonic seconds, rank, grant, digest of the subject
_NAME = re.compile(rf"({LABEL_PATTERN})\.faces")


@dataclass(frozen=True, slots=True, eq=False)
class LaneFace:
    """Newest face of one track at a lane."""

    instance: str  # name of the recogniser
    seen_at: float  # monotonic seconds
    rank: float  # see edge/recogniser/lane_guard.py
    embedding: NDArray[np.float32]  # (D,) unit norm, of the track; zeros: not known yet
    subject: bytes = NO_SUBJECT  # digest of the subject that the track was identified as
    has_grant: bool = False  # access was granted at the lane


@dataclass(frozen=True, slots=True, eq=False)
class OtherLanes:
    """Other lanes of a terminal."""

    running: int  # lanes that published a short time ago
    faces: list[LaneFace]


class LaneFaceFiles:
    """Files of the lanes of one terminal; `instance` is the name of the own recogniser."""

    def __init__(self, folder: Path, instance: str, model: str, dimension: int) -> None:
        """Open the folder; `model` is the digest of the embedder. Raises ConfigError."""
        self.instance = instance
        self._folder, self._path = folder, folder / f"{instance}.faces"
        self._model, self._dimension = bytes.fromhex(model)[:16], dimension
        self._size = _HEADER.size + FACES_MAX * (_FACE.size + 4 * dimension)
        self.no_embedding = np.zeros(dimension, np.float32)
        self._has_failed = False
        self._late: set[str] = set()  # other lanes that have stopped publishing
        _open_folder(folder)

    def write(self, faces: Sequence[LaneFace], at: float) -> None:
        """Publish faces, at most `FACES_MAX`; a failure is logged once.

        To be called for frames without faces too: a lane that does not publish counts as ended.
        """
        faces = faces[:FACES_MAX]
        content = bytearray(_HEADER.pack(_MAGIC, self._model, at, len(faces), self._dimension))
        for face in faces:
            content += _FACE.pack(face.seen_at, face.rank, face.has_grant, face.subject)
            content += np.asarray(face.embedding, "<f4").tobytes()
        content += bytes(self._size - len(content))
        try:
            self._replace(bytes(content))
        except (OSError, ConfigError) as error:
            if not self._has_failed:
                log.error(
                    "%s: cannot write, so other lanes may grant access to a person at this one: "
                    "%s; free memory, or check the rights of the folder",
                    self._path,
                    error,
                )
            self._has_failed = True
        else:
            self._has_failed = False

    def read(self, at: float) -> OtherLanes:
        """Return the other lanes with their faces that are not too old at a time."""
        contents = [self._read_lane(path, at) for path in self._list_others()]
        lanes = [faces for faces in contents if faces is not None]
        return OtherLanes(len(lanes), [face for faces in lanes for face in faces])

    def close(self) -> None:
        """Remove the own file, and the folder with the last one."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._folder.rmdir()

    def _replace(self, content: bytes) -> None:
        """Replace the own file. Raises OSError, ConfigError."""
        try:
            write_in_memory(self._path, content)
        except FileNotFoundError:  # another lane that ended has removed the folder
            _open_folder(self._folder)
            write_in_memory(self._path, content)

    def _list_others(self) -> list[Path]:
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            return []
        return [
            path for path in paths if _NAME.fullmatch(path.name) and path.name != self._path.name
        ][:_LANES_MAX]

    def _read_lane(self, path: Path, at: float) -> list[LaneFace] | None:
        """Return the valid faces of a file, None if it is not a valid one or too old."""
        try:
            content = read_regular(path, self._size)
        except OSError:
            return None
        if len(content) != self._size:
            return None
        magic, model, written_at, count, dimension = _HEADER.unpack_from(content)
        known = (_MAGIC, self._model, self._dimension)
        if (magic, model, dimension) != known or count > FACES_MAX:
            return None
        if not self._is_published(path.stem, written_at, at):
            return None
        instance, offset, faces = path.stem, _HEADER.size, []
        for _ in range(count):
            seen_at, rank, has_grant, subject = _FACE.unpack_from(content, offset)
            offset += _FACE.size
            embedding = np.frombuffer(content, "<f4", self._dimension, offset)
            offset += 4 * self._dimension
            face = LaneFace(instance, seen_at, rank, embedding, subject, has_grant)
            if _is_valid(face) and (has_grant or _is_fresh(seen_at, at)):
                faces.append(face)
        return faces

    def _is_published(self, lane: str, written_at: float, at: float) -> bool:
        """Return True if a lane published a short time ago; the first late file is logged."""
        if _is_fresh(written_at, at):
            self._late.discard(lane)
            return True
        if lane not in self._late:
            self._late.add(lane)
            log.warning(
                "lane %s: its newest faces are %.1f s old, more than %.1f s, so people there are "
                "not compared with this lane: its recogniser hangs, was killed or has too few "
                "frames a second; check edge-daemon@%s",
                lane,
                at - written_at,
                FRESH_S,
                lane,
            )
        return False


def unnamed_warning(config: TerminalConfig) -> str | None:
    """Return why a recogniser without a name is not compared with others, None if it is alone."""
    if config.instance is not None or not (names := config.named_recognisers):
        return None
    return (
        f"this recogniser has no `instance`, but others have: {', '.join(names)}; it does not "
        "compare its faces with theirs; if their cameras see the same people, set `instance`"
    )


def _is_fresh(seen_at: float, at: float) -> bool:
    """Return True for a time near another one; False also for a time in the future, or NaN."""
    return abs(seen_at - at) <= FRESH_S


def _is_valid(face: LaneFace) -> bool:
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(face.embedding))
    is_known = abs(norm - 1) <= _NORM_TOLERANCE or not (norm or face.has_grant)
    return 0 <= face.rank <= _RANK_MAX and is_known


def _open_folder(folder: Path) -> None:
    """Make the folder if it is missing; raises ConfigError if other accounts can write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot make the folder for the faces of the lanes: "
            f"{error.strerror or error}; under systemd it is made by RuntimeDirectory="
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{folder}: expected a folder of this account with mode 0700 for the faces of the "
            f"lanes, found owner {found.st_uid} and mode {stat.filemode(found.st_mode)}; remove it"
        )
