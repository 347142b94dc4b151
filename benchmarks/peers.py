"""Comparison of this pipeline with a tutorial loop and face_recognition: `make peers-bench`.

All process the demo's clip in turns, in one process and one thread, with decoded pictures. The
tutorial loop uses the terminal's detector, embedder and threshold, so that only the loop differs.
It detects, aligns, embeds and compares in every frame.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.chip import REFERENCE_XY, align
from edge.config import TerminalConfig, load_config
from edge.demo.scenario import SCENES
from edge.engine.ort import ort
from edge.gallery.search import Index
from edge.portraits import COLLINS
from edge.recogniser.build import open_pipeline
from edge.recogniser.networks import open_networks
from edge.synthesis.drawing import FPS
from edge.values import Frame, Verdict
from export.detector import read_detector

Image = NDArray[np.uint8]
_NAME = "Eileen Collins"
_TOLERANCE = 0.6  # face_recognition's own


class Contestant(Protocol):
    name: str

    def enroll(self, photos: Sequence[Image]) -> None:
        """Start again with one enrolled person."""

    def is_recognised(self, image: Image, number: int) -> bool:
        """Return True if the person is recognised in the frame."""


class TerminalPipeline:
    """Pipeline of a terminal: search every 0.2 s, tracks, quality gates, gallery and votes."""

    name = "mfsa-edge"

    def __init__(self, config: TerminalConfig) -> None:
        self._config, self._networks = config, open_networks(config)
        self.grants = 0

    def enroll(self, photos: Sequence[Image]) -> None:
        detector, embedder = self._networks.detector, self._networks.embedder
        chips = np.stack([align(photo, detector.detect(photo)[0].landmarks_xy) for photo in photos])
        index = Index.from_templates(
            [_NAME] * len(photos), np.stack([probe.embedding for probe in embedder.embed(chips)])
        )
        self._pipeline, self.grants = open_pipeline(self._config, self._networks, index), 0

    def is_recognised(self, image: Image, number: int) -> bool:
        verdicts = [
            seen.decision.verdict
            for seen in self._pipeline.recognise(Frame(image, number / FPS, number))
        ]
        self.grants += verdicts.count(Verdict.GRANT)
        return Verdict.PENDING in verdicts or Verdict.GRANT in verdicts


class Tutorial:
    """Tutorial loop: FaceDetectorYN, alignment, ONNX Runtime and comparison in every frame."""

    name = "FaceDetectorYN + ONNX Runtime"

    def __init__(self, config: TerminalConfig) -> None:
        weights = np.frombuffer(read_detector(), np.uint8)
        self._detector = cv2.FaceDetectorYN.create(
            "onnx", weights, np.empty(0, np.uint8), (640, 480), config.detector.min_score
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(config.bundle / "embedder.onnx", options)
        networks = open_networks(config)
        self._threshold = networks.calibration.unmasked.threshold
        networks.close()
        self._known: list[NDArray[np.float32]] = []

    def enroll(self, photos: Sequence[Image]) -> None:
        self._known = [embeddings[0] for photo in photos if (embeddings := self._embed(photo))]

    def _embed(self, image: Image) -> list[NDArray[np.float32]]:
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, faces = self._detector.detect(image)
        found = []
        for face in [] if faces is None else faces:
            matrix, _ = cv2.estimateAffinePartial2D(
                face[4:14].reshape(5, 2), REFERENCE_XY.astype(np.float32)
            )
            chip = cv2.cvtColor(cv2.warpAffine(image, matrix, (112, 112)), cv2.COLOR_BGR2RGB)
            blob = ((chip.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
            embedding = self._session.run(
                ["embedding"], {self._session.get_inputs()[0].name: blob}
            )[0][0]
            found.append(embedding / np.linalg.norm(embedding))
        return found

    def is_recognised(self, image: Image, number: int) -> bool:
        return any(
            np.dot(known, embedding) >= self._threshold
            for embedding in self._embed(image)
            for known in self._known
        )


class FaceRecognition:
    """face_recognition as in its webcam example: HOG on every complete frame."""

    name = "face_recognition (dlib, HOG)"

    def __init__(self) -> None:
        import face_recognition

        self._library: Any = face_recognition
        self._known: list[Any] = []

    def _encode(self, image: Image) -> list[Any]:
        rgb = np.ascontiguousarray(image[..., ::-1])
        return list(self._library.face_encodings(rgb, self._library.face_locations(rgb)))

    def enroll(self, photos: Sequence[Image]) -> None:
        self._known = [encodings[0] for photo in photos if (encodings := self._encode(photo))]

    def is_recognised(self, image: Image, number: int) -> bool:
        return any(
            (self._library.face_distance(self._known, encoding) <= _TOLERANCE).any()
            for encoding in self._encode(image)
        )


@dataclass
class Result:
    """Measurements of one contestant."""

    cpu_s: list[float] = field(default_factory=list)
    frame_ms: list[float] = field(default_factory=list)
    first_ms: dict[int, list[float]] = field(
        default_factory=dict
    )  # work from a visit's first frame to its first match, by scene
    wrong: set[int] = field(
        default_factory=set
    )  # scenes in which another person was recognised as the subject


def play(
    contestant: Contestant, photos: Sequence[Image], images: Sequence[Image], result: Result
) -> None:
    """Play the complete clip once and add the measurements to the result."""
    contestant.enroll(photos)
    worked, number = 0.0, 0
    for scene_number, scene in enumerate(SCENES):
        spent, matched = 0.0, False
        for image in images[number : number + scene.frames]:
            cpu, began = time.process_time(), time.perf_counter()
            known = contestant.is_recognised(image, number)
            took, worked = time.perf_counter() - began, worked + time.process_time() - cpu
            result.frame_ms.append(took * 1000)
            spent, number = spent + took, number + 1
            if known and scene.person is not COLLINS:
                result.wrong.add(scene_number)
            elif known and not matched:
                matched = True
                result.first_ms.setdefault(scene_number, []).append(spent * 1000)
    result.cpu_s.append(worked)


def table(results: dict[str, Result], rounds: int, grants: int) -> str:
    """Return a Markdown table; ratios of medians are relative to the terminal."""
    ours = next(iter(results.values()))
    visits = [number for number, scene in enumerate(SCENES) if scene.person is COLLINS]
    shared = [v for v in visits if all(v in result.first_ms for result in results.values())]
    rows = [
        "| | visits matched | strangers matched | CPU s a clip | ratio "
        "| work to the first match, ms | ratio | frame, median ms | p99 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]

    def first(result: Result) -> float:
        return (
            float(np.mean([np.median(result.first_ms[v]) for v in shared]))
            if shared
            else float("nan")
        )

    for name, result in results.items():
        cpu = float(np.median(result.cpu_s))
        rows.append(
            f"| {name} | {len(result.first_ms)} of {len(visits)} | {len(result.wrong)} | {cpu:.2f} "
            f"| {cpu / np.median(ours.cpu_s):.1f} | {first(result):.1f} | "
            f"{first(result) / first(ours):.1f} "
            f"| {np.median(result.frame_ms):.2f} | {np.percentile(result.frame_ms, 99):.1f} |"
        )
    missed = {
        name: [SCENES[v].title for v in visits if v not in result.first_ms]
        for name, result in results.items()
    }
    lines = [f"{name} missed: {', '.join(titles)}." for name, titles in missed.items() if titles]
    return "\n".join(
        [*rows, "", f"{rounds} rounds; mfsa-edge granted access {grants} times by votes.", *lines]
    )


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in ("numpy", "opencv-python-headless", "onnxruntime", "dlib", "face_recognition"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="This pipeline, the usual loop and face_recognition on the demo's clip."
    )
    parser.add_argument(
        "--demo",
        type=Path,
        default=Path("build/demo"),
        help="output folder of `make demo` (default %(default)s)",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="number of rounds (default %(default)s)"
    )
    args = parser.parse_args(argv)
    paths = sorted((args.demo / "clip").glob("*")), sorted((args.demo / "enroll").glob("*.png"))
    if not all(paths) or len(paths[0]) != sum(scene.frames for scene in SCENES):
        parser.error(f"{args.demo}: expected the demo's clip and photos; run `make demo` first")
    images, photos = ([cv2.imread(str(path)) for path in some] for some in paths)
    cv2.setNumThreads(1)
    config = load_config(args.demo / "terminal.yaml")
    ours = TerminalPipeline(config)
    contestants: list[Contestant] = [ours, Tutorial(config)]
    try:
        contestants.append(FaceRecognition())
    except (ImportError, SystemExit):  # it ends the process if its models are absent
        print(
            "face_recognition is not installed: pip install -r benchmarks/peers-requirements.txt "
            "(compiles dlib)"
        )
    results = {contestant.name: Result() for contestant in contestants}
    for _ in range(args.rounds):
        for contestant in contestants:
            play(contestant, photos, images, results[contestant.name])
    print(table(results, args.rounds, ours.grants))
    print(f"\n{versions()}; {platform.machine()}, one thread.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
