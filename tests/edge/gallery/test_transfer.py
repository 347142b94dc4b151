from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import GalleryError
from edge.gallery import transfer
from edge.gallery.store import Store
from edge.subject import Consent, SubjectRecord

Open = Callable[..., Store]
PASSPHRASE = "a horse of some other colour"
ADA = SubjectRecord(
    groups=("staff",),
    valid_until=date(2027, 1, 1),
    consent=Consent(date(2026, 1, 1), "guard"),
    pin="hash",
)


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def here(open_store: Open) -> Store:
    store = open_store()
    store.enroll("Ada", rows(2), record=ADA, chips=[b"picture", None])
    store.enroll("Eve", rows(1, seed=1))
    return store


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(
        tmp_path / "there" / "gallery.db", key=bytes(32), terminal="cellar", model_digest="m" * 64
    )


def test_people_arrive_with_all_that_is_known_of_them_but_the_pin(
    here: Store, there: Store, tmp_path: Path
) -> None:
    path = tmp_path / "people"
    assert transfer.export(here, path, PASSPHRASE) == 2
    assert (
        path.stat().st_mode & 0o777 == 0o600
        and b"Ada" not in path.read_bytes()
        and rows(1).tobytes() not in path.read_bytes()
    )
    assert transfer.take(there, path, PASSPHRASE) == transfer.Taken(2)
    ada, eve = there.known()
    assert (ada.name, eve.name) == ("Ada", "Eve") and np.array_equal(ada.templates, rows(2))
    assert (
        ada.record.pin == ""
        and ada.record.groups == ADA.groups
        and ada.record.consent == ADA.consent
    )
    assert [kept.chip for kept in there.kept("Ada")] == [b"picture", None]


def test_who_is_enrolled_there_is_refused_or_replaced(
    here: Store, there: Store, tmp_path: Path
) -> None:
    path = tmp_path / "people"
    there.enroll("Ada", rows(3, seed=9))
    assert transfer.export(here, path, PASSPHRASE, ["Ada"]) == 1
    assert list(transfer.take(there, path, PASSPHRASE).refused) == ["Ada"] and there.subjects() == {
        "Ada": 3
    }
    assert transfer.take(there, path, PASSPHRASE, replace=True).taken == 1 and there.subjects() == {
        "Ada": 2
    }


def test_what_is_refused_by_name(here: Store, there: Store, tmp_path: Path) -> None:
    path = tmp_path / "people"
    with pytest.raises(GalleryError, match="at least 12 characters"):
        transfer.export(here, path, "short")
    with pytest.raises(GalleryError, match="'Nobody': not enrolled"):
        transfer.export(here, path, PASSPHRASE, ["Nobody"])
    transfer.export(here, path, PASSPHRASE)
    with pytest.raises(GalleryError, match="the passphrase is another one"):
        transfer.take(there, path, PASSPHRASE + "!")
    other = Store(tmp_path / "other.db", key=bytes(32), terminal="attic", model_digest="n" * 64)
    with pytest.raises(GalleryError, match="templates are of model"):
        transfer.take(other, path, PASSPHRASE)
    other.close()
    with pytest.raises(GalleryError, match="cannot be read"):
        transfer.take(there, tmp_path / "none", PASSPHRASE)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_a_file_that_was_changed_enrolls_nobody(
    here: Store, there: Store, tmp_path: Path, at: float, cut: bool
) -> None:
    path = tmp_path / "people"
    transfer.export(here, path, PASSPHRASE)
    content = bytearray(path.read_bytes())
    place = int(at * len(content))
    if cut:
        del content[place:]
    else:
        content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(GalleryError):
        transfer.take(there, path, PASSPHRASE)
    assert there.subjects() == {}
