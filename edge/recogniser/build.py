"""What a configuration makes of the parts: a pipeline, its rules, who may pass, which faces count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import partial

from edge.access.policy import Rules, ThresholdScaling, rules_for_size
from edge.access.schedule import within
from edge.access.validity import AccessRights
from edge.bundle import SAME_PERSON_FMR, Calibration
from edge.config import TerminalConfig
from edge.config.access import NoLivenessConfig, PolicyConfig
from edge.config.recognition import DetectorConfig
from edge.errors import ConfigError
from edge.face.liveness import LivenessChecker, LivenessLayer
from edge.face.liveness.challenge import Action, ChallengeLiveness
from edge.face.liveness.motion import MotionLiveness
from edge.face.liveness.passive import PassiveLiveness
from edge.face.liveness.screen import ScreenLiveness
from edge.face.track import Tracker
from edge.gallery.enrollment.consistency import MatchThresholds
from edge.names import name_key
from edge.recogniser.model_migration import ModelMigration
from edge.recogniser.networks import TerminalNetworks
from edge.recogniser.pipeline import AccessPolicy, FaceFilter, Pipeline, Searchable, SubjectLookup
from edge.subject import SubjectRecord
from edge.system.wallclock import WallClock
from edge.values import Thresholds


def default_record(subject: str) -> SubjectRecord:
    """For galleries that know no more than templates."""
    return SubjectRecord()


@dataclass(frozen=True, slots=True)
class RecogniserSettings:
    """The part of a configuration that a running recogniser can change."""

    rules: Rules
    face_filter: FaceFilter
    access: AccessPolicy
    layers: Sequence[Callable[[], LivenessLayer]]
    previous: Rules | None  # rules of the previous model, during a migration

    def apply(self, pipeline: Pipeline, changeover: ModelMigration | None) -> None:
        """Apply everything from the next frame on."""
        pipeline.update_rules(self.rules, self.face_filter, self.access)
        pipeline.update_layers(self.layers)
        if changeover is not None and self.previous is not None:
            changeover.update_rules(self.previous)


def build_recogniser_settings(
    config: TerminalConfig,
    networks: TerminalNetworks,
    changeover: ModelMigration | None,
    wall: WallClock,
) -> RecogniserSettings:
    """Build the settings of a config; raises ConfigError, also for the previous model."""
    return RecogniserSettings(
        build_rules(config.policy, networks.calibration),
        build_face_filter(config.detector),
        build_access_policy(config, wall),
        build_liveness_layers(config, networks, wall),
        build_rules(config.policy, changeover.calibration) if changeover is not None else None,
    )


def open_pipeline(
    config: TerminalConfig,
    networks: TerminalNetworks,
    gallery: Searchable,
    *,
    people: SubjectLookup = default_record,
    wall: WallClock | None = None,
    changeover: ModelMigration | None = None,
) -> Pipeline:
    """Build the pipeline of a config; `people` finds a subject's record. Raises ConfigError."""
    settings = build_recogniser_settings(config, networks, changeover, wall or WallClock())
    return Pipeline(
        networks.detector,
        networks.embedder,
        gallery,
        settings.rules,
        settings.face_filter,
        Tracker(networks.calibration.same_person),
        LivenessChecker(settings.layers),
        settings.access,
        people,
        changeover,
    )


def build_liveness_layers(
    terminal: TerminalConfig, networks: TerminalNetworks, wall: WallClock | None = None
) -> list[Callable[[], LivenessLayer]]:
    """The layers of liveness that a config wants, each made anew for each track."""
    config = terminal.liveness
    if isinstance(config, NoLivenessConfig):
        return []
    layers: list[Callable[[], LivenessLayer]] = []
    if config.motion:
        layers.append(MotionLiveness)
    if config.screen:
        layers.append(ScreenLiveness)
    if networks.passive is not None and networks.bundle.manifest.liveness is not None:
        layers.append(
            partial(PassiveLiveness, networks.passive, networks.bundle.manifest.liveness.threshold)
        )
    # Anything that comes closer has come closer; only beside `motion` does that tell a person from a photo.
    actions = tuple(Action) if config.motion else (Action.TURN_LEFT, Action.TURN_RIGHT)
    if config.challenge == "hours":
        now_in = within(config.challenge_hours, terminal.door.schedule)
        clock = wall or WallClock()

        def is_due() -> bool:
            """Return True within the hours, and while the clock is in doubt."""
            now, believed = clock.read()
            return not believed or now_in(datetime.fromtimestamp(now, timezone.utc))

        layers.append(partial(ChallengeLiveness, when=is_due, actions=actions))
    elif config.challenge != "never":
        layers.append(partial(ChallengeLiveness, when=config.challenge, actions=actions))
    return layers


def build_rules(config: PolicyConfig, calibrated: Calibration) -> Rules:
    """The config's rules with the model's thresholds; raises ConfigError where the config would lower one."""
    chosen = {}
    for name, point in (("unmasked", calibrated.unmasked), ("masked", calibrated.masked)):
        wanted = getattr(config, f"threshold_{name}")
        if wanted is not None and wanted < point.threshold:
            raise ConfigError(
                f"policy.threshold_{name}: {wanted} is below the model's own {point.threshold:.4f}; it can only be raised"
            )
        chosen[name] = point.threshold if wanted is None else wanted
    return Rules(
        Thresholds(**chosen),
        min_votes=config.min_votes,
        min_votes_masked=config.min_votes_masked,
        window_s=config.window_s,
        min_agreement=config.min_agreement,
        decision_timeout_s=config.decision_timeout_s,
        margin=config.margin,
        cooldown_s=config.cooldown_s,
        mask=config.mask,
        uncertainty_band=config.uncertainty_band,
        scaling=build_threshold_scaling(calibrated),
    )


def build_threshold_scaling(calibrated: Calibration) -> ThresholdScaling:
    """How thresholds rise beyond the gallery that a model supports; by all there is, where it was measured at one FMR alone."""
    point = calibrated.unmasked
    decades, rising = (
        math.log10(SAME_PERSON_FMR / point.target_fmr),
        point.threshold - calibrated.same_person,
    )
    return ThresholdScaling(
        Thresholds(point.threshold, calibrated.masked.threshold),
        calibrated.gallery_size,
        rising / decades if decades > 0.5 and rising > 0 else 1 - point.threshold,
        max(point.fmr_upper, calibrated.masked.fmr_upper),
    )


def duplicate_thresholds(rules: Rules, calibrated: Calibration, templates: int) -> MatchThresholds:
    """From which scores on enrollment takes two for one, in a gallery of that size."""
    return MatchThresholds(
        calibrated.same_person, rules_for_size(rules, templates).thresholds.unmasked
    )


def build_access_policy(config: TerminalConfig, wall: WallClock) -> AccessPolicy:
    """Who may pass, by the config; days begin and end in the time zone of the schedule."""
    zone = config.door.schedule.zone

    def today() -> date | None:
        now, believed = wall.read()
        return datetime.fromtimestamp(now, zone).date() if believed else None

    return AccessPolicy(
        AccessRights(frozenset(map(name_key, config.policy.groups)), today),
        config.policy.max_unknown_per_minute,
    )


def build_face_filter(config: DetectorConfig) -> FaceFilter:
    """Which faces count, by the config."""
    return FaceFilter(
        config.min_face_px,
        config.zone,
        config.nearest_only,
        config.max_faces_per_frame,
        config.search_interval_s,
    )
