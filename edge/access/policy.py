"""What one frame says of a person: pure rules over a match, a mask state and a score. What frames together say: voting.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from edge.access.reasons import Reason
from edge.system.text import count
from edge.values import Decision, Match, Thresholds, Verdict

_MASK_SURE = 0.9  # above: masked; below 1 - this: unmasked; between: uncertain

MaskPolicy = Literal["ignore", "require", "warn", "forbid", "ask"]


@dataclass(frozen=True, slots=True)
class ThresholdScaling:
    """How a model's own thresholds rise with the number of templates, so that strangers are named no more often.

    The more templates, the less often one comparison may go wrong: a search of N comparisons at FMR f/N names somebody no more
    often than a single comparison at f. The threshold of so small an FMR was not measured. It is taken from the straight line, in
    the logarithm of FMR, through two points that were: FMR 1e-2, and that of the model's threshold. Where each decade of FMR takes
    less score than the one before, the line is on the strict side; docs/decision.md says where that was found, and where not.
    """

    base: Thresholds  # the model's
    supported_templates: int  # templates up to which they hold
    score_per_decade: float  # by how much a score rises while FMR falls to a tenth
    fmr: float  # upper bound at `own`, of the worse of the two

    def rise(self, templates: int) -> float:
        """What is added to the model's thresholds."""
        return self.score_per_decade * max(
            0.0, math.log10(max(1, templates) / max(1, self.supported_templates))
        )

    def fmr_at(self, thresholds: Thresholds) -> float:
        """Upper bound of FMR, of the worse of the two."""
        above = min(thresholds.unmasked - self.base.unmasked, thresholds.masked - self.base.masked)
        return self.fmr * 10 ** -(above / self.score_per_decade)


@dataclass(frozen=True, slots=True)
class Rules:
    """Match rules. Thresholds are those of the bundle or higher.

    `rules_for_size` raises them for a large gallery.
    """

    thresholds: Thresholds
    min_votes: int  # frames that must agree
    window_s: float
    margin: float
    cooldown_s: float
    min_votes_masked: int = 5  # where a mask is worn, or may be
    min_agreement: float = 0.66  # share of the votes' weight that must name the same subject
    decision_timeout_s: float = 10.0  # after which the answer is unknown
    mask: MaskPolicy = "ignore"
    uncertainty_band: float = 0.1  # scores so far from the threshold lie in between: a mask is asked down, a challenge asked for
    scaling: ThresholdScaling | None = None  # None: the thresholds are those of every gallery


def with_model_thresholds(rules: Rules, model: Rules) -> Rules:
    """Return `rules` with the thresholds and their growth of another model."""
    return replace(rules, thresholds=model.thresholds, scaling=model.scaling)


def rules_for_size(rules: Rules, templates: int) -> Rules:
    """The rules for a gallery of so many templates: thresholds never below those before, and never lower in a larger one."""
    scaling = rules.scaling
    if scaling is None or templates <= scaling.supported_templates:
        return rules
    base, rise = scaling.base, scaling.rise(templates)
    unmasked, masked = (min(1.0, threshold + rise) for threshold in (base.unmasked, base.masked))
    thresholds = Thresholds(
        max(rules.thresholds.unmasked, unmasked), max(rules.thresholds.masked, masked)
    )
    return replace(rules, thresholds=thresholds)


def fpir(rules: Rules, templates: int) -> float | None:
    """How often at most a search in such a gallery names somebody whom it should not, one frame alone; None where nobody measured.

    Comparisons are taken as independent, and each at the upper bound of its FMR.
    """
    if rules.scaling is None:
        return None
    fmr = min(rules.scaling.fmr_at(rules_for_size(rules, templates).thresholds), 1 - 1e-12)
    return -math.expm1(templates * math.log1p(-fmr))


def describe_thresholds(rules: Rules, templates: int) -> str:
    """What an operator may want to know of thresholds in a gallery of this size."""
    thresholds, wrong = rules_for_size(rules, templates).thresholds, fpir(rules, templates)
    text = f"thresholds {thresholds.unmasked:.3f} unmasked, {thresholds.masked:.3f} masked for {count(templates, 'template')}"
    if thresholds != rules.thresholds:
        text += f" (raised from {rules.thresholds.unmasked:.3f} and {rules.thresholds.masked:.3f})"
    if wrong is None or not templates:
        return text
    rate = f"at most {100 * wrong:.3g} %"
    return f"{text}; false-positive identification rate per frame (FPIR) {rate}"


def describe_overload(supported: int) -> str:
    """What a gallery of more templates than a model supports means to people."""
    return f"the model supports {supported:,}, and with more it misses people more often"


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


def min_votes_for(mask_worn: float, rules: Rules) -> int:
    """How many frames must agree."""
    return (
        rules.min_votes
        if mask_state(mask_worn) == "unmasked"
        else max(rules.min_votes, rules.min_votes_masked)
    )


def decide_frame(match: Match | None, mask_worn: float, rules: Rules, at: float) -> Decision:
    """One face in one frame, before votes: PENDING for a match that counts, else UNKNOWN or REFUSED with the reason."""
    threshold = threshold_for(mask_worn, rules.thresholds)

    def decide(verdict: Verdict, reason: Reason) -> Decision:
        return Decision(verdict, reason, match, threshold, mask_worn, votes=0, frame_at=at)

    if match is None:
        return decide(Verdict.UNKNOWN, Reason.GALLERY_EMPTY)
    if not match.score >= threshold:  # also refuses a score that is not a number
        near = (
            match.score >= threshold - rules.uncertainty_band
            and match.score - match.runner_up >= rules.margin
        )
        if rules.mask == "ask" and mask_state(mask_worn) == "masked" and near:
            return decide(Verdict.REFUSED, Reason.LOWER_MASK)
        return decide(Verdict.UNKNOWN, Reason.BELOW_THRESHOLD)
    if not match.score - match.runner_up >= rules.margin:
        return decide(Verdict.UNKNOWN, Reason.AMBIGUOUS)
    refused = _mask_refuses(mask_worn, rules.mask)
    return (
        decide(Verdict.REFUSED, refused)
        if refused
        else decide(Verdict.PENDING, Reason.INSUFFICIENT_VOTES)
    )


def _mask_refuses(mask_worn: float, policy: MaskPolicy) -> Reason | None:
    """Why a mask, or none, keeps a known person out; an uncertain state keeps out as well."""
    state = mask_state(mask_worn)
    if policy == "require" and state != "masked":
        return Reason.MASK_REQUIRED
    return Reason.MASK_FORBIDDEN if policy == "forbid" and state != "unmasked" else None


def is_near_threshold(decision: Decision, rules: Rules) -> bool:
    """Whether a score that counts lies in between, so that more may be asked of the person."""
    return (
        decision.match is not None
        and decision.match.score < decision.threshold + rules.uncertainty_band
    )


def refuse(reason: Reason, at: float) -> Decision:
    """A face that a gate stopped before anybody was named."""
    return Decision(
        Verdict.REFUSED, reason, None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at
    )


def skipped(at: float) -> Decision:
    """A face that this frame had no time for, or that could not have changed anything."""
    return Decision(
        Verdict.PENDING, Reason.SKIPPED, None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at
    )
