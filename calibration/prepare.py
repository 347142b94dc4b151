"""`mfsa-prepare`: folders of photos become aligned chips, by the terminal's own detector and alignment. No torch."""

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
from edge.engine import open_engine
from edge.errors import ConfigError, MfsaError, PhotoError
from edge.face.detect import FaceDetector
from edge.system.atomic_files import check_replaceable
from edge.values import Face

_QUALITY = 95
_SHEET_CHIPS, _SHEET_COLUMNS = 64, 8
_AHEAD = 8  # photos in flight for each worker


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What decides of a photo's chip, beside the photo."""

    detector: str
    size: str
    min_score: float
    face: str
    min_eyes: float


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """A chip as JPEG, or the reason why there is none."""

    jpeg: bytes = b""
    reason: str = ""
    detail: str = ""


@cache
def open_detector(settings: PrepareSettings) -> FaceDetector:
    """The terminal's detector, opened once in a process."""
    return FaceDetector(
        {settings.size: open_engine(Path(settings.detector), threads=1)}, settings.min_score
    )


def make_chip(settings: PrepareSettings, photo: Photo) -> PhotoOutcome:
    """One photo's chip, or why there is none; raises EngineError."""
    try:
        image = read_photo(photo)
        face = choose_face(
            open_detector(settings).detect(image), image.shape[1], image.shape[0], settings.face
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
    """The only face, or the most prominent; raises PhotoError no-face or several-faces."""
    if not faces:
        raise PhotoError("no-face", "no face found")
    if rule == "only" and len(faces) > 1:
        raise PhotoError("several-faces", f"{len(faces)} faces found, expected one")
    return max(faces, key=lambda face: _prominence(face, width, height))


def _prominence(face: Face, width: int, height: int) -> float:
    """The area in the picture, less where the border cuts the face, less with the distance from the middle."""
    x0, y0, x1, y1 = (float(v) for v in face.box_xyxy)
    inside = max(0.0, min(x1, width) - max(x0, 0)) * max(0.0, min(y1, height) - max(y0, 0))
    off_centre = math.hypot((x0 + x1) / width - 1, (y0 + y1) / height - 1) / math.sqrt(
        2
    )  # 1 in a corner
    return inside * (inside / ((x1 - x0) * (y1 - y0))) ** 2 * max(0.0, 1 - off_centre)


def _start_worker(settings: PrepareSettings) -> None:
    def end_with_parent() -> (
        None
    ):  # a worker whose parent was killed would wait for photos for ever
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    cv2.setNumThreads(0)
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # a damaged photo is in the report
    open_detector(settings)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and processes started in it never see it: this one ends them."""
    pressed: list[int] = []
    before = signal.signal(
        signal.SIGINT, lambda number, _: pressed.append(number)
    )  # may reach any thread of this process
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # is inherited
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
    """Outcomes in the order of the photos, by processes or with 0 in this one; raises EngineError or MfsaError."""
    workers = min(workers, len(photos))
    if not workers:
        yield from (make_chip(settings, photo) for photo in photos)
        return
    waiting: deque[Future[PhotoOutcome]] = deque()
    # Spawned, not forked: the engine and tqdm have threads in this process.
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
            "a worker process was killed, perhaps for want of memory; use fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def contact_sheet(chips: list[bytes], ending: str) -> bytes:
    """A picture of encoded chips, eight in a row."""
    sheet = np.zeros((-(-len(chips) // _SHEET_COLUMNS) * SIZE, _SHEET_COLUMNS * SIZE, 3), np.uint8)
    for place, chip in enumerate(chips):
        y, x = (SIZE * v for v in divmod(place, _SHEET_COLUMNS))
        sheet[y : y + SIZE, x : x + SIZE] = decode_chip(chip, "chip")
    return cv2.imencode(ending, sheet)[1].tobytes()


@contextmanager
def _writer(path: Path, *, as_tar: bool) -> Iterator[Callable[[str, bytes], None]]:
    """What adds one chip to a tar file or folder."""

    def to_folder(name: str, data: bytes) -> None:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(data)

    if not as_tar:
        path.mkdir()
        yield to_folder
        return
    with tarfile.open(path, "w") as tar:

        def to_tar(name: str, data: bytes) -> None:
            entry = tarfile.TarInfo(name)  # its time, owner and group are 0
            entry.size = len(data)
            tar.addfile(entry, BytesIO(data))
            tar.members = []  # type: ignore[attr-defined]  # else every member is kept

        yield to_tar


@dataclass(frozen=True, slots=True)
class PrepareOutputs:
    """Where everything goes."""

    photos: Path  # what must stay as it is
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
        """Raises ConfigError where something would be overwritten that should not."""
        source, out = self.photos.resolve(), self.chips.resolve()
        if source in (out, *out.parents) or out in source.parents:
            raise ConfigError(
                f"--out {self.chips}: expected a place apart from the photos in {self.photos}; name another"
            )
        for path in (self.chips, self.sheet):
            if path and path.exists() and not self.replace:
                raise ConfigError(f"{path} exists: add --replace to make it anew, or name another")
        if self.chips.exists() and not (
            self.report.is_file() and self.chips.is_dir() != self.as_tar
        ):
            raise ConfigError(
                f"{self.chips}: --replace takes only what mfsa-prepare made, with {self.report.name} beside it"
            )
        if self.sheet and self.sheet.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            raise ConfigError(
                f"--contact-sheet: expected a name that ends in .jpg or .png, found {self.sheet.name}"
            )


def prepare(
    found: FoundPhotos, settings: PrepareSettings, out: PrepareOutputs, workers: int
) -> dict[str, Any]:
    """Make chips, report and list of refusals, whole or not at all; the report. Raises MfsaError or OSError."""
    out.chips.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.chips.parent, prefix=f".{out.chips.name}-") as name:
        scratch = Path(name)
        report, sheet = write_chips(scratch, found, settings, workers, as_tar=out.as_tar)
        (scratch / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        out.check()  # again: another run may have ended meanwhile
        if report["chips"] and out.sheet:
            _write_whole(out.sheet, contact_sheet(sheet, out.sheet.suffix.lower()))
        if (
            report["chips"] or not out.chips.exists()
        ):  # else what was made before stays, with its own report
            (scratch / "refused.csv").replace(out.refused)
            (scratch / "report.json").replace(out.report)
        if report["chips"]:  # last, so that new chips never lie there without their report
            if out.chips.exists():
                out.chips.rename(scratch / "old")
            (scratch / "chips").rename(out.chips)
    return report


def write_chips(
    scratch: Path, found: FoundPhotos, settings: PrepareSettings, workers: int, *, as_tar: bool
) -> tuple[dict[str, Any], list[bytes]]:
    """Chips and refused.csv into a folder; the report, and chips for the contact sheet."""
    kept: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sheet: dict[int, bytes] = {}
    total, digest = len(found.photos), file_digest(Path(settings.detector))
    with (
        (scratch / "refused.csv").open(
            "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file,
        _writer(scratch / "chips", as_tar=as_tar) as write,
        closing(make_chips(settings, found.photos, workers)) as outcomes,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("photo", "reason", "detail"))
        for name in found.strays:
            table.writerow((name, "no-identity", "expected <identity>/<image> below PHOTOS"))
            reasons["no-identity"] += 1
        bar = tqdm(outcomes, "align", total, unit="photo", disable=None)
        for place, (photo, outcome) in enumerate(zip(found.photos, bar, strict=True)):
            identity = photo.chip.split("/")[0]
            if outcome.jpeg:
                write(photo.chip, outcome.jpeg)
                sheet.setdefault(
                    place * _SHEET_CHIPS // total, outcome.jpeg
                )  # the first of each 64th of the photos
                kept[identity] += 1
            else:
                table.writerow((photo.name, outcome.reason, outcome.detail))
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
        "detector_sha256": digest,
        "settings": {**asdict(settings), "jpeg_quality": _QUALITY},
        "identities": {
            i: {"kept": kept[i], "refused": lost[i]} for i in sorted(kept.keys() | lost.keys())
        },
    }
    return report, list(sheet.values())


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    check_replaceable(path)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
