"""Attention maps of a decision: shares in numbers and an overlay on the chip."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.values import Probe

# Regions of the canonical chip on the 14x14 map of 8 px cells: rows (top, bottom), columns
# (left, right).
_REGIONS = {"eyes": (5, 8, 3, 11), "nose": (8, 10, 5, 9), "mouth": (10, 13, 4, 10)}
_MAPS = ("face", "mask", "background")
_COLOURS_BGR = np.array([(80, 200, 60), (60, 60, 230), (200, 140, 40)], np.float32)


def attention_shares(probe: Probe) -> dict[str, float]:
    """Return the shares of the unmasked attention map on regions, and the mean of each map.

    The shares on eyes, nose, mouth and the rest of the chip add up to 1.
    """
    unmasked = probe.attention[0]
    total = float(unmasked.sum()) or 1.0
    shares = {
        f"on_{name}": round(float(unmasked[top:bottom, left:right].sum()) / total, 4)
        for name, (top, bottom, left, right) in _REGIONS.items()
    }
    shares["on_rest"] = round(1 - sum(shares.values()), 4)
    means = probe.attention.mean(axis=(1, 2))
    named = zip(_MAPS, means, strict=True)
    return {**shares, **{f"mean_{name}": round(float(mean), 4) for name, mean in named}}


def overlay(chip: NDArray[np.uint8], probe: Probe) -> NDArray[np.uint8]:
    """Return the chip next to a tinted copy (112,224,3): face green, mask red, background blue."""
    size = chip.shape[1::-1]
    maps = [cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) for each in probe.attention]
    tint = np.stack(maps, axis=-1).clip(0, 1) @ _COLOURS_BGR
    tinted = chip.astype(np.float32) * 0.5 + tint * 0.5
    return np.hstack([chip, tinted.clip(0, 255).astype(np.uint8)])
