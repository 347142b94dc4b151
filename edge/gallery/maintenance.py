"""Maintenance of a gallery: check of all rows, encryption by a new key, removal of models."""

from __future__ import annotations

import contextlib

import numpy as np

from edge.errors import GalleryError
from edge.gallery import schema, secure_delete
from edge.gallery.database import CHECK, SECRETS, Database
from edge.gallery.sealing import RowCipher
from edge.gallery.template_checks import find_flaw
from edge.names import is_name
from edge.subject import from_json


def verify(gallery: Database) -> list[str]:
    """Return the defects of all rows and free pages; an empty list if there are none."""
    try:
        findings = [
            f"SQLite: {row}"
            for (row,) in gallery.db.execute("PRAGMA integrity_check")
            if row != "ok"
        ]
        findings += [
            f"row {row} of {table} refers to a missing row"
            for table, row, *_ in gallery.db.execute("PRAGMA foreign_key_check")
        ]
        for subject, tag, revision, sealed in gallery.db.execute(
            "SELECT id, tag, revision, sealed FROM subjects"
        ).fetchall():
            findings += _subject(gallery, subject, tag, revision, sealed)
        for template, subject, model, sealed in gallery.db.execute(
            "SELECT id, subject, model, sealed FROM templates"
        ).fetchall():
            findings += _template(gallery, template, subject, model, sealed)
        for template, sealed in gallery.db.execute("SELECT template, sealed FROM chips").fetchall():
            findings += _row(gallery, sealed, "chip", template)
    except schema.SQLITE_ERRORS as error:
        return [f"cannot be read: {error}"]
    if not gallery.truncate_log():
        findings.append("the write-ahead log cannot be emptied: another process reads it")
    with gallery.disconnected():
        return findings + secure_delete.find_dirty_free_pages(gallery.path)


def _subject(
    gallery: Database, subject: int, tag: bytes, revision: int, sealed: bytes
) -> list[str]:
    try:
        name, _ = gallery.decrypt_subject(subject, revision, sealed)
    except GalleryError as error:
        return [str(error)]
    if not is_name(name):
        return [f"subject {subject}: its name is invalid"]
    return (
        []
        if gallery.cipher.name_tag(name) == tag
        else [f"subject {subject} has the tag of another name"]
    )


def _template(
    gallery: Database, template: int, subject: int, model: str, sealed: bytes
) -> list[str]:
    try:
        plain = gallery.cipher.decrypt(sealed, "template", template, subject, model)
        vector = np.frombuffer(plain, "<f4")
    except (GalleryError, ValueError) as error:
        return [str(error)]
    flaw = find_flaw(vector, vector.size)
    return [f"template {template}: {flaw}"] if flaw else []


def _row(gallery: Database, sealed: bytes, *bound_to: str | int) -> list[str]:
    try:
        gallery.cipher.decrypt(sealed, *bound_to)
    except GalleryError as error:
        return [str(error)]
    return []


def drop_model(gallery: Database, model: str) -> int:
    """Erase all templates of one model; return their number. Raises GalleryError.

    Their subjects get a new revision, so that a running recogniser removes the templates too.
    """
    with gallery.write_transaction("no template was removed"):
        owners = gallery.db.execute(
            "SELECT id, revision, sealed FROM subjects "
            "WHERE id IN (SELECT subject FROM templates WHERE model = ?)",
            (model,),
        ).fetchall()
        gone = gallery.db.execute("DELETE FROM templates WHERE model = ?", (model,)).rowcount
        for subject, revision, sealed in owners:
            with contextlib.suppress(GalleryError):  # a damaged row is not used
                name, record = gallery.decrypt_subject(subject, revision, sealed)
                gallery.write_subject(name, record, np.zeros((0, 0), np.float32), model)
    gallery.compact()
    return int(gone)


def reencrypt(gallery: Database, key: bytes) -> None:
    """Encrypt all rows by a new key, all or none; durable on return.

    Raises GalleryError if a row cannot be decrypted.
    """
    old, new = gallery.cipher, RowCipher(key, gallery.terminal)
    with gallery.write_transaction("the key was not changed"):
        for subject, revision, sealed in gallery.db.execute(
            "SELECT id, revision, sealed FROM subjects"
        ).fetchall():
            plain = old.decrypt(sealed, "subject", subject, revision)
            row = (
                new.name_tag(from_json(plain)[0]),
                new.encrypt(plain, "subject", subject, revision),
                subject,
            )
            gallery.db.execute("UPDATE subjects SET tag = ?, sealed = ? WHERE id = ?", row)
        for template, subject, model, sealed in gallery.db.execute(
            "SELECT id, subject, model, sealed FROM templates"
        ).fetchall():
            encrypted = _reencrypt_row(old, new, sealed, "template", template, subject, model)
            gallery.db.execute(
                "UPDATE templates SET sealed = ? WHERE id = ?", (encrypted, template)
            )
        for template, sealed in gallery.db.execute("SELECT template, sealed FROM chips").fetchall():
            encrypted = _reencrypt_row(old, new, sealed, "chip", template)
            gallery.db.execute(
                "UPDATE chips SET sealed = ? WHERE template = ?", (encrypted, template)
            )
        kept = gallery.db.execute("SELECT name, value FROM meta WHERE name = ?", SECRETS).fetchall()
        for name, sealed in (
            ("check", new.encrypt(CHECK, "check")),
            *((name, _reencrypt_row(old, new, sealed, name)) for name, sealed in kept),
        ):
            gallery.db.execute("UPDATE meta SET value = ? WHERE name = ?", (sealed, name))
    gallery.cipher = new
    gallery.compact()


def _reencrypt_row(old: RowCipher, new: RowCipher, sealed: bytes, *bound_to: str | int) -> bytes:
    return new.encrypt(old.decrypt(sealed, *bound_to), *bound_to)
