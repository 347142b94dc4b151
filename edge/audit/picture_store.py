"""Store of encrypted evidence pictures."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.audit.sealing import EvidenceCipher
from edge.errors import RecordError
from edge.system.atomic_files import read_regular, write_atomic
from edge.system.wallclock import DAY_S, WallClock

_SUFFIX = ".sealed"
_UNKNOWN_TIME = 4_000_000_000  # file time of a picture made in doubt: it ages as the next one
_PICTURE_MAX = 16 << 20  # bytes of an encrypted picture


def picture_path(folder: Path, record_id: int) -> Path:
    """Return the file of the picture of a record."""
    return folder / f"{record_id:09d}{_SUFFIX}"


class PictureStore:
    """Encrypted evidence pictures, named by record id.

    The newest `max_pictures` of the last `max_days` stay, up to a tenth more between two clean-ups.
    """

    def __init__(
        self,
        path: Path,
        max_pictures: int,
        max_days: float,
        cipher: EvidenceCipher,
        clock: WallClock,
    ) -> None:
        self._path = path
        self._max_pictures, self._max_days = max_pictures, max_days
        self._cipher = cipher
        self._clock = clock
        self._saved = 0
        self._pruned = 0.0  # the day
        self.run_maintenance()

    def save(self, record_id: int, picture: NDArray[np.uint8]) -> None:
        """Save a picture if possible: a failure does not stop a decision."""
        if not self._max_pictures:
            return
        done, encoded = cv2.imencode(".png", picture)
        if not done:
            return
        try:
            self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = picture_path(self._path, record_id)
            write_atomic(path, self._cipher.encrypt(record_id, encoded.tobytes()))
            now, believed = self._clock.read()
            at = now if believed else _UNKNOWN_TIME
            os.utime(path, (at, at))
        except OSError:
            return
        self._saved += 1
        if self._saved % max(1, self._max_pictures // 10) == 0:  # listing a large folder is slow
            self._prune()

    def run_maintenance(self) -> None:
        """Remove old pictures once a day."""
        if self._pruned != (day := self._clock.read()[0] // DAY_S):
            self._pruned = day
            self._prune()

    def _prune(self) -> None:
        """Remove all but the newest pictures; while the clock is not trusted none is too old.

        A picture that cannot be removed is tried again later.
        """
        with contextlib.suppress(OSError):
            for unsealed in self._path.glob("*.png"):  # of a version without encryption
                unsealed.unlink(missing_ok=True)
            now, believed = self._clock.read()
            ends = now - self._max_days * DAY_S if believed else 0.0
            made = sorted(path for path in self._path.glob(f"*{_SUFFIX}") if path.stem.isdecimal())
            latest = now  # a picture is not newer than those after it
            for newer, path in enumerate(reversed(made)):
                latest = min(latest, path.stat().st_mtime)
                if newer >= self._max_pictures or latest < ends:
                    path.unlink(missing_ok=True)


def read_picture(folder: Path, record_id: int, cipher: EvidenceCipher) -> bytes:
    """Return the picture of a record as PNG. Raises RecordError if it cannot be read."""
    path = picture_path(folder, record_id)
    try:
        sealed = read_regular(path, _PICTURE_MAX)
    except OSError as error:
        raise RecordError(
            f"{path}: no picture of record {record_id}: {error.strerror}; `record.max_pictures` "
            "sets how many are kept"
        ) from error
    plain = cipher.decrypt(record_id, sealed)
    if plain is None:
        raise RecordError(
            f"{path}: the picture cannot be decrypted: it has another key, is of another terminal, "
            "or was changed"
        )
    return plain


def list_pictures(folder: Path) -> list[int]:
    """Return the ids of the records with a picture."""
    return sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())
