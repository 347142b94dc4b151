"""Tracks of people over frames. All values are in seconds and pixels, not in frames.

A face is assigned to the track whose predicted box it overlaps most. Identity is checked again by
embedding: a track whose face becomes another person's is split, and two that crossed are swapped
back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.face.boxes import iou
from edge.values import Face, Probe

_LOST_S = 1.0
_MIN_IOU = 0.2
_MIN_WEAK_IOU = 0.5  # with the predicted box, for a face below the start score
_NEAR = 0.7  # widths of the face: distance from the prediction at which a match needs no overlap
_SIZES = 1.6  # ratio of widths up to which this holds
_SETTLE_S = 0.3  # time constant of velocity, mask state and embedding


class Track:
    """Track of one person while they are in view."""

    def __init__(self, number: int, face: Face, at: float) -> None:
        self.number = number
        self.face = face
        self.seen_at = at
        self.confirmed_at = at  # last strong face, or weak face with the track's embedding
        self.examined_at = self.embedded_at = -math.inf
        self.embedding: NDArray[np.float32] | None = None  # (D,) unit norm, moving average
        self.face_count = 0  # different faces so far: a slow change of the face stays one track
        self._first: NDArray[np.float32] | None = None  # (D,) embedding of the present face
        self.mask_worn = 0.5  # smoothed probability
        self._velocity = np.zeros(4)  # of the box, pixels per second

    def predict(self, at: float) -> NDArray[np.float64]:
        """Predict the box (4,) at a time, with constant velocity."""
        return np.asarray(self.face.box_xyxy + self._velocity * (at - self.seen_at), np.float64)

    def update(self, face: Face, at: float) -> None:
        """Move the track to a face that was found."""
        elapsed = at - self.seen_at
        if elapsed > 0:
            measured = (face.box_xyxy - self.face.box_xyxy) / elapsed
            self._velocity += _share(elapsed) * (measured - self._velocity)
        self.face, self.seen_at = face, at

    def relocate(self, face: Face, at: float) -> None:
        """Move the track to a face that was assigned to another track before; no motion."""
        self.face, self.seen_at, self._velocity = face, at, np.zeros(4)

    def add_probe(self, probe: Probe, at: float, same_person: float) -> None:
        """Update embedding and mask state; below the cosine `same_person` it is another face."""
        if self._first is None or float(self._first @ probe.embedding) < same_person:
            self._first, self.face_count = probe.embedding, self.face_count + 1
        if self.embedding is None:
            self.embedding, self.mask_worn = probe.embedding, probe.mask_worn
        else:
            share = _share(at - self.embedded_at)
            mean = self.embedding + np.float32(share) * (probe.embedding - self.embedding)
            self.embedding = np.asarray(mean / np.linalg.norm(mean), np.float32)
            self.mask_worn += share * (probe.mask_worn - self.mask_worn)
        self.embedded_at = self.confirmed_at = at


class Tracker:
    """Tracks of one camera. Below the cosine `same_person` two embeddings are of two people."""

    def __init__(self, same_person: float) -> None:
        self._same_person = same_person
        self._tracks: list[Track] = []
        self._count = 0

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Live tracks."""
        return tuple(self._tracks)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the live tracks."""
        return [track.number for track in self._tracks]

    def select_faces(self, faces: Sequence[Face], at: float, start_score: float) -> list[Face]:
        """Return the faces that may be tracked: strong ones, and weak ones that continue a track.

        A face below `start_score` is weak. It continues the track that it fits best, if its overlap
        with the predicted box is large, no strong face fits that track, and the track was confirmed
        within the last second; one face per track.
        Y. Zhang et al., "ByteTrack", ECCV 2022.
        """
        boxes = [track.predict(at) for track in self._tracks if at - track.confirmed_at <= _LOST_S]
        strong = [face for face in faces if face.score >= start_score]
        taken = {
            i for i, box in enumerate(boxes) if any(_fit(box, face.box_xyxy) > 0 for face in strong)
        }
        weak: dict[int, Face] = {}
        for face in sorted(faces, key=lambda face: -face.score):
            if face.score >= start_score or not boxes:
                continue
            fits = [_fit(box, face.box_xyxy) for box in boxes]
            best = int(np.argmax(fits))
            if fits[best] >= 1 + _MIN_WEAK_IOU and best not in taken:
                taken.add(best)
                weak[best] = face
        return strong + list(weak.values())

    def confirms(self, track: Track, probe: Probe) -> bool:
        """Return True if a track has embeddings and a probe agrees with them."""
        return track.embedding is not None and self._is(track, probe)

    def update(self, faces: Sequence[Face], at: float) -> list[Track]:
        """Return the track of each face of one frame, in their order."""
        self._tracks = [track for track in self._tracks if at - track.seen_at <= _LOST_S]
        boxes = {track.number: track.predict(at) for track in self._tracks}
        fits = [
            (fit, i, track)
            for i, face in enumerate(faces)
            for track in self._tracks
            if (fit := _fit(boxes[track.number], face.box_xyxy)) > 0
        ]
        taken: dict[int, Track] = {}
        for _, i, track in sorted(fits, key=lambda f: -f[0]):
            if i not in taken and track not in taken.values():
                track.update(faces[i], at)
                taken[i] = track
        return [taken[i] if i in taken else self._begin(face, at) for i, face in enumerate(faces)]

    def reassign(self, seen: Sequence[tuple[Track, Probe]], at: float) -> list[Track]:
        """Return the track of each probe of this frame, corrected by the embeddings.

        The tracks must come from the last `update`.
        """
        strangers = [i for i, (track, probe) in enumerate(seen) if not self._is(track, probe)]
        # Tracks without a face in this frame, or with the face of another person.
        free = [track for track in self._tracks if track.seen_at < at] + [
            seen[i][0] for i in strangers
        ]
        faces = [track.face for track, _ in seen]
        owners = [track for track, _ in seen]
        for i in strangers:
            probe = seen[i][1]
            mine = [
                track for track in free if track.embedding is not None and self._is(track, probe)
            ]
            owner = max(mine, key=lambda track: _cosine(track, probe), default=None)
            if owner is None:
                owners[i] = self._begin(faces[i], at)
            else:
                free.remove(owner)
                owner.relocate(faces[i], at)
                owners[i] = owner
        for track in {seen[i][0] for i in strangers} - set(owners):
            self._tracks.remove(track)  # the face was never this person's, who is not in view
        for owner, (_, probe) in zip(owners, seen, strict=True):
            owner.add_probe(probe, at, self._same_person)
        return owners

    def _is(self, track: Track, probe: Probe) -> bool:
        return track.embedding is None or _cosine(track, probe) >= self._same_person

    def _begin(self, face: Face, at: float) -> Track:
        self._count += 1
        self._tracks.append(Track(self._count, face, at))
        return self._tracks[-1]


def _fit(expected: NDArray[np.float64], box: NDArray[np.float32]) -> float:
    """Return the fit of a face to a track: 1 + IoU, below 1 for near misses, 0 for others."""
    overlap = iou(expected, box)
    if overlap >= _MIN_IOU:
        return 1 + overlap
    (x0, y0, x1, y1), (u0, v0, u1, v1) = expected.tolist(), box.tolist()
    width = max(u1 - u0, 1e-6)
    ratio = max(x1 - x0, 1e-6) / width
    away = math.dist(((x0 + x1) / 2, (y0 + y1) / 2), ((u0 + u1) / 2, (v0 + v1) / 2)) / width
    return 1 - away if away < _NEAR and 1 / _SIZES < ratio < _SIZES else 0.0


def _cosine(track: Track, probe: Probe) -> float:
    assert track.embedding is not None
    return float(track.embedding @ probe.embedding)


def _share(elapsed_s: float) -> float:
    """Return the share of a new value in a moving average that settles in `_SETTLE_S`."""
    return 1 - math.exp(-max(0.0, elapsed_s) / _SETTLE_S)
