"""Model migration: subjects without new templates are matched by the previous model."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.bundle import read_manifest
from edge.config import load_config
from edge.errors import ConfigError
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore
from edge.recogniser.build import build_recogniser_settings, default_record
from edge.recogniser.model_migration import ModelMigration
from edge.recogniser.pipeline import Pipeline
from edge.system.wallclock import WallClock
from edge.values import FaceResult, Frame, Thresholds, Verdict
from tests.builders import make_rules, make_settings
from tests.edge.recogniser.test_pipeline import NOISE, RULES, Scripted, face

WriteConfig = Callable[..., Path]
build: Any = build_recogniser_settings  # takes stand-ins of networks
OLD, NEW = "o" * 64, "n" * 64
ADA_OLD, EVE_OLD, ADA_NEW, EVE_NEW = np.eye(4, 16, dtype=np.float32)


def opened(path: Path, model: str) -> GalleryStore:
    return GalleryStore(
        path, key=bytes(32), terminal="lobby", model_digest=model, allow_other_models=True
    )


class Terminal:
    """Pipeline during a migration; both models see the same face differently."""

    def __init__(self, path: Path) -> None:
        with_old = opened(path, OLD)
        for name, row in (("Ada", ADA_OLD), ("Eve", EVE_OLD)):
            with_old.enroll(name, row[None])
        self.old, self.new = Scripted(), Scripted()
        self.store = opened(path, NEW)
        bundle = SimpleNamespace(model_digest=OLD)
        networks = SimpleNamespace(embedder=self.old, bundle=bundle, close=lambda: None)
        before = make_rules(Thresholds(0.9, 0.9), min_votes_masked=3)
        store = opened(path, NEW)
        self.migration = ModelMigration(networks, with_old, store, before)  # type: ignore[arg-type]
        self.gallery = LiveGallery(self.store)
        self.pipeline = Pipeline(
            self.new,  # type: ignore[arg-type]
            self.new,  # type: ignore[arg-type]
            self.gallery,
            default_record,
            make_settings(RULES),
            self.migration,
            None,
        )
        self.at = 0.0

    def see(self, old: np.ndarray, new: np.ndarray, frames: int = 3) -> list[FaceResult]:
        self.old.identity, self.new.identity = old, new
        self.new.faces = [face(200)]
        found = []
        for _ in range(frames):
            self.at += 0.1
            found += self.pipeline.recognise(Frame(NOISE, self.at, round(self.at * 10)))
        return found

    def close(self) -> None:
        self.migration.close()
        self.store.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path / "gallery.db")
    yield terminal
    terminal.close()


def test_migration_old_model_grants_and_enrolls(
    terminal: Terminal,
) -> None:
    assert terminal.migration.pending_subjects == ["Ada", "Eve"]
    seen = terminal.see(ADA_OLD, ADA_NEW)
    assert (
        seen[-1].decision.verdict is Verdict.GRANT
        and seen[-1].by_previous_model
        and seen[-1].decision.threshold == 0.9
    )
    assert terminal.migration.enroll(seen[-1].track, "Ada") == 3
    assert terminal.migration.enroll(seen[-1].track, "Ada") == 0
    assert terminal.migration.pending_subjects == ["Eve"]
    assert terminal.gallery.refresh() and terminal.store.template_counts() == {"Ada": 3, "Eve": 0}
    terminal.at += 10
    again = terminal.see(ADA_OLD, ADA_NEW)
    assert again[-1].decision.verdict is Verdict.GRANT and not again[-1].by_previous_model


def test_migration_new_templates_decide_alone(terminal: Terminal) -> None:
    opened_again = terminal.store
    opened_again.enroll("Ada", ADA_NEW[None])
    terminal.migration.refresh()
    terminal.gallery.reload()
    assert {s.decision.verdict for s in terminal.see(ADA_OLD, EVE_NEW)} == {Verdict.UNKNOWN}


def test_migration_other_lane_was_faster(terminal: Terminal) -> None:
    seen = terminal.see(ADA_OLD, ADA_NEW)
    terminal.store.enroll("Ada", ADA_NEW[None])  # by the recogniser of another lane
    assert terminal.migration.enroll(seen[-1].track, "Ada") == 0
    assert terminal.store.template_counts()["Ada"] == 1


def test_migration_unknown_faces_stay_unknown(terminal: Terminal) -> None:
    stranger = np.full(16, 0.25, np.float32)
    seen = terminal.see(stranger, stranger)
    assert {(s.decision.verdict, s.by_previous_model) for s in seen} == {(Verdict.UNKNOWN, False)}


def test_migration_mixed_track_is_not_enrolled(terminal: Terminal) -> None:
    terminal.see(ADA_OLD, ADA_NEW, frames=2)
    seen = terminal.see(EVE_OLD, EVE_NEW, frames=1)
    assert terminal.migration.enroll(seen[-1].track, "Ada") == 0


def test_masked_faces_are_not_enrolled(terminal: Terminal) -> None:
    terminal.new.mask_worn = terminal.old.mask_worn = 1.0
    seen = terminal.see(ADA_OLD, ADA_NEW, frames=6)
    assert any(s.decision.verdict is Verdict.GRANT for s in seen)
    assert terminal.migration.enroll(
        seen[-1].track, "Ada"
    ) == 0 and terminal.migration.pending_subjects == [
        "Ada",
        "Eve",
    ]


def measured_at(bundle_path: Path, threshold: float) -> SimpleNamespace:
    """Return networks of a model with a threshold."""
    known = read_manifest(bundle_path).calibration
    point = known.unmasked.model_copy(update={"threshold": threshold})
    calibration = known.model_copy(update={"unmasked": point, "masked": point})
    return SimpleNamespace(
        calibration=calibration,
        passive=None,
        bundle=SimpleNamespace(manifest=SimpleNamespace(liveness=None)),
    )


def test_settings_below_old_model_are_refused(write_config: WriteConfig, bundle_path: Path) -> None:
    networks, previous = measured_at(bundle_path, 0.5), measured_at(bundle_path, 0.8)
    config = load_config(write_config(policy={"threshold_unmasked": 0.7}))
    with pytest.raises(ConfigError, match="below the model's own"):
        build(config, networks, previous, WallClock())


def test_settings_reach_both_models(
    write_config: WriteConfig, bundle_path: Path, terminal: Terminal
) -> None:
    networks, previous = measured_at(bundle_path, 0.5), measured_at(bundle_path, 0.8)
    policy = {"threshold_unmasked": 0.95, "threshold_masked": 0.95, "mask": "require"}
    config = load_config(write_config(policy=policy))
    settings = build(config, networks, previous, WallClock())
    settings.apply(terminal.pipeline, terminal.migration)
    assert terminal.migration.rules.thresholds.unmasked == 0.95
    seen = terminal.see(ADA_OLD, ADA_NEW)
    assert {s.decision.reason for s in seen} == {"mask-required"}


def test_migration_follows_a_replaced_file(terminal: Terminal, tmp_path: Path) -> None:
    """The new file is used by both models and for new templates."""
    path, copy = tmp_path / "gallery.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with closing(opened(copy, OLD)) as other:
        other.remove("Eve")
    for ending in ("-wal", "-shm"):
        (tmp_path / f"gallery.db{ending}").unlink(missing_ok=True)
    copy.replace(path)
    terminal.migration.reload()
    terminal.gallery.reload()
    assert terminal.migration.pending_subjects == ["Ada"]
    assert {s.decision.verdict for s in terminal.see(EVE_OLD, EVE_NEW)} == {Verdict.UNKNOWN}
    terminal.at += 10
    seen = terminal.see(ADA_OLD, ADA_NEW)
    assert terminal.migration.enroll(seen[-1].track, "Ada") == 3
    with closing(opened(path, NEW)) as now:
        assert now.template_counts() == {"Ada": 3}


def test_changeover_enrolls_no_removed_person(
    terminal: Terminal, caplog: pytest.LogCaptureFixture
) -> None:
    seen = terminal.see(ADA_OLD, ADA_NEW)
    terminal.store.remove("Ada")
    assert terminal.migration.enroll(seen[-1].track, "Ada") == 0
    assert terminal.store.template_counts() == {"Eve": 0} and "Ada" not in caplog.text
    assert "was removed" in caplog.text
