"""Chips and scenes for parity checks: of a bundle, a site and the public-domain portraits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.faces import pick_faces
from edge import masks
from edge.bundle import EMBEDDER_NETWORK, PARITY, SCENE, Bundle
from edge.bundle_files import open_file
from edge.chip import SIZE, to_input
from edge.engine import open_engine
from edge.errors import BundleError
from edge.face.embed import OUTPUTS
from edge.portraits import COLLINS, HOPPER, load_chip, load_portrait
from export.parity import Outputs, run_chips

_ARRAY_BYTES_MAX = 512 << 20


def load_parity(bundle: Path) -> tuple[NDArray[np.uint8], Outputs]:
    """Load the chips (N,112,112,3) of a bundle and the outputs of its FP32 embedder."""
    arrays = _load_arrays(bundle / PARITY, ("chips", *OUTPUTS))
    return arrays["chips"], {name: arrays[name] for name in OUTPUTS}


def _load_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Load arrays of an .npz file of a bundle; raises BundleError."""
    try:
        with open_file(path) as file:
            size = sum(entry.file_size for entry in ZipFile(file).infolist())
            if size > _ARRAY_BYTES_MAX:
                raise BundleError(
                    f"{path}: {size:,} bytes unpacked, at most {_ARRAY_BYTES_MAX:,} are accepted"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in names}
    except (BadZipFile, ValueError, KeyError, OSError) as error:
        raise BundleError(
            f"{path}: not the arrays of mfsa-bundle ({error}); make the bundle again"
        ) from error


@dataclass(frozen=True, eq=False)
class ParityReference:
    """Chips (N,112,112,3) of a bundle and a site, with the outputs of the FP32 embedder."""

    chips: NDArray[np.uint8]
    expected: Outputs

    @classmethod
    def load(cls, bundle: Bundle, site: Path | None, max_chips: int) -> ParityReference:
        """Load a bundle's chips and up to `max_chips` of a site, which need ONNX Runtime.

        Raises ConfigError, EngineError.
        """
        own, expected = load_parity(bundle.path)
        if site is None:
            return cls(own, expected)
        chips = pick_faces(site, max_chips)
        more = run_chips(
            open_engine(bundle.onnx_path(EMBEDDER_NETWORK, "fp32"), threads=2), to_input(chips)
        )
        return cls(
            np.concatenate([own, chips]),
            {name: np.concatenate([expected[name], more[name]]) for name in expected},
        )


def load_scene(bundle: Path, network: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Load the scene of a bundle and the faces (N,15) that an FP32 detector finds in it."""
    arrays = _load_arrays(bundle / SCENE, ("scene", network))
    return arrays["scene"], arrays[network]


def portrait_scene() -> NDArray[np.uint8]:
    """Return a picture (256,320,3) of both portraits, in which a detector finds two faces."""
    scene = np.full((256, 320, 3), 96, np.uint8)
    for column, portrait in enumerate((COLLINS, HOPPER)):
        picture, points = load_portrait(portrait), np.array(portrait.landmarks_xy)
        reach = float(points[1, 0] - points[0, 0]) * 2
        x, y = points.mean(axis=0)
        side = round(2 * reach)
        cut = cv2.getRectSubPix(picture, (side, round(side * 1.5)), (float(x), float(y)))
        scene[8:248, column * 160 : (column + 1) * 160] = cv2.resize(
            cut, (160, 240), interpolation=cv2.INTER_AREA
        )
    return scene


def portrait_chips() -> NDArray[np.uint8]:
    """Return chips (34,112,112,3) of the portraits: plain, mirrored, dark, blurred, BGR, masked.

    BGR chips reveal a network that swaps colour channels.
    """
    chips = []
    for portrait in (COLLINS, HOPPER):
        chip = load_chip(portrait)
        blurred = np.asarray(cv2.GaussianBlur(chip, (0, 0), 1.5), np.uint8)
        chips += [chip, chip[:, ::-1], (chip * 0.5).astype(np.uint8), blurred, chip[..., ::-1]]
        rng = np.random.default_rng(len(chips))
        chips += [
            masks.draw(chip, masks.random_style(rng, (family,)))[0] for family in masks.FAMILIES
        ]
    stacked = np.stack(chips)
    assert stacked.shape[1:] == (SIZE, SIZE, 3)
    return stacked
