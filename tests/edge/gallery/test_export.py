from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import GalleryError
from edge.gallery import export
from edge.gallery.encrypted_file import EncryptedFile, encrypt_json, read_encrypted_file
from edge.gallery.export import EXPORT_MAGIC
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.store import GalleryStore
from edge.subject import Consent, SubjectRecord
from tests.edge.gallery.conftest import import_file, write_export

pytestmark = pytest.mark.usefixtures("cheap_scrypt")

Open = Callable[..., GalleryStore]
RULES = ImportPolicy(lambda: date(2026, 11, 29), consent_required=False, erase_after_days=None)
PASSPHRASE = "a horse of some other colour"
ADA = SubjectRecord(
    mask="any",
    consent=Consent(date(2026, 1, 1), "guard"),
)


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def here(open_store: Open) -> GalleryStore:
    store = open_store()
    store.enroll("Ada", rows(2), record=ADA, chips=[b"picture", None])
    store.enroll("Eve", rows(1, seed=1))
    return store


@pytest.fixture
def there(tmp_path: Path) -> GalleryStore:
    return GalleryStore(
        tmp_path / "there" / "gallery.db", key=bytes(32), terminal="cellar", model_digest="m" * 64
    )


def test_import_keeps_attributes(here: GalleryStore, there: GalleryStore, tmp_path: Path) -> None:
    path = tmp_path / "people"
    assert write_export(here, path, PASSPHRASE) == 2
    assert (
        path.stat().st_mode & 0o777 == 0o600
        and b"Ada" not in path.read_bytes()
        and rows(1).tobytes() not in path.read_bytes()
    )
    assert import_file(there, read_encrypted_file(path), PASSPHRASE, RULES) == export.ImportResult(
        ("Ada", "Eve")
    )
    ada, eve = there.read_subjects()
    assert (ada.name, eve.name) == ("Ada", "Eve") and np.array_equal(ada.templates, rows(2))
    assert ada.record == ADA
    assert [kept.chip for kept in there.list_templates("Ada")] == [b"picture", None]


def test_import_enrolled_is_refused_or_replaced(
    here: GalleryStore, there: GalleryStore, tmp_path: Path
) -> None:
    path = tmp_path / "people"
    there.enroll("Ada", rows(3, seed=9))
    assert write_export(here, path, PASSPHRASE, ["Ada"]) == 1
    assert list(import_file(there, read_encrypted_file(path), PASSPHRASE, RULES).refused) == [
        "Ada"
    ] and there.template_counts() == {"Ada": 3}
    assert import_file(
        there, read_encrypted_file(path), PASSPHRASE, RULES, replace=True
    ).imported == ("Ada",) and there.template_counts() == {"Ada": 2}


def test_transfer_errors_name_the_cause(
    here: GalleryStore, there: GalleryStore, tmp_path: Path
) -> None:
    path = tmp_path / "people"
    with pytest.raises(GalleryError, match="at least 12 characters"):
        write_export(here, path, "short")
    with pytest.raises(GalleryError, match="'Joe': not enrolled"):
        write_export(here, path, PASSPHRASE, ["Joe"])
    write_export(here, path, PASSPHRASE)
    with pytest.raises(GalleryError, match="wrong passphrase"):
        import_file(there, read_encrypted_file(path), PASSPHRASE + "!", RULES)
    other = GalleryStore(
        tmp_path / "other.db", key=bytes(32), terminal="attic", model_digest="n" * 64
    )
    with pytest.raises(GalleryError, match="templates are of model"):
        import_file(other, read_encrypted_file(path), PASSPHRASE, RULES)
    other.close()
    with pytest.raises(GalleryError, match="cannot be read"):
        read_encrypted_file(tmp_path / "none")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_import_changed_file_enrolls_no_one(
    here: GalleryStore, there: GalleryStore, tmp_path: Path, at: float, cut: bool
) -> None:
    path = tmp_path / "people"
    if not path.exists():
        write_export(here, path, PASSPHRASE)
    content = bytearray(path.read_bytes())
    place = int(at * len(content))
    if cut:
        del content[place:]
    else:
        content[place] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(content)
    with pytest.raises(GalleryError):
        import_file(there, read_encrypted_file(changed), PASSPHRASE, RULES)
    assert there.template_counts() == {}


