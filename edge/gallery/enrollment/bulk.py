"""Enrollment of many people: one transaction each; a refused person does not stop the others."""

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
    """Result of one person's enrollment."""

    subject: str
    stored: int = 0  # new templates
    already_stored: int = 0  # photos whose templates are in the gallery already
    skipped: bool = False  # enrolled by an earlier run from the same photos and attributes
    refused: RefusalReason | None = None  # None if the person is enrolled
    photos: tuple[Refusal, ...] = ()  # refused or left out


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """Options that hold for all people of a run."""

    requirements: QualityRequirements
    min_photos: int
    masked_templates: bool
    replace: bool
    dry_run: bool

    def digest(self, entry: RosterEntry, photos: Iterable[str]) -> str:
        """Return the digest of one enrollment's inputs; `photos`: digests of their bytes."""
        return enrollment_digest(
            photos,
            entry.attributes,
            (self.requirements.level, self.masked_templates, self.min_photos),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    name: str
    digest: str
    picture: Image | PhotoError  # the error if the photo cannot be read


def enroll_all(
    entries: Sequence[RosterEntry],
    detector: FaceDetector,
    embedder: Embedder,
    enroller: Enroller,
    journal: EnrollmentJournal,
    options: BulkOptions,
) -> Iterator[BulkOutcome]:
    """Yield each person's outcome once it is durable; people of an earlier run come first.

    Raises EngineError, GalleryError, RecordError. People whose outcome was yielded stay enrolled.
    """
    remaining = []
    for entry in entries:
        if (
            not options.dry_run
            and enroller.has_templates(entry.subject)
            and journal.is_enrolled(entry.subject, partial(_digest_now, entry, options))
        ):
            yield BulkOutcome(entry.subject, skipped=True)
        else:
            remaining.append(entry)
    with ThreadPoolExecutor(1, "photos") as pool:
        photos = _decode_ahead(pool, (path for entry in remaining for path in entry.photos))
        for entry in remaining:
            outcome, digest = _enroll(
                entry, islice(photos, len(entry.photos)), detector, embedder, enroller, options
            )
            journal.append(
                JournalLine(
                    subject=entry.subject,
                    digest=digest,
                    enrolled=outcome.refused is None,
                    dry_run=options.dry_run,
                    stored=outcome.stored,
                    reason=outcome.refused or "",
                    photos=outcome.photos,
                )
            )
            yield outcome


def _digest_now(entry: RosterEntry, options: BulkOptions) -> str:
    """Return the digest of the inputs, with the photos read again."""
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
    if isinstance(encoded, PhotoError):
        return _Photo(str(path), digest, encoded)
    try:
        return _Photo(str(path), digest, decode_photo(encoded, str(path)))
    except PhotoError as error:
        return _Photo(str(path), digest, error)


def _read_photo(path: Path) -> tuple[str, bytes | PhotoError]:
    """Return the digest and the bytes, or reason and error if the file cannot be read."""
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
    """Enroll one person; return the outcome and the digest of its inputs."""
    digests: list[str] = []

    def pictures() -> Iterator[tuple[str, Image | PhotoError]]:
        for photo in photos:
            digests.append(photo.digest)
            yield photo.name, photo.picture

    usable, refused = take_samples(pictures(), detector, embedder, options.requirements)
    digest = options.digest(entry, digests)
    subject = entry.subject
    try:
        result = enroller.enroll(
            subject,
            usable,
            entry.attributes,
            replace=options.replace,
            min_photos=options.min_photos,
        )
    except PhotoError as error:
        photos_refused = (*refused, Refusal.from_error("all", error))
        reason = RefusalReason(error.reason)
        return BulkOutcome(subject, refused=reason, photos=photos_refused), digest
    left_out = (*refused, *result.left_out)
    return BulkOutcome(subject, result.stored, result.already_stored, photos=left_out), digest
