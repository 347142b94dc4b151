"""What one frame says of a person: pure rules over a match, a mask state and a score. What frames together say: voting.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.values import Decision, Match, Thresholds, Verdict

_MASK_SURE = 0.9  # above: masked; below 1 - this: unmasked; between: uncertain

MaskPolicy = Literal["ignore", "require", "require-soft", "forbid", "ask"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator sets; thresholds are those of the bundle, possibly raised."""

    thresholds: Thresholds
    votes: int  # frames that must agree
    window_s: float
    margin: float
    cooldown_s: float
    votes_masked: int = 5  # where a mask is worn, or may be
    agreement: float = 0.66  # share of the votes' weight that must name the same subject
    limit_s: float = 10.0  # after which the answer is unknown
    mask: MaskPolicy = "ignore"
    span: float = 0.1  # scores so far from the threshold lie in between: a mask is asked down, a challenge asked for


def mask_state(mask_worn: float) -> Literal["masked", "unmasked", "uncertain"]:
    """What a probability says; one that is not a number says nothing."""
    if mask_worn >= _MASK_SURE:
        return "masked"
    return "unmasked" if mask_worn <= 1 - _MASK_SURE else "uncertain"


def threshold_for(mask_worn: float, thresholds: Thresholds) -> float:
    """The threshold that applies at this mask probability; the stricter one where it is uncertain."""
    state = mask_state(mask_worn)
    if state == "uncertain":
        return max(thresholds.masked, thresholds.unmasked)
    return thresholds.masked if state == "masked" else thresholds.unmasked


def votes_for(mask_worn: float, rules: Rules) -> int:
    """How many frames must agree."""
    return rules.votes if mask_state(mask_worn) == "unmasked" else max(rules.votes, rules.votes_masked)


def judge(match: Match | None, mask_worn: float, rules: Rules, at: float) -> Decision:
    """One face in one frame, before votes: PENDING for a match that counts, else UNKNOWN or REFUSED with the reason."""
    threshold = threshold_for(mask_worn, rules.thresholds)

    def decide(verdict: Verdict, reason: str) -> Decision:
        return Decision(verdict, reason, match, threshold, mask_worn, votes=0, frame_at=at)

    if match is None:
        return decide(Verdict.UNKNOWN, "gallery-empty")
    if not match.score >= threshold:  # also refuses a score that is not a number
        near = match.score >= threshold - rules.span and match.score - match.runner_up >= rules.margin
        if rules.mask == "ask" and mask_state(mask_worn) == "masked" and near:
            return decide(Verdict.REFUSED, "lower-mask")
        return decide(Verdict.UNKNOWN, "below-threshold")
    if not match.score - match.runner_up >= rules.margin:
        return decide(Verdict.UNKNOWN, "ambiguous")
    refused = _mask_refuses(mask_worn, rules.mask)
    return decide(Verdict.REFUSED, refused) if refused else decide(Verdict.PENDING, "more-frames-needed")


def _mask_refuses(mask_worn: float, policy: MaskPolicy) -> str | None:
    """Why a mask, or none, keeps a known person out; an uncertain state keeps out as well."""
    state = mask_state(mask_worn)
    if policy == "require" and state != "masked":
        return "mask-required"
    return "mask-forbidden" if policy == "forbid" and state != "unmasked" else None


def unsure(decision: Decision, rules: Rules) -> bool:
    """Whether a score that counts lies in between, so that more may be asked of the person."""
    return decision.match is not None and decision.match.score < decision.threshold + rules.span


def refuse(reason: str, at: float) -> Decision:
    """A face that a gate stopped before anybody was named."""
    return Decision(Verdict.REFUSED, reason, None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at)


def pass_over(at: float) -> Decision:
    """A face that this frame had no time for, or that could not have changed anything."""
    return Decision(Verdict.PENDING, "not-this-frame", None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at)
