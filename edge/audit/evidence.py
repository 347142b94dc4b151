"""Why a decision was made, for people: the attention map over the chip, and its shares in numbers."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.values import Probe

# Regions of the canonical chip as (top, bottom) rows of the 14x14 map and (left, right) columns, 8 px a cell.
_REGIONS = {"eyes": (5, 8, 3, 11), "nose": (8, 10, 5, 9), "mouth": (10, 13, 4, 10)}
_COLOURS_BGR = np.array([(80, 200, 60), (60, 60, 230), (200, 140, 40)], np.float32)  # face, mask, background


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
    return {**shares, **{f"mean_{n}": round(float(v), 4) for n, v in zip(("face", "mask", "background"), means, strict=True)}}


def overlay(chip: NDArray[np.uint8], probe: Probe) -> NDArray[np.uint8]:
    """The chip beside itself tinted by the three maps (112,224,3): green face, red mask, blue background."""
    maps = np.stack([cv2.resize(m, chip.shape[1::-1], interpolation=cv2.INTER_CUBIC) for m in probe.attention], axis=-1)
    tint = maps.clip(0, 1) @ _COLOURS_BGR
    tinted = chip.astype(np.float32) * 0.5 + tint * 0.5
    return np.hstack([chip, tinted.clip(0, 255).astype(np.uint8)])


class PictureFolder:
    """Evidence pictures named by record id; only the newest `keep` stay, and a tenth more for a while. None are kept unless the
    config says so, and those of a config that did are removed."""

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._keep = keep
        self._saved = 0
        self._prune()

    def save(self, record_id: int, picture: NDArray[np.uint8]) -> None:
        """Best effort: a picture that cannot be stored never stops a decision."""
        if not self._keep:
            return
        done, encoded = cv2.imencode(".png", picture)
        if not done:
            return
        try:
            self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self._path / f"{record_id:09d}.png").write_bytes(encoded.tobytes())
        except OSError:
            return
        self._saved += 1
        if self._saved % max(1, self._keep // 10) == 0:  # a folder of many takes a while to look through
            self._prune()

    def _prune(self) -> None:
        """Leave only the newest; what cannot be removed now is tried again later."""
        with contextlib.suppress(OSError):
            pictures = sorted(self._path.glob("*.png"), key=lambda picture: picture.stat().st_mtime)
            for old in pictures[: max(0, len(pictures) - self._keep)]:
                old.unlink(missing_ok=True)
