"""Recognise the faces in an image, with people enrolled from one photo each.

python examples/recognise_image.py --bundle build/bundle --enroll Ada=ada.jpg photo.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle import DETECTOR_SIZES, EMBEDDER_NETWORK, detector_network, open_bundle
from edge.chip import PREPROCESSING, align
from edge.config.recognition import DetectorConfig
from edge.engine import open_engine
from edge.face.detect import open_detector
from edge.face.embed import Embedder
from edge.gallery.search import Index
from edge.values import Face, Probe


class Recogniser:
    """Detector, embedder and an index of templates in memory."""

    def __init__(self, bundle_path: Path) -> None:
        self.bundle = open_bundle(bundle_path, PREPROCESSING)
        models = {
            size: self.bundle.onnx_path(detector_network(size), "fp32") for size in DETECTOR_SIZES
        }
        embedder = open_engine(self.bundle.onnx_path(EMBEDDER_NETWORK, "fp32"), threads=2)
        self.detector = open_detector(models, min_score=DetectorConfig().min_score, threads=2)
        self.embedder = Embedder(embedder)
        self.index = Index()

    def probes(self, image: NDArray[np.uint8]) -> list[tuple[Face, Probe]]:
        """Return every face of an image (H,W,3) BGR with its embedding, best detection first."""
        faces = self.detector.detect(image)
        chips = [align(image, face.landmarks_xy) for face in faces]
        return list(zip(faces, self.embedder.embed(np.stack(chips)) if chips else [], strict=True))

    def enroll(self, number: int, name: str, image: NDArray[np.uint8]) -> None:
        """Store the embedding of the best face under a name."""
        (_, probe), *_ = self.probes(image)
        self.index.add(number, name, probe.embedding[np.newaxis])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--enroll", action="append", default=[], metavar="NAME=PHOTO")
    parser.add_argument("image", type=Path)
    args = parser.parse_args()
    recogniser = Recogniser(args.bundle)
    for number, entry in enumerate(args.enroll):
        name, _, photo = entry.partition("=")
        recogniser.enroll(number, name, read(Path(photo)))
    thresholds = recogniser.bundle.calibration("fp32")
    for face, probe in recogniser.probes(read(args.image)):
        masked = probe.mask_worn >= 0.5
        threshold = (thresholds.masked if masked else thresholds.unmasked).threshold
        match = recogniser.index.search(probe.embedding)
        known = match is not None and match.score >= threshold
        x, y = face.box_xyxy[:2]
        print(
            f"face at {x:.0f},{y:.0f}: {match.subject if match and known else 'unknown'}, "
            f"score {match.score if match else -1:.3f}, threshold {threshold:.3f}, "
            f"mask {probe.mask_worn:.0%}"
        )


def read(path: Path) -> NDArray[np.uint8]:
    """Return an image (H,W,3) uint8 BGR."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: not an image")
    return np.asarray(image, np.uint8)


if __name__ == "__main__":
    main()
