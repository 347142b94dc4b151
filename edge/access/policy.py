"""Who may pass: pure rules over a match, a mask state and the clock given to them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from edge.values import Decision, Match, Thresholds, Verdict

_MASK_SURE = 0.9  # above: masked; below 1 - this: unmasked; between: uncertain, and the stricter threshold applies


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator sets; thresholds are those of the bundle, possibly raised."""

    thresholds: Thresholds
    votes: int
    window_s: float
    margin: float
    cooldown_s: float


def threshold_for(mask_worn: float, thresholds: Thresholds) -> float:
    """The threshold that applies at this mask probability."""
    if mask_worn >= _MASK_SURE:
        return thresholds.masked
    if mask_worn <= 1 - _MASK_SURE:
        return thresholds.unmasked
    return max(thresholds.masked, thresholds.unmasked)


def judge(match: Match | None, mask_worn: float, rules: Rules, at: float) -> Decision:
    """One face in one frame, before votes: PENDING for a match that counts, else UNKNOWN with the reason."""
    threshold = threshold_for(mask_worn, rules.thresholds)
    if match is None:
        verdict, reason = Verdict.UNKNOWN, "gallery-empty"
    elif not match.score >= threshold:  # also refuses a score that is not a number
        verdict, reason = Verdict.UNKNOWN, "below-threshold"
    elif match.score - match.runner_up < rules.margin:
        verdict, reason = Verdict.UNKNOWN, "ambiguous"
    else:
        verdict, reason = Verdict.PENDING, "more-frames-needed"
    return Decision(verdict, reason, match, threshold, mask_worn, votes=0, frame_at=at)


def refuse(reason: str, at: float) -> Decision:
    """A face that a gate stopped before anybody was named."""
    return Decision(Verdict.REFUSED, reason, None, threshold=1.0, mask_worn=0.0, votes=0, frame_at=at)


class Votes:
    """Turns frames into a grant: N frames within the window must name one subject, then a cooldown follows."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._frames: dict[str, deque[float]] = {}
        self._granted: dict[str, float] = {}

    def obey(self, rules: Rules) -> None:
        """Other rules from the next frame on; votes and cooldowns that run go on."""
        self._rules = rules

    def count(self, decision: Decision) -> Decision:
        """The decision with its votes, a GRANT where they suffice. Frames must come in order of time."""
        if decision.verdict is not Verdict.PENDING or decision.match is None:
            return decision
        now, subject = decision.frame_at, decision.match.subject
        self._forget(now)
        granted = self._granted.get(subject)
        if granted is not None:
            return replace(decision, reason="cooldown")
        frames = self._frames.setdefault(subject, deque())
        if not frames or frames[-1] < now:  # two faces of one frame are one vote
            frames.append(now)
        counted = replace(decision, votes=len(frames))
        if len(frames) < self._rules.votes:
            return counted
        del self._frames[subject]
        self._granted[subject] = now
        return replace(counted, verdict=Verdict.GRANT, reason="match")

    def withdraw(self, subject: str, again_after_s: float) -> None:
        """The door did not open for a grant: no cooldown, but so much time and as many new frames as before."""
        granted = self._granted.get(subject)
        if granted is not None:
            self._granted[subject] = granted - max(0.0, self._rules.cooldown_s - again_after_s)

    def _forget(self, now: float) -> None:
        for subject, frames in list(self._frames.items()):
            while frames and frames[0] < now - self._rules.window_s:
                frames.popleft()
            if not frames:
                del self._frames[subject]
        for subject, granted in list(self._granted.items()):
            if now - granted >= self._rules.cooldown_s:
                del self._granted[subject]
