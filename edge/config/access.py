"""Who is let in, and how sure the terminal must be that a living person stands there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge.config.schedule import HoursConfig
from edge.config.section import Section
from edge.names import parse_group

GroupName = Annotated[str, AfterValidator(parse_group)]


class PolicyConfig(Section):
    """The bundle's thresholds belong to its model; here they can only be raised."""

    min_votes: int = Field(
        3, ge=1, le=50, description="frames that must agree before the door opens"
    )
    min_votes_masked: int = Field(5, ge=1, le=50, description="where a mask is worn, or may be")
    window_s: float = Field(1.5, gt=0, le=5.0, description="within this time")
    min_agreement: float = Field(
        0.66, ge=0.5, le=1, description="share of the frames' weight that must name the same person"
    )
    decision_timeout_s: float = Field(
        10.0, gt=0, le=120, description="after which a face is unknown for the time of `cooldown_s`"
    )
    margin: float = Field(0.05, ge=0, le=1, description="lead over the best other subject")
    cooldown_s: float = Field(
        4.0, ge=0, le=60, description="no second grant for one subject within this time"
    )
    mask: Literal["ignore", "require", "warn", "forbid", "ask"] = Field(
        "ignore",
        description="require: only with a mask; require-soft: recorded; forbid: only without; ask to lower it in between",
    )
    uncertainty_band: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="scores so far from the threshold lie in between: `ask`, and a challenge",
    )
    groups: tuple[GroupName, ...] = Field(
        (), description="only people of one of these groups are let in; empty: everybody enrolled"
    )
    max_unknown_per_minute: int = Field(
        30,
        ge=1,
        le=10_000,
        description="unknown faces a minute; beyond it nobody is let in for a minute, against trying out faces",
    )
    threshold_unmasked: float | None = Field(None, gt=-1, lt=1)
    threshold_masked: float | None = Field(None, gt=-1, lt=1)


class NoLivenessConfig(Section):
    """No presentation attack detection: a photo of an enrolled person opens the door."""

    kind: Literal["none"]


class LayeredLivenessConfig(Section):
    """Presentation attack detection in layers that must all agree. None of it is certified; docs/decision.md says what it stops."""

    kind: Literal["layers"]
    motion: bool = Field(
        True,
        description="refuses frozen and looped streams, and faces that move as only a photo does",
    )
    screen: bool = Field(
        True, description="refuses faces in a frame of straight edges, or in a pattern of pixels"
    )
    passive: bool = Field(False, description="the network `liveness.onnx` of the bundle")
    challenge: Literal["never", "near_threshold", "hours", "always"] = Field(
        "never",
        description="ask to turn or to come closer: where the score lies in between, in `challenge_hours`, or everybody",
    )
    challenge_hours: tuple[HoursConfig, ...] = Field(
        (), description="by the time zone and holidays of `door.schedule`"
    )

    @model_validator(mode="after")
    def _some(self) -> LayeredLivenessConfig:
        if not (self.motion or self.screen or self.passive) and self.challenge == "never":
            raise ValueError("no layer is on; use {kind: none} and know what that means")
        if (self.challenge == "hours") != bool(self.challenge_hours):
            raise ValueError(
                "`challenge: hours` and `challenge_hours` belong together; name both or neither"
            )
        return self


LivenessConfig = Annotated[NoLivenessConfig | LayeredLivenessConfig, Field(discriminator="kind")]
