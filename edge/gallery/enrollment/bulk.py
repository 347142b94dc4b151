"""Many people, one after the other: a transaction each, what is refused is told and the others go on."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from edge.errors import PhotoError
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.gallery.enrollment.enroller import Enroller
from edge.gallery.enrollment.journal import EnrollmentJournal, JournalLine, digest_of
from edge.gallery.enrollment.photos import Image, QualityRequirements, Refusal, samples
from edge.gallery.enrollment.refusals import RefusalReason
from edge.gallery.enrollment.roster import RosterEntry
from edge.photofile import decode_photo, read_photo

_AHEAD = 2  # photos decoded in advance of the networks; each may take 200 MB


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one person."""

    subject: str
    stored: int = 0  # templates
    again: int = 0  # photos whose templates the gallery had already
    skipped: bool = False  # enrolled just so by a run before
    refused: RefusalReason | None = None  # None if the person is enrolled
    photos: tuple[Refusal, ...] = ()  # refused or left out


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How people are enrolled in bulk."""

    demand: QualityRequirements
    min_photos: int = 1
    masked_templates: bool = False
    replace: bool = False
    dry_run: bool = False

    def digest(self, entry: RosterEntry, photos: Iterable[str]) -> str:
        """Of all that one enrollment depends on, with the digests of the photos' bytes."""
        return digest_of(
            photos, entry.terms, (self.demand.level, self.masked_templates, self.min_photos)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    name: str
    digest: str
    picture: Image | PhotoError  # the error that says why there is none


def enroll_all(
    entries: Sequence[RosterEntry],
    detector: FaceDetector,
    embedder: Embedder,
    desk: Enroller,
    journal: EnrollmentJournal,
    way: BulkOptions,
) -> Iterator[Outcome]:
    """Each person's outcome once it is durable, those first whom a run before has enrolled.

    Raises EngineError, GalleryError, RecordError: everybody told before is enrolled, and nobody is by half.
    """
    todo = []
    for entry in entries:
        if (
            not way.dry_run
            and desk.knows(entry.subject)
            and journal.has(entry.subject, partial(_reread, entry, way))
        ):
            yield Outcome(entry.subject, skipped=True)
        else:
            todo.append(entry)
    with ThreadPoolExecutor(1, "photos") as pool:
        photos = _ahead(pool, (path for entry in todo for path in entry.photos))
        for entry in todo:
            outcome, digest = _enroll(
                entry, islice(photos, len(entry.photos)), detector, embedder, desk, way
            )
            line = JournalLine(
                entry.subject,
                digest,
                not outcome.refused,
                way.dry_run,
                outcome.stored,
                outcome.refused or "",
                outcome.photos,
            )
            journal.note(line)
            yield outcome


def _reread(entry: RosterEntry, way: BulkOptions) -> str:
    """The digest as the photos are now."""
    return way.digest(entry, (_read(path)[0] for path in entry.photos))


def _ahead(pool: ThreadPoolExecutor, paths: Iterable[Path]) -> Iterator[_Photo]:
    waiting: deque[Future[_Photo]] = deque()
    for path in paths:
        waiting.append(pool.submit(_open, path))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _open(path: Path) -> _Photo:
    digest, encoded = _read(path)
    try:
        return _Photo(
            str(path),
            digest,
            encoded if isinstance(encoded, PhotoError) else decode_photo(encoded, str(path)),
        )
    except PhotoError as error:
        return _Photo(str(path), digest, error)


def _read(path: Path) -> tuple[str, bytes | PhotoError]:
    """The bytes with their digest, or why there are none."""
    try:
        encoded = read_photo(path)
    except PhotoError as error:
        return error.reason, error
    return hashlib.sha256(encoded).hexdigest(), encoded


def _enroll(
    entry: RosterEntry,
    photos: Iterable[_Photo],
    detector: FaceDetector,
    embedder: Embedder,
    desk: Enroller,
    way: BulkOptions,
) -> tuple[Outcome, str]:
    """What came of it, and the digest of what it came from."""
    digests: list[str] = []

    def pictures() -> Iterator[tuple[str, Image | PhotoError]]:
        for photo in photos:
            digests.append(photo.digest)
            yield photo.name, photo.picture

    usable, refused = samples(pictures(), detector, embedder, way.demand)
    digest = way.digest(entry, digests)
    try:
        done = desk.enroll(
            entry.subject, usable, entry.terms, replace=way.replace, at_least=way.min_photos
        )
    except PhotoError as error:
        return Outcome(
            entry.subject,
            refused=RefusalReason(error.reason),
            photos=(*refused, Refusal.of("all", error)),
        ), digest
    return Outcome(
        entry.subject, done.stored, done.again, photos=(*refused, *done.left_out)
    ), digest
