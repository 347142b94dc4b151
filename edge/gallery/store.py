"""Enrolled people in an encrypted database; another process may write while this one reads.

Templates are biometric data even when encrypted: with the key and the model they can be compared
with any photo. Images are stored only if the configuration keeps chips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery import schema
from edge.gallery.database import EVIDENCE, Database, abbreviate
from edge.gallery.key import load_key
from edge.gallery.reader import NO_TEMPLATES, GalleryReader
from edge.gallery.spelling import normalize_names
from edge.names import check_name
from edge.subject import SubjectRecord
from edge.system.accounts import acting_as_owner


@dataclass(frozen=True, slots=True, eq=False)
class _Templates:
    """Templates (N,D) of one model with their chips, if they are kept."""

    model: str
    rows: NDArray[np.float32]
    chips: Sequence[bytes | None]


def _by_model(
    embeddings: NDArray[np.float32], chips: Sequence[bytes | None], models: Sequence[str]
) -> Iterator[_Templates]:
    for model in dict.fromkeys(models):
        rows = [i for i, other in enumerate(models) if other == model]
        yield _Templates(model, embeddings[rows], [chips[i] for i in rows] if chips else ())


class GalleryStore(GalleryReader):
    """Gallery of one terminal with the templates of one model.

    `compatible_with`: models whose templates are searched as well; new ones are of `model_digest`.
    Raises GalleryError for a gallery of other models only, unless `allow_other_models`.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        terminal: str,
        model_digest: str,
        compatible_with: Sequence[str] = (),
        allow_other_models: bool = False,
        dimension: int | None = None,
        read_only: bool = False,
        renew_key: Callable[[], bytes] | None = None,
        lock_wait_s: float = schema.LOCK_WAIT_S,
    ) -> None:
        super().__init__(
            path,
            key=key,
            terminal=terminal,
            model_digest=model_digest,
            compatible_with=compatible_with,
            dimension=dimension,
            read_only=read_only,
            renew_key=renew_key,
            lock_wait_s=lock_wait_s,
        )
        self._run_or_close(lambda: self._check_model(allow_other_models))
        if not read_only:
            self._run_or_close(lambda: normalize_names(self))

    def _check_model(self, allow_other_models: bool) -> None:
        models = self.count_by_model()
        if models and self.models.isdisjoint(models) and not allow_other_models:
            raise GalleryError(
                f"{self.path}: the gallery belongs to model {', '.join(map(abbreviate, models))}, "
                f"expected {abbreviate(self.model)}; templates of different models cannot be "
                "compared: use that bundle again, or run edge-gallery migrate"
            )

    def enroll(
        self,
        name: str,
        embeddings: NDArray[np.float32],
        *,
        record: SubjectRecord | None = None,
        chips: Sequence[bytes | None] = (),
        models: Sequence[str] = (),
        replace: bool = False,
        known_only: bool = False,
    ) -> int:
        """Store templates (N,D) of one subject, all or none, durably; return their number.

        `record`: None leaves it as it is. `chips`: PNGs of the aligned faces to keep, None for a
        template without one. `models`: model of each template, by default that of the store.
        `replace`: remove all earlier templates, of any model. `known_only`: refuse a subject that
        is not enrolled, such as one that another process removed. Raises GalleryError.
        """
        if chips and len(chips) != len(embeddings):
            raise ValueError(
                f"expected a chip or None for each of {len(embeddings)} templates, "
                f"found {len(chips)}"
            )
        deleted: list[bytes] = []
        with self.write_transaction("the templates of the subject were not stored"):
            known = self.find_row(name)
            if known is None and known_only:
                raise _not_enrolled(name)
            if known is None:
                check_name(name)
            if record is None:
                record = self.decrypt_subject(*known)[1] if known else SubjectRecord()
            if known and replace:
                deleted = self._sealed_rows(known[0])
                self.db.execute("DELETE FROM templates WHERE subject = ?", (known[0],))
            given = _Templates(self.model, embeddings, chips)
            for part in _by_model(embeddings, chips, models) if models else [given]:
                subject = self.write_subject(name, record, part.rows, part.model, part.chips)
            count = self._count_templates(subject)
        if deleted:
            self._check_erased("the subject is replaced", deleted)
        return count

    def update_attributes(self, name: str, record: SubjectRecord) -> None:
        """Replace the attributes of a subject; durable on return.

        Raises GalleryError, also if the subject is not enrolled.
        """
        with self.write_transaction("the subject was not changed"):
            if not self.find_row(name):
                raise _not_enrolled(name)
            self.write_subject(name, record, NO_TEMPLATES, self.model)

    def remove(self, name: str) -> int:
        """Erase a subject with templates and chips; return the number of templates.

        The files are searched for remnants. Raises GalleryError, also if there are any.
        """
        with self.write_transaction("the subject was not removed"):
            known = self.find_row(name)
            if known is None:
                return 0
            subject, _, sealed = known
            count = self._count_templates(subject)
            deleted = [*_blobs(sealed), self.cipher.name_tag(name), *self._sealed_rows(subject)]
            self.db.execute("DELETE FROM subjects WHERE id = ?", (subject,))
            self.db.execute("INSERT INTO erased VALUES (?, ?)", (subject, self.allocate_numbers(1)))
        self._check_erased("the subject is removed", deleted)
        return count

    def _count_templates(self, subject: int) -> int:
        (count,) = self.db.execute(
            "SELECT count(*) FROM templates WHERE subject = ?", (subject,)
        ).fetchone()
        return int(count)

    def _sealed_rows(self, subject: int) -> list[bytes]:
        """Return the encrypted templates and chips of a subject."""
        rows = self.db.execute(
            "SELECT sealed FROM templates WHERE subject = :subject UNION ALL "
            "SELECT c.sealed FROM chips c JOIN templates t ON t.id = c.template "
            "WHERE t.subject = :subject",
            {"subject": subject},
        )
        return [blob for (sealed,) in rows for blob in _blobs(sealed)]

    def _check_erased(self, done: str, deleted: Sequence[bytes]) -> None:
        try:
            self.assert_erased(deleted)
        except GalleryError as error:
            raise GalleryError(
                f"{self.path}: {done}, but {error}; run edge-gallery verify --repair"
            ) from error


