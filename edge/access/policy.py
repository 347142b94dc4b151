"""Decision on one face in one frame: pure rules over match score, margin and mask state.

The decision over several frames is made in edge/access/voting.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edge.access.reasons import Reason
from edge.access.thresholds import ThresholdScaling
from edge.values import Decision, Match, Thresholds, Verdict

_MASK_CERTAIN = 0.9  # from this probability on masked; up to 1 - this unmasked; else uncertain

MaskPolicy = Literal["ignore", "require", "warn", "forbid", "ask"]


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """Rules of decisions: matching and voting. Thresholds are those of the bundle or higher."""

    thresholds: Thresholds
    verification: Thresholds  # of 1:1 comparisons with the holder of a card or PIN
    min_votes: int  # frames that must name the same subject
    min_votes_masked: int  # the same for a masked face, or one with an uncertain mask state
    window_s: float  # votes older than this do not count
    min_agreement: float  # share of the votes' weight that must name the same subject
    decision_timeout_s: float  # without a grant after this time the face is unknown
    margin: float  # lead of the best score over the best score of another subject
    cooldown_s: float  # no second grant for the same subject within this time
    mask: MaskPolicy
    uncertainty_band: float  # distance from the threshold within which a score is uncertain
    min_expected_similarity: float  # faces with a lower expected similarity are refused; 0: none
    one_at_a_time: bool  # no grant while another person is in the zone
    scaling: ThresholdScaling | None  # None: the thresholds are used in galleries of any size

    def for_size(self, templates: int) -> DecisionRules:
        """Return the rules for a gallery of some templates; thresholds never fall."""
        if self.scaling is None:
            return self
        thresholds = self.scaling.scale(self.thresholds, templates)
        return self if thresholds is self.thresholds else replace(self, thresholds=thresholds)

    def for_model(self, model: DecisionRules) -> DecisionRules:
        """Return the rules with the thresholds, and their scaling, of another model."""
        return replace(self, thresholds=model.thresholds, scaling=model.scaling)


def mask_state(mask_worn: float) -> Literal["masked", "unmasked", "uncertain"]:
    """Classify a mask probability; one that is not a number is uncertain."""
    if mask_worn >= _MASK_CERTAIN:
        return "masked"
    return "unmasked" if mask_worn <= 1 - _MASK_CERTAIN else "uncertain"


def threshold_for(mask_worn: float, thresholds: Thresholds) -> float:
    """Return the threshold at a mask probability; the stricter one if it is uncertain."""
    state = mask_state(mask_worn)
    if state == "uncertain":
        return max(thresholds.masked, thresholds.unmasked)
    return thresholds.masked if state == "masked" else thresholds.unmasked


def min_votes_for(mask_worn: float, rules: DecisionRules) -> int:
    """Return how many frames must agree at a mask probability."""
    if mask_state(mask_worn) == "unmasked":
        return rules.min_votes
    return max(rules.min_votes, rules.min_votes_masked)


def is_face_hidden(expected_similarity: float, rules: DecisionRules) -> bool:
    """Return True if the expected similarity is below the minimum, or NaN."""
    return not expected_similarity >= rules.min_expected_similarity


def decide_frame(
    match: Match | None,
    mask_worn: float,
    rules: DecisionRules,
    at: float,
    *,
    frame_mask_worn: float | None = None,
) -> Decision:
    """Decide on one face in one frame, before voting.

    `mask_worn` is the probability over the track. `frame_mask_worn` is that of this frame (default:
    the same), by which a routed network chose the embedding: the stricter threshold of both
    applies. The verdict is PENDING for a match that counts, else UNKNOWN or REFUSED with the
    reason.
    """
    threshold = threshold_for(mask_worn, rules.thresholds)
    if frame_mask_worn is not None:
        threshold = max(threshold, threshold_for(frame_mask_worn, rules.thresholds))

    def decide(verdict: Verdict, reason: Reason) -> Decision:
        return Decision(verdict, reason, match, threshold, mask_worn, votes=0, frame_at=at)

    if match is None:
        return decide(Verdict.UNKNOWN, Reason.GALLERY_EMPTY)
    has_margin = match.score - match.runner_up >= rules.margin
    if not match.score >= threshold:  # also refuses a score that is not a number
        is_near = match.score >= threshold - rules.uncertainty_band and has_margin
        if rules.mask == "ask" and mask_state(mask_worn) == "masked" and is_near:
            return decide(Verdict.REFUSED, Reason.LOWER_MASK)
        return decide(Verdict.UNKNOWN, Reason.BELOW_THRESHOLD)
    if not has_margin:
        return decide(Verdict.UNKNOWN, Reason.AMBIGUOUS)
    refusal = _find_mask_refusal(mask_worn, rules.mask)
    if refusal is not None:
        return decide(Verdict.REFUSED, refusal)
    return decide(Verdict.PENDING, Reason.INSUFFICIENT_VOTES)


def _find_mask_refusal(mask_worn: float, policy: MaskPolicy) -> Reason | None:
    """Return why the mask state refuses a known person; an uncertain state refuses too."""
    state = mask_state(mask_worn)
    if policy == "require" and state != "masked":
        return Reason.MASK_REQUIRED
    return Reason.MASK_FORBIDDEN if policy == "forbid" and state != "unmasked" else None


def is_near_threshold(decision: Decision, rules: DecisionRules) -> bool:
    """Return True if the score is within the uncertainty band, or below it.

    A challenge may then be requested.
    """
    limit = decision.threshold + rules.uncertainty_band
    return decision.match is not None and decision.match.score < limit


def refused_decision(reason: Reason, at: float) -> Decision:
    """Return the decision on a face that a gate refused before it was matched."""
    return Decision(
        Verdict.REFUSED, reason, None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at
    )


def skipped_decision(at: float) -> Decision:
    """Return the decision on a face that was not examined in this frame."""
    return Decision(
        Verdict.PENDING, Reason.SKIPPED, None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at
    )
