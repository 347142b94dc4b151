"""What frames together say: pure, times are arguments. One good frame opens nothing, and one bad frame keeps nobody out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edge.access.policy import Rules, mask_state, min_votes_for
from edge.access.reasons import Reason
from edge.values import Decision, LivenessResult, LivenessState, Verdict

_FULL_VOTE = 0.35  # weight of a vote from which on it counts whole; poorer faces need more of them


@dataclass(frozen=True, slots=True)
class Vote:
    """One frame of one track; no subject where it named nobody."""

    at: float
    subject: str | None
    weight: float  # 0..1, by size and quality


@dataclass(slots=True)
class _SubjectVotes:
    """One track's ballots."""

    ballots: list[Vote]
    since: float  # of the first
    unknown_until: float = -math.inf


class Voting:
    """Turns frames into grants: enough of them, and most of their weight, must name one subject within the window."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._candidates: dict[int, _SubjectVotes] = {}
        self._granted: dict[str | int, float] = {}  # by subject and by track

    def update_rules(self, rules: Rules) -> None:
        """Other rules from the next frame on; votes and cooldowns that run go on."""
        self._rules = rules

    def is_decided(self, track: int, at: float) -> bool:
        """Whether further frames of a track cannot change anything for now."""
        candidate = self._candidates.get(track)
        over = candidate is not None and at < candidate.unknown_until
        return over or self._is_cooling_down(track, at)

    def is_near_grant(self, track: int) -> bool:
        """Return True if one more frame of a track may be enough for a grant."""
        candidate, rules = self._candidates.get(track), self._rules
        needed = rules.min_votes - 1  # masked faces need at least as many
        return needed == 0 or (candidate is not None and len(candidate.ballots) >= needed)

    def add_frame(
        self, track: int, decision: Decision, weight: float, liveness: LivenessResult
    ) -> Decision:
        """One frame's decision with its votes, GRANT where they suffice; `alive` is what liveness says of the track.

        Frames of a track come in order of time. Two of the same time are one vote, for nobody where they disagree.
        """
        at, rules = decision.frame_at, self._rules
        candidate = self._candidates.setdefault(track, _SubjectVotes([], at))
        if at < candidate.unknown_until:
            return replace(decision, verdict=Verdict.UNKNOWN, reason=Reason.DECISION_TIMEOUT)
        pending = decision.verdict is Verdict.PENDING and decision.match is not None
        subject = decision.match.subject if pending and decision.match else None
        if self._is_cooling_down(track, at) or (
            subject is not None and self._is_cooling_down(subject, at)
        ):
            candidate.ballots, candidate.since = [], at
            return replace(decision, reason=Reason.COOLDOWN) if subject else decision
        if candidate.ballots and at - candidate.ballots[-1].at > rules.window_s:
            candidate.ballots, candidate.since = [], at
        _add_vote(candidate.ballots, Vote(at, subject, min(1.0, max(0.0, weight))))
        candidate.ballots = [b for b in candidate.ballots if at - b.at <= rules.window_s]
        if at - candidate.since > rules.decision_timeout_s:
            candidate.ballots, candidate.since = [], at
            candidate.unknown_until = at + rules.cooldown_s
            return replace(decision, verdict=Verdict.UNKNOWN, reason=Reason.DECISION_TIMEOUT)
        if subject is None:
            return decision
        return self._tally(track, subject, decision, candidate.ballots, liveness)

    def _tally(
        self,
        track: int,
        subject: str,
        decision: Decision,
        ballots: Iterable[Vote],
        liveness: LivenessResult,
    ) -> Decision:
        """The votes for one subject, of those that were cast while the face was known to be alive."""
        at, rules = decision.frame_at, self._rules
        if liveness.state is LivenessState.FAILED:
            reason = liveness.reason or Reason.NOT_LIVING
            return replace(decision, verdict=Verdict.REFUSED, reason=reason)
        valid = [b for b in ballots if b.at >= liveness.since]
        own = [b for b in valid if b.subject == subject]
        counted = replace(decision, votes=len(own))
        needed = min_votes_for(decision.mask_worn, rules)
        weight, everything = sum(b.weight for b in own), sum(b.weight for b in valid)
        enough = (
            len(own) >= needed
            and weight >= needed * _FULL_VOTE
            and weight >= rules.min_agreement * everything
        )
        if not enough:
            return counted
        if liveness.state is LivenessState.WAITING:
            return replace(counted, reason=liveness.reason or Reason.CHECKING)
        self._granted[subject] = self._granted[track] = at
        del self._candidates[track]
        missing = rules.mask == "warn" and mask_state(decision.mask_worn) != "masked"
        return replace(
            counted,
            verdict=Verdict.GRANT,
            reason=Reason.MATCH_WITHOUT_MASK if missing else Reason.MATCH,
        )

    def revoke_grant(self, track: int, subject: str, again_after_s: float) -> None:
        """The door did not open for a grant: no cooldown, but so much time and as many new frames as before."""
        sooner = max(0.0, self._rules.cooldown_s - again_after_s)
        for key in (track, subject):
            if key in self._granted:
                self._granted[key] -= sooner

    def retain_tracks(self, tracks: Iterable[int], at: float) -> None:
        """Forget tracks that are lost and cooldowns that are over."""
        alive = set(tracks)
        self._candidates = {
            track: found for track, found in self._candidates.items() if track in alive
        }
        self._granted = {
            key: since
            for key, since in self._granted.items()
            if at - since < self._rules.cooldown_s
        }

    def _is_cooling_down(self, key: str | int, at: float) -> bool:
        return at - self._granted.get(key, -math.inf) < self._rules.cooldown_s


def _add_vote(ballots: list[Vote], ballot: Vote) -> None:
    if not ballots or ballots[-1].at < ballot.at:
        ballots.append(ballot)
        return
    last = ballots[-1]
    subject = last.subject if last.subject == ballot.subject else None
    ballots[-1] = Vote(last.at, subject, max(last.weight, ballot.weight))
