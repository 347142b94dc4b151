from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.gallery.enrollment.registry import EnrolledSubjects
from edge.gallery.store import GalleryStore
from edge.subject import SubjectRecord

Open = Callable[..., GalleryStore]
ADA, BOB = (np.eye(1, 8, k, dtype=np.float32) for k in (0, 1))


def test_what_another_process_changes_is_seen(open_store: Open) -> None:
    roll, other = EnrolledSubjects(open_store()), open_store()
    assert len(roll) == 0 and roll.find("Ada") is None
    other.enroll("Ada", ADA)
    roll.refresh()
    assert roll.index.best_other(ADA[0], "Bob") == (1, "Ada")
    roll.enroll("Bob", BOB, SubjectRecord(extended=True))
    other.remove("Ada")
    roll.refresh()
    assert len(roll) == 1 and roll.index.best_other(ADA[0], "Bob") == (-1, None)
    bob = roll.find("Bob")
    assert bob is not None and bob.record.extended and np.array_equal(bob.templates, BOB)


def test_a_dry_roll_knows_what_it_was_told_and_stores_nothing(open_store: Open) -> None:
    store = open_store()
    store.enroll("Ada", ADA)
    for roll, before in ((EnrolledSubjects(store, dry=True), [ADA]), (EnrolledSubjects(None), [])):
        roll.enroll("Ada", BOB, SubjectRecord())
        roll.enroll("Bob", BOB, SubjectRecord())
        roll.enroll("Bob", ADA, SubjectRecord(), replace=True)
        roll.refresh()
        ada, bob = roll.find("Ada"), roll.find("Bob")
        assert ada is not None and bob is not None
        assert np.array_equal(ada.templates, np.vstack([*before, BOB]))
        assert np.array_equal(bob.templates, ADA) and len(roll) == 2
    assert store.subjects() == {"Ada": 1}


def test_rights_alone_can_be_noted_anew(open_store: Open) -> None:
    store = open_store()
    roll = EnrolledSubjects(store)
    roll.enroll("Ada", ADA, SubjectRecord())
    roll.enroll("Ada", np.zeros((0, 0), np.float32), SubjectRecord(groups=("staff",)))
    assert store.subjects() == {"Ada": 1}
    record = store.record("Ada")
    assert record is not None and record.groups == ("staff",)
