"""Align photos to chips with the detector and alignment of the terminal."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import tarfile
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from io import BytesIO
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from calibration.chips import decode_chip
from calibration.photos import FoundPhotos, Photo, read_photo
from edge.bundle import file_digest
from edge.chip import PREPROCESSING, SIZE, align
from edge.errors import ConfigError, MfsaError, PhotoError
from edge.face.detect import FaceDetector, open_detector
from edge.system.atomic_files import write_atomic
from edge.values import Face

_QUALITY = 95
_SHEET_CHIPS, _SHEET_COLUMNS = 64, 8
_AHEAD = 8  # photos in flight for each worker


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Settings that determine the chip of a photo."""

    detector: str
    size: str
    min_score: float
    face: str
    min_eyes: float


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """Chip as JPEG, or the reason for a refusal."""

    jpeg: bytes = b""
    reason: str = ""
    detail: str = ""


@cache
def cached_detector(settings: PrepareSettings) -> FaceDetector:
    """Return the detector, opened once per process."""
    models = {settings.size: Path(settings.detector)}
    return open_detector(models, min_score=settings.min_score, threads=1)


def make_chip(settings: PrepareSettings, photo: Photo) -> PhotoOutcome:
    """Make the chip of a photo or return the reason for its refusal; raises EngineError."""
    try:
        image = read_photo(photo)
        face = choose_face(
            cached_detector(settings).detect(image), image.shape[1], image.shape[0], settings.face
        )
        eyes_px = float(np.linalg.norm(face.landmarks_xy[1] - face.landmarks_xy[0]))
        if not eyes_px >= settings.min_eyes:
            raise PhotoError(
                "too-small",
                f"eyes {eyes_px:.1f} pixels apart, at least {settings.min_eyes:g} are needed",
            )
        chip = align(image, face.landmarks_xy)
    except PhotoError as error:
        return PhotoOutcome(reason=error.reason, detail=str(error))
    return PhotoOutcome(
        cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    )


def choose_face(faces: list[Face], width: int, height: int, rule: str) -> Face:
    """Return the only or most prominent face; raises PhotoError no-face or several-faces."""
    if not faces:
        raise PhotoError("no-face", "no face found")
    if rule == "only" and len(faces) > 1:
        raise PhotoError("several-faces", f"{len(faces)} faces found, expected one")
    return max(faces, key=lambda face: _prominence(face, width, height))


def _prominence(face: Face, width: int, height: int) -> float:
    """Return the visible area, reduced for faces cut by the border and far from the centre."""
    x0, y0, x1, y1 = (float(v) for v in face.box_xyxy)
    inside = max(0.0, min(x1, width) - max(x0, 0)) * max(0.0, min(y1, height) - max(y0, 0))
    # 0 in the centre, 1 in a corner.
    off_centre = math.hypot((x0 + x1) / width - 1, (y0 + y1) / height - 1) / math.sqrt(2)
    return inside * (inside / ((x1 - x0) * (y1 - y0))) ** 2 * max(0.0, 1 - off_centre)


