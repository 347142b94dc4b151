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
from edge.gallery.enrollment.journal import EnrollmentJournal, JournalLine, enrollment_digest
from edge.gallery.enrollment.photos import Image, QualityRequirements, Refusal, take_samples
from edge.gallery.enrollment.refusals import RefusalReason
from edge.gallery.enrollment.roster import RosterEntry
from edge.photofile import decode_photo, read_photo

_AHEAD = 2  # photos decoded in advance of the networks; each may take 200 MB


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What came of one person."""

    subject: str
    stored: int = 0  # templates
    already_stored: int = 0  # photos whose templates the gallery had already
    skipped: bool = False  # enrolled just so by a run before
    refused: RefusalReason | None = None  # None if the person is enrolled
    photos: tuple[Refusal, ...] = ()  # refused or left out


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How people are enrolled in bulk."""

    requirements: QualityRequirements
    min_photos: int = 1
    masked_templates: bool = False
    replace: bool = False
    dry_run: bool = False

    def digest(self, entry: RosterEntry, photos: Iterable[str]) -> str:
        """Of all that one enrollment depends on, with the digests of the photos' bytes."""
        return enrollment_digest(
            photos,
            entry.attributes,
            (self.requirements.level, self.masked_templates, self.min_photos),
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
    enroller: Enroller,
    journal: EnrollmentJournal,
    options: BulkOptions,
) -> Iterator[BulkOutcome]:
    """Each person's outcome once it is durable, those first whom a run before has enrolled.

    Raises EngineError, GalleryError, RecordError: everybody told before is enrolled, and nobody is by half.
    """
    todo = []
    for entry in entries:
        if (
            not options.dry_run
            and enroller.has_templates(entry.subject)
            and journal.has(entry.subject, partial(_digest_now, entry, options))
        ):
            yield BulkOutcome(entry.subject, skipped=True)
        else:
            todo.append(entry)
    with ThreadPoolExecutor(1, "photos") as pool:
        photos = _decode_ahead(pool, (path for entry in todo for path in entry.photos))
        for entry in todo:
            outcome, digest = _enroll(
                entry, islice(photos, len(entry.photos)), detector, embedder, enroller, options
            )
            line = JournalLine(
                entry.subject,
                digest,
                not outcome.refused,
                options.dry_run,
                outcome.stored,
                outcome.refused or "",
                outcome.photos,
            )
            journal.append(line)
            yield outcome


def _digest_now(entry: RosterEntry, options: BulkOptions) -> str:
    """The digest as the photos are now."""
    return options.digest(entry, (_read_photo(path)[0] for path in entry.photos))


def _decode_ahead(pool: ThreadPoolExecutor, paths: Iterable[Path]) -> Iterator[_Photo]:
    waiting: deque[Future[_Photo]] = deque()
    for path in paths:
        waiting.append(pool.submit(_read_and_decode, path))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_and_decode(path: Path) -> _Photo:
    digest, encoded = _read_photo(path)
    try:
        return _Photo(
            str(path),
            digest,
            encoded if isinstance(encoded, PhotoError) else decode_photo(encoded, str(path)),
        )
    except PhotoError as error:
        return _Photo(str(path), digest, error)


def _read_photo(path: Path) -> tuple[str, bytes | PhotoError]:
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
    enroller: Enroller,
    options: BulkOptions,
) -> tuple[BulkOutcome, str]:
    """What came of it, and the digest of what it came from."""
    digests: list[str] = []

    def pictures() -> Iterator[tuple[str, Image | PhotoError]]:
        for photo in photos:
            digests.append(photo.digest)
            yield photo.name, photo.picture

    usable, refused = take_samples(pictures(), detector, embedder, options.requirements)
    digest = options.digest(entry, digests)
    try:
        done = enroller.enroll(
            entry.subject,
            usable,
            entry.attributes,
            replace=options.replace,
            at_least=options.min_photos,
        )
    except PhotoError as error:
        return BulkOutcome(
            entry.subject,
            refused=RefusalReason(error.reason),
            photos=(*refused, Refusal.from_error("all", error)),
        ), digest
    return BulkOutcome(
        entry.subject, done.stored, done.already_stored, photos=(*refused, *done.left_out)
    ), digest
