"""Guard against a grant at the wrong lane, when two cameras see one person.

Rank of a face at a lane, 0 and more:

    rank = width of the face / width of the zone * (1 - |x - centre| / half width)

where x is the middle of the face, and centre and half width are those of the zone. Outside the zone
the rank is 0. All are fractions of the frame's width, so cameras may differ in resolution.

A person whose rank is higher at another lane is not granted access here; of equal ranks the lane
counts whose name comes first. A camera may see a person larger for some frames: the rank is
smoothed over `_SETTLE_S`, and the lower one of both counts here, the higher one at other lanes.

A face that is still too small to be recognised at the other lane has no embedding there: it counts
as this person. The camera of another lane may not see a person who waits there behind another one.
So a face in the outer 30 % of the frame on either side is not granted access while another lane is
running.

A lane publishes its grant, then reads the other lanes again: two lanes never grant access at the
same time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edge.access.reasons import Reason
from edge.face.track import Track
from edge.recogniser.lane_faces import FRESH_S, NO_SUBJECT, LaneFace, LaneFaceFiles
from edge.values import Face, Zone

_SETTLE_S = 0.3  # time constant of the rank of a track
_CENTRAL = 0.2  # of the frame's width: largest distance from the middle of the zone
_PASSING_S = 2.0  # a person with a grant may be seen elsewhere for this time after their lane


def lane_rank(face: Face, frame_width_px: float, zone: Zone) -> float:
    """Return the rank of a face by its box, see above; 0 outside the zone."""
    left, _, right, _ = zone
    middle = float(face.box_xyxy[0] + face.box_xyxy[2]) / 2 / frame_width_px
    half = (right - left) / 2
    centrality = max(0.0, 1 - abs(middle - (left + right) / 2) / half)
    return max(0.0, face.width_px / frame_width_px / (2 * half)) * centrality


def is_central(face: Face, frame_width_px: float, zone: Zone) -> bool:
    """Return True if a face is near the middle of the zone."""
    middle = float(face.box_xyxy[0] + face.box_xyxy[2]) / 2 / frame_width_px
    return abs(middle - (zone[0] + zone[2]) / 2) <= _CENTRAL


def is_at_other_lane(own: LaneFace, others: Iterable[LaneFace], threshold: float) -> bool:
    """Return True if the person of a face is at another lane, by the newest faces there.

    It is the same person if the cosine of the embeddings reaches the threshold, or if both were
    identified as one subject; a face without an embedding may be. A face with a grant counts more
    than any rank.
    """
    return any(
        _is_same_person(own, other, threshold) and (other.has_grant or _is_ahead(other, own))
        for other in others
    )


def _is_same_person(one: LaneFace, other: LaneFace, threshold: float) -> bool:
    if one.subject == other.subject != NO_SUBJECT or not other.embedding.any():
        return True
    return float(one.embedding @ other.embedding) >= threshold


def _is_ahead(other: LaneFace, own: LaneFace) -> bool:
    """Return True if a face of another lane has the higher rank; of equal ranks the first name."""
    if other.rank == own.rank:
        return other.instance < own.instance
    return other.rank > own.rank


@dataclass(frozen=True, slots=True)
class _Seen:
    """Newest face of a track."""

    face: LaneFace  # as published: with the higher rank
    smooth_rank: float
    lower_rank: float
    is_central: bool

    @property
    def own_face(self) -> LaneFace:
        """The face as it counts at this lane: with the lower rank."""
        return replace(self.face, rank=self.lower_rank)


@dataclass(frozen=True, slots=True)
class _Granted:
    """Grant of a track; it counts until the person has passed, at most for the cooldown."""

    face: LaneFace
    granted_at: float


class LaneGuard:
    """Publishes the faces of one lane, and compares tracks with the faces of the other lanes.

    All times are those of frames, in monotonic seconds. Not thread-safe.
    """

    def __init__(self, files: LaneFaceFiles, cooldown_s: float) -> None:
        self._files, self._cooldown_s = files, cooldown_s
        self._seen: dict[int, _Seen] = {}  # by track
        self._subjects: dict[int, bytes] = {}  # by track: digest of the identified subject
        self._granted: dict[int, _Granted] = {}  # by track

    def update_cooldown(self, cooldown_s: float) -> None:
        """Apply another cooldown after a grant."""
        self._cooldown_s = cooldown_s

    def publish(
        self,
        tracks: Sequence[Track],
        frame_width_px: float,
        zone: Zone,
        at: float,
        *,
        min_face_px: float,
    ) -> None:
        """Publish the live tracks after a frame: those with an embedding, or still too small."""
        live = {track.number for track in tracks}
        self._subjects = {n: subject for n, subject in self._subjects.items() if n in live}
        seen = {}
        for track in tracks:
            embedding = track.embedding
            if embedding is None and track.face.width_px < min_face_px:
                embedding = self._files.no_embedding
            if embedding is None or at - track.seen_at > FRESH_S:
                continue
            rank = lane_rank(track.face, frame_width_px, zone)
            smooth = self._smooth(track, rank)
            subject = self._subjects.get(track.number, NO_SUBJECT)
            seen[track.number] = _Seen(
                LaneFace(
                    self._files.instance, track.seen_at, max(rank, smooth), embedding, subject
                ),
                smooth,
                min(rank, smooth),
                is_central(track.face, frame_width_px, zone),
            )
        self._seen = seen
        self._update_grants(at)
        self._write(at)

    def find_hold(self, track: int, subject: str, threshold: float, at: float) -> Reason | None:
        """Return why a grant for a track must wait, None if it may be requested.

        The grant is then published; `revoke` takes it back if the door does not unlock.
        """
        seen = self._seen.get(track)
        if seen is None:  # the track has no embedding
            return None
        self.note_subject(track, subject)
        own = replace(seen.own_face, subject=self._subjects[track])
        others = self._files.read(at)
        if (others.running and not seen.is_central) or is_at_other_lane(
            own, others.faces, threshold
        ):
            return Reason.OTHER_LANE
        self._granted[track] = _Granted(replace(own, has_grant=True), at)
        self._write(at)
        if not is_at_other_lane(own, self._files.read(at).faces, threshold):
            return None
        self.revoke(track)
        self._write(at)
        return Reason.OTHER_LANE

    def note_subject(self, track: int, subject: str) -> None:
        """Note that a track was identified as a subject."""
        self._subjects[track] = _digest(subject)

    def revoke(self, track: int) -> None:
        """Take back a grant that did not open the door, from the next frame on."""
        self._granted.pop(track, None)

    def close(self) -> None:
        """Remove the published faces."""
        self._files.close()

    def _smooth(self, track: Track, rank: float) -> float:
        """Return the smoothed rank of a track after a frame."""
        last = self._seen.get(track.number)
        if last is None:
            return rank
        share = 1 - math.exp(-max(0.0, track.seen_at - last.face.seen_at) / _SETTLE_S)
        return last.smooth_rank + share * (rank - last.smooth_rank)

    def _update_grants(self, at: float) -> None:
        """Follow the people with a grant while they are in view; forget those who have passed."""
        kept = {}
        for number, granted in self._granted.items():
            if (seen := self._seen.get(number)) is not None:
                granted = replace(granted, face=replace(seen.face, has_grant=True))
            is_passing = at - granted.face.seen_at < _PASSING_S
            if is_passing and at - granted.granted_at < self._cooldown_s:
                kept[number] = granted
        self._granted = kept

    def _write(self, at: float) -> None:
        """Publish grants first, then faces by rank: the number of faces is limited."""
        others = [seen.face for number, seen in self._seen.items() if number not in self._granted]
        others.sort(key=lambda face: -face.rank)
        self._files.write([granted.face for granted in self._granted.values()] + others, at)


def _digest(subject: str) -> bytes:
    """Return what is published instead of a name."""
    return hashlib.blake2b(subject.encode(), digest_size=len(NO_SUBJECT)).digest()