def person(name: str = "Ada", more: dict[str, object] | None = None, **parts: object) -> object:
    """Return a person of a file as another program might write it."""
    good = base64.b64encode(rows(1).tobytes()).decode()
    subject = json.dumps({"name": name, **(more or {})})
    return {"subject": subject, "templates": [good], "chips": [], **parts}


def encoded(row: np.ndarray) -> list[str]:
    return [base64.b64encode(row.astype("<f4").tobytes()).decode()]


def crafted(path: Path, *people: object) -> EncryptedFile:
    tree = {"model": "m" * 64, "people": list(people)}
    return EncryptedFile(path, encrypt_json(EXPORT_MAGIC, tree, PASSPHRASE))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (person("Bad", templates=encoded(np.ones(16))), "norm 4, expected 1"),
        (person("Bad", templates=encoded(np.full(16, np.nan))), "not finite"),
        (person("Bad", templates=encoded(np.eye(1, 8))), "8 numbers, expected 16"),
        (person("Bad", templates=[]), "no template"),
        (person("Bad", templates=["no base64!"]), "invalid content"),
        (person("B\nd"), "expected a subject name"),
        (person("Bad", {"erase_on": "2026-11-29"}), "was to be erased on 2026-11-29"),
        (
            person("Bad", {"valid_from": "2027-01-02", "valid_until": "2027-01-01"}),
            "which is after",
        ),
        (person("Bad", {"groups": ["a\tb"]}), "group: expected"),
        (person("Bad", {"mask": "never"}), "invalid content"),
        (person("Ada"), "the name of another person"),
        (person("A\u200dda"), "the name of another person"),
        (7, "invalid content"),
    ],
)
def test_import_refuses_one_bad_person(
    there: GalleryStore, tmp_path: Path, bad: object, reason: str
) -> None:
    file = crafted(tmp_path / "people", person("Ada"), bad, person("Eve"))
    result = import_file(there, file, PASSPHRASE, RULES, dimension=16)
    assert result.imported == ("Ada", "Eve") and there.template_counts() == {"Ada": 1, "Eve": 1}
    (why,) = result.refused.values()
    assert reason in why


@pytest.mark.parametrize("other", ["Zoe\u0308", "Zo\u200d\u00eb", " Zo\u00eb "])
def test_import_spellings_never_replace(there: GalleryStore, tmp_path: Path, other: str) -> None:
    eve = person(other, templates=encoded(rows(2)[1]))
    file = crafted(tmp_path / "people", person("Zo\u00eb"), eve)
    result = import_file(there, file, PASSPHRASE, RULES, replace=True)
    assert result.imported == ("Zo\u00eb",) and len(result.refused) == 1
    assert np.array_equal(there.read_subjects()[0].templates, rows(1))


def test_import_asks_for_consent_and_erases(there: GalleryStore, tmp_path: Path) -> None:
    agreed = {"consent": {"given": "2026-01-01", "noted_by": "guard"}}
    late = {**agreed, "erase_on": "2030-01-01"}
    people = person("Ada"), person("Eve", agreed), person("Joe", late)
    rules = replace(RULES, consent_required=True, erase_after_days=10)
    result = import_file(there, crafted(tmp_path / "people", *people), PASSPHRASE, rules)
    assert list(result.refused) == ["Ada"] and "no consent is recorded" in result.refused["Ada"]
    assert {known.record.erase_on for known in there.read_subjects()} == {date(2026, 12, 9)}
    assert there.template_counts() == {"Eve": 1, "Joe": 1}


def test_import_without_a_trusted_clock(there: GalleryStore, tmp_path: Path) -> None:
    """The clock is needed only for people with an erasure date."""

    def doubtful() -> date:
        raise GalleryError("the clock was never set")

    people = person("Ada"), person("Eve", {"erase_on": "2030-01-01"})
    rules = replace(RULES, today=doubtful)
    result = import_file(there, crafted(tmp_path / "people", *people), PASSPHRASE, rules)
    assert result.imported == ("Ada",) and result.refused == {"Eve": "the clock was never set"}
