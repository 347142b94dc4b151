"""A gallery of a compatible model opens without migration; both models' templates are searched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.errors import GalleryError
from edge.gallery import export
from edge.gallery.encrypted_file import read_encrypted_file
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore
from edge.gallery.template_migration import TemplateMigration, migrate_templates
from tests.edge.gallery.conftest import import_file, write_export

pytestmark = pytest.mark.usefixtures("cheap_scrypt")

Open = Callable[..., GalleryStore]
BASE, ADAPTED, OTHER = "b" * 64, "a" * 64, "c" * 64
ROWS = np.eye(4, 16, dtype=np.float32)
PASSPHRASE = "a horse of some other colour"
RULES = ImportPolicy(lambda: date(2026, 11, 29), consent_required=False, erase_after_days=None)


@pytest.fixture
def adapted(open_store: Open) -> GalleryStore:
    """Store of the adapted embedder, on a gallery that the base encoder made."""
    open_store(model=BASE).enroll("Ada", ROWS[:2])
    return open_store(model=ADAPTED, compatible_with=[BASE])


def models(store: GalleryStore, name: str) -> list[str]:
    return [template.model for template in store.list_templates(name)]


def test_compatible_gallery_is_searched(adapted: GalleryStore) -> None:
    adapted.enroll("Ada", ROWS[2:3])
    adapted.enroll("Eve", ROWS[3:])
    assert adapted.template_counts() == {"Ada": 3, "Eve": 1}
    assert models(adapted, "Ada") == [BASE, BASE, ADAPTED]
    gallery = LiveGallery(adapted)
    found = [gallery.search(row) for row in ROWS]
    assert [match and match.subject for match in found] == ["Ada", "Ada", "Ada", "Eve"]


def test_compatible_gallery_needs_no_migration(adapted: GalleryStore) -> None:
    result = migrate_templates(adapted, None)  # type: ignore[arg-type]
    assert result == TemplateMigration(already_enrolled=1, enrolled=[], not_enrolled=[])


def test_base_does_not_accept_adapted_templates(adapted: GalleryStore, open_store: Open) -> None:
    adapted.enroll("Ada", ROWS[2:3])
    assert open_store(model=BASE).template_counts() == {"Ada": 2}
    adapted.remove("Ada")
    adapted.enroll("Eve", ROWS[3:])
    with pytest.raises(GalleryError, match="belongs to model a"):
        open_store(model=BASE)


def test_model_that_is_not_listed_is_refused(open_store: Open) -> None:
    open_store(model=OTHER).enroll("Ada", ROWS[:1])
    with pytest.raises(GalleryError, match="belongs to model c"):
        open_store(model=ADAPTED, compatible_with=[BASE])


def test_compatible_templates_keep_their_model(adapted: GalleryStore, tmp_path: Path) -> None:
    adapted.enroll("Ada", ROWS[2:3], chips=[b"picture"])
    path = tmp_path / "people"
    assert write_export(adapted, path, PASSPHRASE) == 1
    there = GalleryStore(
        tmp_path / "there" / "gallery.db",
        key=bytes(32),
        terminal="cellar",
        model_digest=ADAPTED,
        compatible_with=[BASE],
    )
    file = read_encrypted_file(path)
    assert import_file(there, file, PASSPHRASE, RULES) == export.ImportResult(("Ada",))
    assert models(there, "Ada") == [BASE, BASE, ADAPTED]
    assert [one.chip for one in there.list_templates("Ada")] == [None, None, b"picture"]


def test_import_from_base_terminal_is_accepted(
    adapted: GalleryStore, open_store: Open, tmp_path: Path
) -> None:
    path = tmp_path / "people"
    write_export(open_store(model=BASE), path, PASSPHRASE)
    file = read_encrypted_file(path)
    result = import_file(adapted, file, PASSPHRASE, RULES, replace=True)
    assert result == export.ImportResult(("Ada",)) and models(adapted, "Ada") == [BASE, BASE]


def test_import_of_unlisted_model_is_refused(adapted: GalleryStore, tmp_path: Path) -> None:
    path = tmp_path / "people"
    write_export(adapted, path, PASSPHRASE)
    there = GalleryStore(
        tmp_path / "there" / "gallery.db", key=bytes(32), terminal="cellar", model_digest=ADAPTED
    )
    result = import_file(there, read_encrypted_file(path), PASSPHRASE, RULES)
    assert result.imported == () and "templates of model bbbb" in result.refused["Ada"]