def open_store(
    config: TerminalConfig,
    model_digest: str,
    key: bytes,
    *,
    compatible_with: Sequence[str] = (),
    allow_other_models: bool = False,
    dimension: int | None = None,
    read_only: bool = False,
    lock_wait_s: float = schema.LOCK_WAIT_S,
) -> GalleryStore:
    """Open a terminal's gallery, and make it if it does not exist yet. Raises GalleryError."""
    return GalleryStore(
        config.gallery_path,
        key=key,
        terminal=config.terminal,
        model_digest=model_digest,
        compatible_with=compatible_with,
        allow_other_models=allow_other_models,
        dimension=dimension,
        read_only=read_only,
        renew_key=lambda: load_key(config.key_path, create=False),
        lock_wait_s=lock_wait_s,
    )


def read_evidence_key(config: TerminalConfig) -> bytes:
    """Return the key of scores and pictures in the audit log.

    Root reads it with the rights of the gallery's owner. Raises GalleryError, OSError.
    """
    with acting_as_owner(config.key_path.parent):
        key = load_key(config.key_path, create=False)
    with acting_as_owner(config.state):
        gallery = Database(config.gallery_path, key=key, terminal=config.terminal, read_only=True)
        try:
            return gallery.read_secret(EVIDENCE)
        finally:
            gallery.close()


def _blobs(sealed: object) -> list[bytes]:
    """Return a list without values of another type, which only a changed row can hold."""
    return [sealed] if isinstance(sealed, bytes) else []


def _not_enrolled(name: str) -> GalleryError:
    return GalleryError(f"{name!r} is not enrolled; edge-gallery list shows who is")
