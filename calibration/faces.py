"""Checks that measured chips show enough different faces. No network, no detector.

An aligned face resembles the mean face in its low frequencies. Among 1,500 chips of four public
sets the mean correlation is 0.21 to 0.47; of noise, textures and walls it is at most 0.02.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.chips import ChipFolder, decode_chip, pick_chips
from edge import masks
from edge.errors import ConfigError, PhotoError
from edge.portraits import COLLINS, HOPPER, load_chip

log = logging.getLogger(__name__)

Chips = NDArray[np.uint8]
_SIDE = 16
# Left half of the mean of both portraits and their mirror images, see `small`; times 40, int8.
_MEAN_FACE = (
    "+OoHBhclMAby0Nzn+Orl5vXX0ePj3tvc8NLF2+zz7OflxtYXLTlCQ9rE/CItJDhI0dTnAvbrCTfU1vT87fAFINHi"
    "DhwgKSIl9vELHiwxFSwWCAsTHAH6GSQbDwwH8gT+JRYEBxL0BRUP/OP2IAf8DfHn5+kJEQoG7enr9vIAFx4="
)
_LIKENESS_MIN = 0.1
_BLANK_DEVIATION = 4.0  # of grey levels; the darkest face of a public set has 29
_BLANK_SHARE_MAX, _DISTINCT_SHARE_MIN = 0.1, 0.75
_SAMPLE = 200


def low_frequencies(chip: Chips) -> NDArray[np.float32]:
    """Return a chip (112,112,3) as 16x16 grey values without coarse light; zeros if blank."""
    full = cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY).astype(np.float32)
    small = cv2.resize(full, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = np.asarray(small - cv2.GaussianBlur(small, (0, 0), _SIDE / 4), np.float32)
    deviation = float(grey.std())
    return np.asarray((grey - grey.mean()) / deviation if deviation > 1e-3 else grey * 0)


def face_similarity(chips: Chips) -> NDArray[np.float64]:
    """Return the correlation (N,) of chips (N,112,112,3) with the mean face."""
    half = np.frombuffer(base64.b64decode(_MEAN_FACE), np.int8).reshape(_SIDE, _SIDE // 2)
    face = np.concatenate([half, half[:, ::-1]], axis=1).astype(np.float64)
    face = (face - face.mean()) / face.std()
    return np.array([float((low_frequencies(chip) * face).mean()) for chip in chips])


def check_faces(chips: Chips, source: str) -> None:
    """Raise ConfigError if chips (N,112,112,3) are blank, copies of a few, or no faces."""
    deviations = np.array([cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY).std() for chip in chips])
    blank = int((deviations < _BLANK_DEVIATION).sum())
    if blank > _BLANK_SHARE_MAX * len(chips):
        raise ConfigError(
            f"{source}: {blank} of {len(chips)} chips looked at are blank; "
            "name aligned chips of faces, as mfsa-prepare makes them"
        )
    _check_distinct([chip.tobytes() for chip in chips], source)
    found = face_similarity(chips)
    margin = 2 * float(found.std()) / np.sqrt(len(found))
    if found.mean() + margin < _LIKENESS_MIN:
        raise ConfigError(
            f"{source}: the chips do not look like aligned faces: mean correlation "
            f"{found.mean():.2f} with the mean face, expected at least {_LIKENESS_MIN}; "
            "make chips of photos with mfsa-prepare"
        )


def pick_faces(source: Path, max_chips: int) -> Chips:
    """Return up to `most` checked chips (N,112,112,3) of a folder or tar; raises ConfigError."""
    chips = pick_chips(source, max_chips)
    check_faces(chips, str(source))
    return chips


def check_folder(folder: ChipFolder, source: str, minimum: int = 1) -> None:
    """Raise ConfigError if a folder's chips are too few, copies, blank or no faces."""
    check_encoded(folder.names, folder.encoded, source, minimum)
    people = zip((name.split("/")[0] for name in folder.names), folder.encoded, strict=True)
    owners = Counter(digest for _, digest in {(person, _digest(data)) for person, data in people})
    if many := sum(count > 1 for count in owners.values()):
        log.warning("%s: %d pictures are filed under two people or more", source, many)


def check_encoded(
    names: Sequence[str], encoded: Sequence[bytes], source: str, minimum: int = 1
) -> None:
    """Raise ConfigError as `check_folder`, for encoded chips and their names."""
    rows = np.unique(np.linspace(0, len(names) - 1, min(_SAMPLE, len(names))).astype(int))
    check_faces(np.stack([decode_chip(encoded[i], names[i]) for i in rows]), source)
    _check_distinct(encoded, source)
    if (distinct := len({_digest(data) for data in encoded})) < minimum:
        raise ConfigError(
            f"{source}: expected at least {minimum} different chips, found {distinct}; "
            "name more people or photos"
        )


def _check_distinct(pictures: Sequence[bytes], source: str) -> None:
    distinct = len({_digest(data) for data in pictures})
    if distinct < _DISTINCT_SHARE_MIN * len(pictures):
        raise ConfigError(
            f"{source}: {len(pictures)} chips are copies of {distinct} different ones; "
            "remove the copies"
        )


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def portrait_views() -> Chips:
    """Return chips (N,112,112,3) of the installed public-domain portraits, bare and masked.

    Raises ConfigError if no portrait is installed.
    """
    views: list[Chips] = []
    for portrait in (COLLINS, HOPPER):
        try:
            chip = load_chip(portrait)
        except PhotoError as error:
            log.warning("measured without a portrait: %s", error)
            continue
        rng = np.random.default_rng(len(views))
        blurred = np.asarray(cv2.GaussianBlur(chip, (0, 0), 1.5), np.uint8)
        views += [chip, chip[:, ::-1], (chip * 0.5).astype(np.uint8), blurred]
        views += [
            masks.draw(chip, masks.random_style(rng, (family,)))[0] for family in masks.FAMILIES
        ]
    if not views:
        raise ConfigError("no portrait is installed: pip install matplotlib scikit-image")
    return np.stack(views)
