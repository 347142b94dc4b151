"""Builders of runtime values for tests, with values that most tests do not care about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from edge.access.policy import DecisionRules
from edge.face.detect import FULL_FRAME
from edge.face.liveness import LivenessLayer
from edge.recogniser.pipeline_values import FaceFilter, PipelineSettings
from edge.values import Thresholds


def make_rules(thresholds: Thresholds, **changes: Any) -> DecisionRules:
    """Return rules of three votes within a second."""
    rules = DecisionRules(
        thresholds,
        verification=thresholds,
        min_votes=3,
        min_votes_masked=5,
        window_s=1.0,
        min_agreement=0.66,
        decision_timeout_s=10.0,
        margin=0.05,
        cooldown_s=4.0,
        mask="ignore",
        uncertainty_band=0.1,
        min_expected_similarity=0.0,
        one_at_a_time=False,
        scaling=None,
    )
    return replace(rules, **changes)


def make_filter(min_face_px: int = 60, **changes: Any) -> FaceFilter:
    """Return a filter that searches every frame completely."""
    everywhere = FaceFilter(
        min_face_px,
        zone=FULL_FRAME,
        nearest_only=False,
        max_faces=2,
        start_score=0.7,
        search_interval_s=0.0,
    )
    return replace(everywhere, **changes)


def make_settings(
    rules: DecisionRules,
    face_filter: FaceFilter | None = None,
    *,
    max_unknown_per_minute: int = 10_000,
    layers: Sequence[Callable[[], LivenessLayer]] = (),
    same_person: float = 0.4,
) -> PipelineSettings:
    """Return settings of a pipeline without liveness layers."""
    return PipelineSettings(
        rules, face_filter or make_filter(), max_unknown_per_minute, tuple(layers), same_person
    )
