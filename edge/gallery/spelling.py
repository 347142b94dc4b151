"""Normalisation of names that earlier versions stored."""

from __future__ import annotations

import logging

from edge.errors import GalleryError
from edge.gallery.database import Database
from edge.names import name_key, normalize_name, unused_name
from edge.subject import to_json

log = logging.getLogger(__name__)

_DONE = "names"  # in the table meta


def normalize_names(gallery: Database) -> None:
    """Normalise every subject's name, once for each gallery. Raises GalleryError.

    Two subjects whose names become equal are never merged: one gets a number after its name.
    """
    if _is_done(gallery):
        return
    with gallery.write_transaction("names were not normalised"):
        if _is_done(gallery):
            return
        for subject, tag, revision, sealed in gallery.db.execute(
            "SELECT id, tag, revision, sealed FROM subjects ORDER BY id"
        ).fetchall():
            _normalize(gallery, subject, tag, revision, sealed)
        gallery.db.execute("INSERT INTO meta VALUES (?, 1)", (_DONE,))


def _is_done(gallery: Database) -> bool:
    found = gallery.db.execute("SELECT 1 FROM meta WHERE name = ?", (_DONE,)).fetchone()
    return found is not None


def _normalize(gallery: Database, subject: int, tag: bytes, revision: int, sealed: bytes) -> None:
    try:
        name, record = gallery.decrypt_subject(subject, revision, sealed)
    except GalleryError:  # verify reports it
        return
    wanted = normalize_name(name)
    if wanted == name and gallery.cipher.name_tag(name) == tag:
        return

    def is_taken(other: str) -> bool:
        found = gallery.find_row(other)
        return found is not None and found[0] != subject

    fresh = unused_name(wanted, is_taken)
    if fresh != wanted:
        log.warning("a subject is renamed %r: %r is enrolled in another spelling", fresh, wanted)
    number = gallery.allocate_numbers(1)
    gallery.db.execute(
        "UPDATE subjects SET tag = ?, revision = ?, sealed = ? WHERE id = ?",
        (
            gallery.cipher.name_tag(fresh),
            number,
            gallery.cipher.encrypt(to_json(fresh, record), "subject", subject, number),
            subject,
        ),
    )


def find_numbered(names: list[str]) -> list[tuple[str, str]]:
    """Return pairs of names that differ only by a number after one of them."""
    keys = {name_key(name): name for name in names}
    pairs = []
    for name in names:
        base, bracket, rest = name.rpartition(" (")
        if bracket and rest[:-1].isdecimal() and rest.endswith(")") and name_key(base) in keys:
            pairs.append((keys[name_key(base)], name))
    return pairs
