"""Voting: the decision on one person over several frames. Pure: times are arguments.

One good frame does not open the door, and one bad frame does not keep it closed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edge.access.policy import DecisionRules, mask_state, min_votes_for
from edge.access.reasons import Reason
from edge.values import Decision, LivenessResult, LivenessState, Match, Verdict

_FULL_VOTE = 0.35  # weight of a full vote; faces of lower quality need more frames


@dataclass(frozen=True, slots=True)
class Vote:
    """Vote of one frame of one track."""

    at: float
    subject: str | None  # None: the frame matched no one
    weight: float  # 0..1, by quality
    is_claimed: bool = False  # by a 1:1 comparison


@dataclass(slots=True)
class _TrackVotes:
    """Votes of one track within the window."""

    votes: list[Vote]
    since: float  # time of the first vote; the decision timeout counts from here
    unknown_until: float = -math.inf

    def clear(self, at: float) -> None:
        """Start again without votes."""
        self.votes, self.since = [], at


class Voting:
    """Turns decisions on frames into grants.

    A grant needs enough votes within the window, and most of their weight, for one subject.
    """

    def __init__(self, rules: DecisionRules) -> None:
        self._rules = rules
        self._tracks: dict[int, _TrackVotes] = {}
        self._granted: dict[str | int, float] = {}  # by subject and by track: time of the grant

    def update_rules(self, rules: DecisionRules) -> None:
        """Apply other rules from the next frame on; votes and cooldowns are kept."""
        self._rules = rules

    def is_decided(self, track: int, at: float) -> bool:
        """Return True if further frames of a track cannot change anything for now."""
        found = self._tracks.get(track)
        is_unknown = found is not None and at < found.unknown_until
        return is_unknown or self._is_cooling_down(track, at)

    def is_near_grant(self, track: int) -> bool:
        """Return True if one more frame of a track may be enough for a grant."""
        found = self._tracks.get(track)
        needed = self._rules.min_votes - 1  # masked faces need at least as many
        return needed == 0 or (found is not None and len(found.votes) >= needed)

    def add_frame(
        self,
        track: int,
        decision: Decision,
        weight: float,
        liveness: LivenessResult,
        find_hold: Callable[[], Reason | None] = lambda: None,
    ) -> Decision:
        """Count the decision on one frame; return it with the votes, GRANT if they suffice.

        `weight` is 0..1. Frames of a track come in order of time. Two of the same time are one
        vote, for no subject if they differ. `find_hold` is called when the votes suffice. If it
        returns a reason, the frame is refused for it, and the votes are kept.
        """
        at, rules = decision.frame_at, self._rules
        found = self._tracks.setdefault(track, _TrackVotes([], at))
        if at < found.unknown_until:
            return _time_out(decision)
        is_pending = decision.verdict is Verdict.PENDING and decision.match is not None
        subject = decision.match.subject if is_pending and decision.match else None
        is_cooling = subject is not None and self._is_cooling_down(subject, at)
        if is_cooling or self._is_cooling_down(track, at):
            found.clear(at)
            return replace(decision, reason=Reason.COOLDOWN) if subject else decision
        if found.votes and at - found.votes[-1].at > rules.window_s:
            found.clear(at)
        is_claimed = decision.match is not None and decision.match.is_claimed
        _add_vote(found.votes, Vote(at, subject, min(1.0, max(0.0, weight)), is_claimed))
        found.votes = [vote for vote in found.votes if at - vote.at <= rules.window_s]
        if at - found.since > rules.decision_timeout_s:
            found.clear(at)
            found.unknown_until = at + rules.cooldown_s
            return _time_out(decision)
        if subject is None:
            return decision
        decision = self._tally(subject, decision, found.votes, liveness)
        if decision.verdict is not Verdict.GRANT:
            return decision
        if (reason := find_hold()) is not None:
            found.since = at  # a person who is held does not run into the decision timeout
            return replace(decision, verdict=Verdict.REFUSED, reason=reason)
        self._granted[subject] = self._granted[track] = at
        del self._tracks[track]
        return decision

    def _tally(
        self,
        subject: str,
        decision: Decision,
        votes: Iterable[Vote],
        liveness: LivenessResult,
    ) -> Decision:
        """Count the votes for a subject since the face has passed the liveness layers."""
        rules = self._rules
        if liveness.state is LivenessState.FAILED:
            reason = liveness.reason or Reason.NOT_LIVING
            return replace(decision, verdict=Verdict.REFUSED, reason=reason)
        valid = [vote for vote in votes if vote.at >= liveness.since]
        own = [vote for vote in valid if vote.subject == subject]
        needed = min_votes_for(decision.mask_worn, rules)
        weight, total = sum(vote.weight for vote in own), sum(vote.weight for vote in valid)
        counted = replace(
            decision,
            votes=len(own),
            match=_mark_claimed(decision.match, own),
            progress=min(1.0, len(own) / needed, weight / (needed * _FULL_VOTE)),
        )
        is_enough = (
            len(own) >= needed
            and weight >= needed * _FULL_VOTE
            and weight >= rules.min_agreement * total
        )
        if not is_enough:
            return counted
        if liveness.state is LivenessState.WAITING:
            return replace(counted, reason=liveness.reason or Reason.CHECKING)
        must_warn = rules.mask == "warn" and mask_state(decision.mask_worn) != "masked"
        reason = Reason.MATCH_WITHOUT_MASK if must_warn else Reason.MATCH
        return replace(counted, verdict=Verdict.GRANT, reason=reason)

    def revoke_grant(self, track: int, subject: str, retry_s: float) -> None:
        """Shorten the cooldown to `retry_s` after a grant that did not open the door.

        A new grant needs as many new frames as the first one.
        """
        sooner = max(0.0, self._rules.cooldown_s - retry_s)
        for key in (track, subject):
            if key in self._granted:
                self._granted[key] -= sooner

    def retain_tracks(self, tracks: Iterable[int], at: float) -> None:
        """Forget all tracks except these, and cooldowns that are over."""
        live, cooldown_s = set(tracks), self._rules.cooldown_s
        self._tracks = {track: found for track, found in self._tracks.items() if track in live}
        granted = self._granted.items()
        self._granted = {key: since for key, since in granted if at - since < cooldown_s}

    def _is_cooling_down(self, key: str | int, at: float) -> bool:
        return at - self._granted.get(key, -math.inf) < self._rules.cooldown_s


def _mark_claimed(match: Match | None, votes: Iterable[Vote]) -> Match | None:
    """Return the match, marked if any vote for it is of a 1:1 comparison: a lower threshold."""
    if match is None or not any(vote.is_claimed for vote in votes):
        return match
    return replace(match, is_claimed=True)


def _time_out(decision: Decision) -> Decision:
    return replace(decision, verdict=Verdict.UNKNOWN, reason=Reason.DECISION_TIMEOUT)


def _add_vote(votes: list[Vote], vote: Vote) -> None:
    if not votes or votes[-1].at < vote.at:
        votes.append(vote)
        return
    last = votes[-1]
    subject = last.subject if last.subject == vote.subject else None
    is_claimed = last.is_claimed or vote.is_claimed
    votes[-1] = Vote(last.at, subject, max(last.weight, vote.weight), is_claimed)