def _start_worker(settings: PrepareSettings) -> None:
    def end_with_parent() -> None:
        """End this worker after a kill of its parent; it would wait for photos forever."""
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    cv2.setNumThreads(0)
    # Damaged photos are listed in the report.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cached_detector(settings)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Defer Ctrl-C to the end of the block; processes started in it never receive it."""
    pressed: list[int] = []
    # Any thread of this process may receive the signal; the mask is inherited by workers.
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def make_chips(
    settings: PrepareSettings, photos: list[Photo], workers: int
) -> Generator[PhotoOutcome, None, None]:
    """Yield outcomes in the order of the photos; 0 workers run in this process.

    Raises EngineError or MfsaError.
    """
    workers = min(workers, len(photos))
    if not workers:
        yield from (make_chip(settings, photo) for photo in photos)
        return
    waiting: deque[Future[PhotoOutcome]] = deque()
    # Spawn, not fork: the engine and tqdm have threads in this process.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (settings,))
    try:
        for photo in photos:
            with defer_interrupts():
                waiting.append(pool.submit(make_chip, settings, photo))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise MfsaError(
            "a worker process was killed, possibly out of memory; use fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def contact_sheet(chips: list[bytes], ending: str) -> bytes:
    """Return a picture of encoded chips, eight per row."""
    sheet = np.zeros((-(-len(chips) // _SHEET_COLUMNS) * SIZE, _SHEET_COLUMNS * SIZE, 3), np.uint8)
    for place, chip in enumerate(chips):
        y, x = (SIZE * v for v in divmod(place, _SHEET_COLUMNS))
        sheet[y : y + SIZE, x : x + SIZE] = decode_chip(chip, "chip")
    return cv2.imencode(ending, sheet)[1].tobytes()


@contextmanager
def _writer(path: Path, *, as_tar: bool) -> Iterator[Callable[[str, bytes], None]]:
    """Yield a function that adds a chip to a tar file or folder."""

    def to_folder(name: str, data: bytes) -> None:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(data)

    if not as_tar:
        path.mkdir()
        yield to_folder
        return
    with tarfile.open(path, "w") as tar:

        def to_tar(name: str, data: bytes) -> None:
            entry = tarfile.TarInfo(name)  # time, owner and group are 0
            entry.size = len(data)
            tar.addfile(entry, BytesIO(data))
            tar.members = []  # type: ignore[attr-defined]  # saves memory

        yield to_tar


@dataclass(frozen=True, slots=True)
class PrepareOutputs:
    """Output paths of a run."""

    photos: Path  # input, which must not change
    chips: Path
    sheet: Path | None
    replace: bool

    @property
    def report(self) -> Path:
        return self.chips.with_name(f"{self.chips.name}.report.json")

    @property
    def refused(self) -> Path:
        return self.chips.with_name(f"{self.chips.name}.refused.csv")

    @property
    def as_tar(self) -> bool:
        return self.chips.suffix == ".tar"

    def check(self) -> None:
        """Raise ConfigError if a run would overwrite photos or foreign files."""
        source, out = self.photos.resolve(), self.chips.resolve()
        if source in (out, *out.parents) or out in source.parents:
            raise ConfigError(
                f"--out {self.chips}: inside or around the photos in {self.photos}; "
                "name another path"
            )
        for path in (self.chips, self.sheet):
            if path and path.exists() and not self.replace:
                raise ConfigError(f"{path} exists; add --replace, or name another path")
        if self.chips.exists() and not (
            self.report.is_file() and self.chips.is_dir() != self.as_tar
        ):
            raise ConfigError(
                f"{self.chips}: not an output of mfsa-prepare, which has "
                f"{self.report.name} next to it; "
                "name another path"
            )
        if self.sheet and self.sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            raise ConfigError(
                f"--contact-sheet: expected a .jpg or .png file, found {self.sheet.name}"
            )


def prepare(
    found: FoundPhotos, settings: PrepareSettings, out: PrepareOutputs, workers: int
) -> dict[str, Any]:
    """Write chips, report and refusals atomically; return the report. Raises MfsaError, OSError."""
    out.chips.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.chips.parent, prefix=f".{out.chips.name}-") as name:
        scratch = Path(name)
        report, sheet = write_chips(scratch, found, settings, workers, as_tar=out.as_tar)
        (scratch / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        out.check()  # another run may have ended in between
        if report["chips"] and out.sheet:
            out.sheet.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(out.sheet, contact_sheet(sheet, out.sheet.suffix.lower()), 0o644)
        # Without chips an earlier output stays, with its own report.
        if report["chips"] or not out.chips.exists():
            (scratch / "refused.csv").replace(out.refused)
            (scratch / "report.json").replace(out.report)
        if report["chips"]:  # last: new chips must not exist without their report
            if out.chips.exists():
                out.chips.rename(scratch / "old")
            (scratch / "chips").rename(out.chips)
    return report


def write_chips(
    scratch: Path, found: FoundPhotos, settings: PrepareSettings, workers: int, *, as_tar: bool
) -> tuple[dict[str, Any], list[bytes]]:
    """Write chips and refused.csv into a folder; return the report and chips for the sheet."""
    kept: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sheet: dict[int, bytes] = {}
    total = len(found.photos)
    with (
        _refusals(scratch / "refused.csv") as refuse,
        _writer(scratch / "chips", as_tar=as_tar) as write,
        closing(make_chips(settings, found.photos, workers)) as outcomes,
    ):
        for name in found.strays:
            refuse(name, "no-identity", "expected <identity>/<image> below PHOTOS")
            reasons["no-identity"] += 1
        bar = tqdm(outcomes, "align", total, unit="photo", disable=None)
        for place, (photo, outcome) in enumerate(zip(found.photos, bar, strict=True)):
            identity = photo.chip.split("/")[0]
            if outcome.jpeg:
                write(photo.chip, outcome.jpeg)
                # The first chip of each 64th of the photos.
                sheet.setdefault(place * _SHEET_CHIPS // total, outcome.jpeg)
                kept[identity] += 1
            else:
                refuse(photo.name, outcome.reason, outcome.detail)
                reasons[outcome.reason] += 1
                lost[identity] += 1
    report = {
        "photos": total + len(found.strays),
        "chips": sum(kept.values()),
        "people": len(kept),
        "people_without_chips": len(lost.keys() - kept.keys()),
        "refused": dict(sorted(reasons.items())),
        "other_files": dict(sorted(found.others.items())),
        "preprocessing": PREPROCESSING,
        "detector_sha256": file_digest(Path(settings.detector)),
        "settings": {**asdict(settings), "jpeg_quality": _QUALITY},
        "identities": {
            i: {"kept": kept[i], "refused": lost[i]} for i in sorted(kept.keys() | lost.keys())
        },
    }
    return report, list(sheet.values())


@contextmanager
def _refusals(path: Path) -> Iterator[Callable[[str, str, str], None]]:
    """Yield a function that adds a row (photo, reason, detail) to a CSV file."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("photo", "reason", "detail"))
        yield lambda *row: table.writerow(row)
