"""Composition of the recogniser: networks, gallery, rules and pipeline of a configuration."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from edge.access.policy import DecisionRules
from edge.access.schedule import build_hours_check
from edge.access.thresholds import ThresholdScaling
from edge.bundle import SAME_PERSON_FMR, Bundle, Calibration
from edge.config import TerminalConfig
from edge.config.policy import NoLivenessConfig, PolicyConfig
from edge.config.recognition import DetectorConfig
from edge.errors import ConfigError
from edge.face.liveness import LivenessLayer
from edge.face.liveness.challenge import ChallengeAction, ChallengeLiveness
from edge.face.liveness.motion import MotionLiveness
from edge.face.liveness.passive import PassiveLiveness
from edge.face.liveness.screen import ScreenLiveness
from edge.gallery.enrollment.consistency import MatchThresholds
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.schema import LOOP_LOCK_WAIT_S
from edge.gallery.store import GalleryStore, open_store
from edge.recogniser.lane_faces import LaneFaceFiles, unnamed_warning
from edge.recogniser.lane_guard import LaneGuard
from edge.recogniser.model_migration import ModelMigration
from edge.recogniser.networks import TerminalNetworks, open_networks
from edge.recogniser.pipeline import Pipeline
from edge.recogniser.pipeline_values import (
    FaceFilter,
    PipelineSettings,
    Searchable,
    SubjectLookup,
)
from edge.subject import SubjectRecord
from edge.system.wallclock import WallClock
from edge.values import Thresholds

log = logging.getLogger(__name__)

_MIN_DECADES = 0.5  # of FMR between two measured points, for a line through them


@dataclass(frozen=True, slots=True, eq=False)
class Recogniser:
    """Networks, gallery and pipeline of a running terminal, open."""

    networks: TerminalNetworks
    store: GalleryStore
    gallery: LiveGallery
    migration: ModelMigration | None  # None: there is no previous model
    pipeline: Pipeline
    guard: LaneGuard | None  # None: the only recogniser of the terminal

    @property
    def model(self) -> str:
        """Model of the embedder, as it is named in records."""
        return self.networks.bundle.model_digest[:12]

    @property
    def engine(self) -> str:
        """Engine and precision of the embedder."""
        return f"{self.networks.engine} {self.networks.precision}"

    def close(self) -> None:
        self.networks.close()
        self.store.close()
        if self.guard is not None:
            self.guard.close()
        if self.migration is not None:
            self.migration.close()


@dataclass(frozen=True, slots=True)
class RecogniserSettings:
    """Settings that a running recogniser can change."""

    pipeline: PipelineSettings
    previous_rules: DecisionRules | None  # rules of the previous model, during a migration

    def apply(self, pipeline: Pipeline, migration: ModelMigration | None) -> None:
        """Apply everything from the next frame on."""
        pipeline.update_settings(self.pipeline)
        if migration is not None and self.previous_rules is not None:
            migration.update_rules(self.previous_rules)


def open_recogniser(
    config: TerminalConfig,
    networks: TerminalNetworks,
    key: bytes,
    *,
    wall: WallClock,
    clock: Callable[[], float],
) -> Recogniser:
    """Open the gallery and build the pipeline of the recogniser process.

    The gallery's file is created or upgraded first, then opened read-only for the loop.
    Raises BundleError, EngineError, GalleryError, ConfigError.
    """
    bundle, is_migrating = networks.bundle, config.previous_bundle is not None
    open_this = partial(
        open_store,
        config,
        bundle.model_digest,
        key,
        compatible_with=bundle.compatible_with,
        allow_other_models=is_migrating,
    )
    open_this().close()
    store = open_this(
        dimension=networks.embedder.dimension(),
        read_only=True,
        lock_wait_s=LOOP_LOCK_WAIT_S,
    )
    gallery = LiveGallery(store, clock=clock)
    migration = open_model_migration(config, bundle, key)
    guard = open_lane_guard(config, networks)
    pipeline = open_pipeline(
        config,
        networks,
        gallery,
        lookup=gallery.find_record,
        wall=wall,
        migration=migration,
        guard=guard,
    )
    return Recogniser(networks, store, gallery, migration, pipeline, guard)


def open_lane_guard(config: TerminalConfig, networks: TerminalNetworks) -> LaneGuard | None:
    """Open the guard between the lanes of a terminal, None for its only recogniser.

    Raises ConfigError.
    """
    if config.instance is None:
        if (warning := unnamed_warning(config)) is not None:
            log.warning("%s", warning)
        return None
    files = LaneFaceFiles(
        config.lane_faces_folder,
        config.instance,
        networks.bundle.model_digest,
        networks.embedder.dimension(),
    )
    return LaneGuard(files, config.policy.cooldown_s)


def open_model_migration(
    config: TerminalConfig, bundle: Bundle, key: bytes
) -> ModelMigration | None:
    """Open the previous model of a config besides its bundle, None if it names none.

    Raises BundleError, EngineError, GalleryError, ConfigError.
    """
    if config.previous_bundle is None:
        return None
    networks = open_networks(config.model_copy(update={"bundle": config.previous_bundle}))
    previous_store = open_store(
        config,
        networks.bundle.model_digest,
        key,
        compatible_with=networks.bundle.compatible_with,
        allow_other_models=True,
        dimension=networks.embedder.dimension(),
        read_only=True,
        lock_wait_s=LOOP_LOCK_WAIT_S,
    )
    store = open_store(
        config,
        bundle.model_digest,
        key,
        compatible_with=bundle.compatible_with,
        allow_other_models=True,
        lock_wait_s=LOOP_LOCK_WAIT_S,
    )
    rules = build_rules(config.policy, networks.calibration)
    migration = ModelMigration(networks, previous_store, store, rules)
    pending = len(migration.pending_subjects)
    previous = migration.model[:12]
    log.info("migration from model %s: %d people have no new templates yet", previous, pending)
    return migration


def open_pipeline(
    config: TerminalConfig,
    networks: TerminalNetworks,
    gallery: Searchable,
    *,
    lookup: SubjectLookup | None = None,
    wall: WallClock | None = None,
    migration: ModelMigration | None = None,
    guard: LaneGuard | None = None,
) -> Pipeline:
    """Build the pipeline of a config; without `lookup` no subject has a record of its own.

    Raises ConfigError.
    """
    settings = build_recogniser_settings(config, networks, migration, wall or WallClock())
    return Pipeline(
        networks.detector,
        networks.embedder,
        gallery,
        lookup or default_record,
        settings.pipeline,
        migration,
        guard,
    )


def default_record(subject: str) -> SubjectRecord:
    """Return the record of a subject in a gallery that holds only templates."""
    return SubjectRecord()


def build_recogniser_settings(
    config: TerminalConfig,
    networks: TerminalNetworks,
    migration: ModelMigration | None,
    wall: WallClock,
) -> RecogniserSettings:
    """Build the settings of a config; raises ConfigError, also for the previous model."""
    pipeline = PipelineSettings(
        build_rules(config.policy, networks.calibration),
        build_face_filter(config.detector),
        config.policy.max_unknown_per_minute,
        tuple(build_liveness_layers(config, networks, wall)),
        networks.calibration.same_person,
    )
    previous = None
    if migration is not None:
        previous = build_rules(config.policy, migration.calibration)
    return RecogniserSettings(pipeline, previous)


def build_liveness_layers(
    terminal: TerminalConfig, networks: TerminalNetworks, wall: WallClock
) -> list[Callable[[], LivenessLayer]]:
    """Build the factories of the configured liveness layers; each track has its own layers."""
    config = terminal.liveness
    if isinstance(config, NoLivenessConfig):
        return []
    layers: list[Callable[[], LivenessLayer]] = []
    if config.motion:
        layers.append(MotionLiveness)
    if config.screen:
        layers.append(ScreenLiveness)
    network = networks.bundle.manifest.liveness
    if networks.passive is not None and network is not None:
        layers.append(partial(PassiveLiveness, networks.passive, network.threshold))
    # A photo can come closer too: that action needs the motion layer.
    turns = (ChallengeAction.TURN_LEFT, ChallengeAction.TURN_RIGHT)
    actions: Sequence[ChallengeAction] = tuple(ChallengeAction) if config.motion else turns
    if config.challenge == "hours":
        due = _challenge_hours(terminal, wall)
        layers.append(partial(ChallengeLiveness, when=due, actions=actions))
    elif config.challenge != "never":
        layers.append(partial(ChallengeLiveness, when=config.challenge, actions=actions))
    return layers


def _challenge_hours(terminal: TerminalConfig, wall: WallClock) -> Callable[[], bool]:
    assert not isinstance(terminal.liveness, NoLivenessConfig)
    is_within = build_hours_check(terminal.liveness.challenge_hours, terminal.door.schedule)

    def is_due() -> bool:
        """Return True within the hours, and while the clock is in doubt."""
        now, is_trusted = wall.read()
        return not is_trusted or is_within(datetime.fromtimestamp(now, timezone.utc))

    return is_due


def build_rules(config: PolicyConfig, calibration: Calibration) -> DecisionRules:
    """Build rules from a config and a model's thresholds.

    Raises ConfigError if the config lowers a threshold.
    """
    chosen = {}
    for name, point in (("unmasked", calibration.unmasked), ("masked", calibration.masked)):
        wanted = getattr(config, f"threshold_{name}")
        if wanted is not None and wanted < point.threshold:
            raise ConfigError(
                f"policy.threshold_{name}: {wanted} is below the model's own "
                f"{point.threshold:.4f}; it can only be raised"
            )
        chosen[name] = point.threshold if wanted is None else wanted
    least = calibration.min_expected_similarity
    if config.min_expected_similarity is not None:
        if config.min_expected_similarity < least:
            raise ConfigError(
                f"policy.min_expected_similarity: {config.min_expected_similarity} is below the "
                f"model's own {least:.2f}; it can only be raised"
            )
        least = config.min_expected_similarity
    return DecisionRules(
        Thresholds(**chosen),
        Thresholds(
            calibration.verification.unmasked.threshold, calibration.verification.masked.threshold
        ),
        min_votes=config.min_votes,
        min_votes_masked=config.min_votes_masked,
        window_s=config.window_s,
        min_agreement=config.min_agreement,
        decision_timeout_s=config.decision_timeout_s,
        margin=config.margin,
        cooldown_s=config.cooldown_s,
        mask=config.mask,
        uncertainty_band=config.uncertainty_band,
        min_expected_similarity=least,
        one_at_a_time=config.one_at_a_time,
        scaling=build_threshold_scaling(calibration),
    )


def build_threshold_scaling(calibration: Calibration) -> ThresholdScaling:
    """Build the scaling of a model's thresholds beyond the gallery size that it supports.

    If the model was measured at a single FMR, each decade takes all the way to a score of 1.
    """
    point = calibration.unmasked
    decades = math.log10(SAME_PERSON_FMR / point.target_fmr)
    rise = point.threshold - calibration.same_person
    is_measured = decades > _MIN_DECADES and rise > 0
    return ThresholdScaling(
        Thresholds(point.threshold, calibration.masked.threshold),
        calibration.gallery_size,
        rise / decades if is_measured else 1 - point.threshold,
        max(point.fmr_upper, calibration.masked.fmr_upper),
    )


def build_duplicate_thresholds(
    rules: DecisionRules, calibration: Calibration, templates: int
) -> MatchThresholds:
    """Return the scores from which enrollment takes two people for one, in a gallery of a size."""
    return MatchThresholds(calibration.same_person, rules.for_size(templates).thresholds.unmasked)


def build_face_filter(config: DetectorConfig) -> FaceFilter:
    """Build the filter of the faces that are examined."""
    return FaceFilter(
        min_face_px=config.min_face_px,
        zone=config.zone,
        nearest_only=config.nearest_only,
        max_faces=config.max_faces_per_frame,
        start_score=config.min_score,
        search_interval_s=config.search_interval_s,
    )
