"""Rules of a grant, and presentation attack detection."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.schedule import HoursConfig
from edge.config.section import Section


class PolicyConfig(Section):
    """Rules for grants. Thresholds come from the model bundle; keys here can only raise them."""

    min_votes: int = Field(
        3,
        ge=1,
        le=50,
        title="Votes",
        description="Minimum number of frames that match the same person before the door opens.",
    )
    min_votes_masked: int = Field(
        5,
        ge=1,
        le=50,
        title="Votes with a mask",
        description="As `min_votes`, if a mask is worn or the mask state is uncertain. The larger "
        "of both applies.",
    )
    window_s: float = Field(
        1.5,
        gt=0,
        le=5.0,
        title="Voting window",
        description="Seconds within which these frames must occur.",
    )
    min_agreement: float = Field(
        0.66,
        ge=0.5,
        le=1,
        title="Agreement",
        description="Minimum share of the votes in the window that must be for this person. Each "
        "frame is weighted by its quality; frames without a match count against.",
    )
    decision_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        title="Decision timeout",
        description="Seconds without a grant after which a face counts as unknown. It is tried "
        "again after `cooldown_s`.",
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        title="Margin",
        description="Minimum difference between the scores of the best and the second-best person.",
    )
    cooldown_s: float = Field(
        4.0,
        ge=0,
        le=60,
        title="Cooldown",
        description="Seconds after a grant in which the same person gets no second grant.",
    )
    mask: Literal["ignore", "require", "warn", "forbid", "ask"] = Field(
        "ignore",
        title="Mask rule",
        description="ignore: masks do not matter. require: grants only with a mask. warn: a grant "
        "without a mask is recorded as `match-without-mask`. forbid: grants only without a mask. "
        "ask: the hint to lower the mask if the score is just below the threshold.",
    )
    uncertainty_band: float = Field(
        0.1,
        ge=0,
        le=0.5,
        title="Uncertainty band",
        description="Difference to the threshold up to which a score is near it. Used by `mask: "
        "ask` and `challenge: near_threshold`.",
    )
    one_at_a_time: bool = Field(
        False,
        title="One at a time",
        description="A grant waits while a second face of at least `detector.min_face_px` is in "
        "`detector.zone`, or was within the last second. Recorded as `one-at-a-time`.",
    )
    min_expected_similarity: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Minimum expected similarity",
        description="Similarity (cosine) to the clear face that the model must expect of a face. "
        "A face below it is refused as `face-hidden`. Not set: the minimum of the bundle. A "
        "lower value than that is an error.",
        examples=["0.7"],
    )
    max_unknown_per_minute: int = Field(
        30,
        ge=1,
        le=10_000,
        title="Rate limit of unknown faces",
        description="Above this number of unknown faces in a minute all grants are refused for a "
        "minute. Protects against trying many faces.",
    )
    threshold_unmasked: float | None = Field(
        None,
        gt=-1,
        lt=1,
        title="Threshold without a mask",
        description="Minimum score (cosine). Not set: the threshold of the bundle. A lower value "
        "than that is an error.",
        examples=["0.8"],
    )
    threshold_masked: float | None = Field(
        None,
        gt=-1,
        lt=1,
        title="Threshold with a mask",
        description="As `threshold_unmasked`, for masked faces.",
        examples=["0.8"],
    )


class NoLivenessConfig(Section):
    """No presentation attack detection: a photo of an enrolled person opens the door."""

    kind: Literal["none"]


class LayeredLivenessConfig(Section):
    """Presentation attack detection in layers that must all pass.

    It is not certified; docs/decision.md lists what each layer detects.
    """

    kind: Literal["layers"]
    motion: bool = Field(
        True,
        title="Motion",
        description="Refuse frozen and looped frames, and faces that move like a flat photo.",
    )
    screen: bool = Field(
        True,
        title="Screen",
        description="Refuse faces on a screen: inside a straight border, or with a pattern of "
        "display pixels.",
    )
    passive: bool = Field(
        False,
        title="Passive network",
        description="Use the network `liveness.onnx` of the bundle (mfsa-bundle make --liveness).",
    )
    challenge: Literal["never", "near_threshold", "hours", "always"] = Field(
        "never",
        title="Challenge",
        description="Request to turn the head or to come closer. near_threshold: if the score is "
        "less than `uncertainty_band` above the threshold. hours: during "
        "`challenge_hours`.",
    )
    challenge_hours: tuple[HoursConfig, ...] = Field(
        (),
        title="Challenge hours",
        description="Times for `challenge: hours`, in the time zone and with the holidays of "
        "`door.schedule`.",
        examples=['[{days: [mon-fri], begin: "19:00", end: "06:00"}]'],
    )

    @model_validator(mode="after")
    def _some(self) -> LayeredLivenessConfig:
        if not (self.motion or self.screen or self.passive) and self.challenge == "never":
            raise ValueError("no layer is on; turn one on, or write {kind: none}")
        if (self.challenge == "hours") != bool(self.challenge_hours):
            raise ValueError(
                "`challenge: hours` and `challenge_hours` belong together; write both or neither"
            )
        return self


LivenessConfig = Annotated[NoLivenessConfig | LayeredLivenessConfig, Field(discriminator="kind")]
