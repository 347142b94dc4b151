"""Why a decision was made, for people: the attention map over the chip, and its shares in numbers."""

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
from edge.values import Probe

# Regions of the canonical chip as (top, bottom) rows of the 14x14 map and (left, right) columns, 8 px a cell.
_REGIONS = {"eyes": (5, 8, 3, 11), "nose": (8, 10, 5, 9), "mouth": (10, 13, 4, 10)}
_COLOURS_BGR = np.array(
    [(80, 200, 60), (60, 60, 230), (200, 140, 40)], np.float32
)  # face, mask, background


def attention_shares(probe: Probe) -> dict[str, float]:
    """Where the embedding looked: of all weight of A_u the share on eyes, nose, mouth and the rest of the chip, and the
    mean of each of the three maps."""
    unmasked = probe.attention[0]
    total = float(unmasked.sum()) or 1.0
    shares = {
        f"on_{name}": round(float(unmasked[top:bottom, left:right].sum()) / total, 4)
        for name, (top, bottom, left, right) in _REGIONS.items()
    }
    shares["on_rest"] = round(1 - sum(shares.values()), 4)
    means = probe.attention.mean(axis=(1, 2))
    return {
        **shares,
        **{
            f"mean_{n}": round(float(v), 4)
            for n, v in zip(("face", "mask", "background"), means, strict=True)
        },
    }


def overlay(chip: NDArray[np.uint8], probe: Probe) -> NDArray[np.uint8]:
    """The chip beside itself tinted by the three maps (112,224,3): green face, red mask, blue background."""
    maps = np.stack(
        [cv2.resize(m, chip.shape[1::-1], interpolation=cv2.INTER_CUBIC) for m in probe.attention],
        axis=-1,
    )
    tint = maps.clip(0, 1) @ _COLOURS_BGR
    tinted = chip.astype(np.float32) * 0.5 + tint * 0.5
    return np.hstack([chip, tinted.clip(0, 255).astype(np.uint8)])


_SUFFIX = ".sealed"
_UNKNOWN_TIME = 4_000_000_000  # file time of a picture made in doubt: it ages as the next one
_PICTURE_MAX = 16 << 20  # bytes of an encrypted picture


def picture_path(folder: Path, record_id: int) -> Path:
    return folder / f"{record_id:09d}{_SUFFIX}"


class PictureStore:
    """Evidence pictures named by record id, sealed; only the newest `keep` of the last `days` stay, and a tenth more for a while.
    None are kept unless the config says so, and those of a config that did are removed."""

    def __init__(
        self,
        path: Path,
        max_pictures: int,
        max_days: float,
        cipher: EvidenceCipher,
        clock: WallClock,
    ) -> None:
        self._path = path
        self._keep, self._days = max_pictures, max_days
        self._cipher = cipher
        self._clock = clock
        self._saved = 0
        self._pruned = 0.0  # the day
        self.run_maintenance()

    def save(self, record_id: int, picture: NDArray[np.uint8]) -> None:
        """Best effort: a picture that cannot be stored never stops a decision."""
        if not self._keep:
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
        if (
            self._saved % max(1, self._keep // 10) == 0
        ):  # a folder of many takes a while to look through
            self._prune()

    def run_maintenance(self) -> None:
        """Once a day."""
        if self._pruned != (day := self._clock.read()[0] // DAY_S):
            self._pruned = day
            self._prune()

    def _prune(self) -> None:
        """Leave only the newest; what cannot be removed now is tried again later. A clock that is in doubt makes none old."""
        with contextlib.suppress(OSError):
            for unsealed in self._path.glob("*.png"):  # of a version that did not seal them
                unsealed.unlink(missing_ok=True)
            now, believed = self._clock.read()
            ends = now - self._days * DAY_S if believed else 0.0
            made = sorted(path for path in self._path.glob(f"*{_SUFFIX}") if path.stem.isdecimal())
            latest = now  # a picture is no newer than those after it, whatever the clock showed
            for newer, path in enumerate(reversed(made)):
                latest = min(latest, path.stat().st_mtime)
                if newer >= self._keep or latest < ends:
                    path.unlink(missing_ok=True)


def read_picture(folder: Path, record_id: int, cipher: EvidenceCipher) -> bytes:
    """A PNG file. Raises RecordError where there is none, or the key does not fit."""
    path = picture_path(folder, record_id)
    try:
        sealed = read_regular(path, _PICTURE_MAX)
    except OSError as error:
        raise RecordError(
            f"{path}: no picture of record {record_id}: {error.strerror}; `record.max_pictures` says how many are kept"
        ) from error
    plain = cipher.decrypt(record_id, sealed)
    if plain is None:
        raise RecordError(
            f"{path}: the picture cannot be unsealed: another key, another terminal's, or it was changed"
        )
    return plain


def list_pictures(folder: Path) -> list[int]:
    """Of which records there are pictures."""
    return sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())
