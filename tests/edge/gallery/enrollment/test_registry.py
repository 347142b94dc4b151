from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.gallery.enrollment.registry import EnrolledSubjects
from edge.gallery.store import GalleryStore
from edge.subject import SubjectRecord

Open = Callable[..., GalleryStore]
ADA, BOB = (np.eye(1, 8, k, dtype=np.float32) for k in (0, 1))


def test_subjects_refresh_sees_other_process(open_store: Open) -> None:
    subjects, other = EnrolledSubjects(open_store(), dry_run=False), open_store()
    assert len(subjects) == 0 and subjects.find("Ada") is None
    other.enroll("Ada", ADA)
    subjects.refresh()
    assert subjects.index.best_other(ADA[0], "Bob") == (1, "Ada")
    subjects.enroll("Bob", BOB, SubjectRecord(mask="any"))
    other.remove("Ada")
    subjects.refresh()
    assert len(subjects) == 1 and subjects.index.best_other(ADA[0], "Bob") == (-1, None)
    bob = subjects.find("Bob")
    assert bob is not None and bob.record.mask == "any" and np.array_equal(bob.templates, BOB)


def test_subjects_dry_run_stores_nothing(open_store: Open) -> None:
    store = open_store()
    store.enroll("Ada", ADA)
    for subjects, before in (
        (EnrolledSubjects(store, dry_run=True), [ADA]),
        (EnrolledSubjects(None, dry_run=True), []),
    ):
        subjects.enroll("Ada", BOB, SubjectRecord())
        subjects.enroll("Bob", BOB, SubjectRecord())
        subjects.enroll("Bob", ADA, SubjectRecord(), replace=True)
        subjects.refresh()
        ada, bob = subjects.find("Ada"), subjects.find("Bob")
        assert ada is not None and bob is not None
        assert np.array_equal(ada.templates, np.vstack([*before, BOB]))
        assert np.array_equal(bob.templates, ADA) and len(subjects) == 2
    assert store.template_counts() == {"Ada": 1}


def test_subjects_record_alone_is_updated(open_store: Open) -> None:
    store = open_store()
    subjects = EnrolledSubjects(store, dry_run=False)
    subjects.enroll("Ada", ADA, SubjectRecord())
    subjects.enroll("Ada", np.zeros((0, 0), np.float32), SubjectRecord(mask="any"))
    assert store.template_counts() == {"Ada": 1}
    record = store.find_record("Ada")
    assert record is not None and record.mask == "any"
