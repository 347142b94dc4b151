"""Feed the recogniser from a camera of your own: here an image that moves a little each frame.

python examples/own_camera.py --bundle build/bundle photo.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from edge.config import TerminalConfig
from edge.gallery.search import Index
from edge.recogniser.build import open_pipeline
from edge.recogniser.networks import open_networks
from edge.values import Frame

FPS = 15.0


class ShakenImage:
    """A camera: `read` returns the next frame or None at the end, `close` frees the device."""

    def __init__(self, path: Path, frames: int) -> None:
        image = cv2.imread(str(path))
        if image is None:
            raise SystemExit(f"{path}: not an image")
        self._image, self._numbers = image, iter(range(frames))
        self._random = np.random.default_rng(0)

    def read(self) -> Frame | None:
        number = next(self._numbers, None)
        if number is None:
            return None
        shift = np.eye(2, 3)
        shift[:, 2] = self._random.normal(0, 1, 2)
        height, width = self._image.shape[:2]
        moved = cv2.warpAffine(self._image, shift, (width, height))
        # A device gives the monotonic time of exposure; frames older than a second are dropped.
        return Frame(np.asarray(moved, np.uint8), at=number / FPS, number=number)

    def close(self) -> None:
        self._numbers = iter(())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("image", type=Path)
    args = parser.parse_args()
    config = TerminalConfig.model_validate(
        {
            "bundle": args.bundle,
            "camera": {"kind": "replay", "path": args.image},  # required; not opened here
            "liveness": {"kind": "none"},
        }
    )
    networks = open_networks(config)
    pipeline = open_pipeline(config, networks, Index())  # an empty gallery: no one is known
    camera = ShakenImage(args.image, frames=int(2 * FPS))
    for frame in iter(camera.read, None):
        for result in pipeline.recognise(frame):
            decision = result.decision
            print(f"frame {frame.number}: {decision.verdict.value}, {decision.reason}")
    camera.close()
    networks.close()


if __name__ == "__main__":
    main()
