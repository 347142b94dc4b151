"""Page of the detector's measurement, docs/measurements/detector.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.detector_frames import FACE_PX
from benchmarks.detector_measures import FoundScore, WalkResult
from edge.synthesis.drawing import FPS
from edge.system.markdown import format_table

SCORES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Walks = Mapping[tuple[str, tuple[float, float]], Sequence[WalkResult]]  # by kind and rule


def render_page(
    recall: Mapping[str, Sequence[FoundScore]],
    false: Mapping[str, Sequence[Sequence[float]]],
    walks: Walks,
) -> str:
    """Return the page with all tables."""
    return _PAGE.format(
        recall=format_recall(recall),
        sizes=_format_sizes(recall),
        landmarks=_format_landmarks(recall),
        false=format_false(false),
        walks=format_walks(walks),
    )


def format_recall(groups: Mapping[str, Sequence[FoundScore]]) -> str:
    """Return the shares of faces found, by search and minimum score."""

    def rows(kind: str, pick: Callable[[FoundScore], float]) -> Iterator[list[str]]:
        for name, scores in groups.items():
            found = np.array([pick(score) for score in scores])
            shares = [f"{(found >= score).mean():.1%}" for score in SCORES]
            yield [name, kind, f"{len(found):,}", *shares]

    columns = ["faces", "search", "frames", *(f"{score:g}" for score in SCORES)]
    return format_table(
        columns,
        [
            *rows("full frame, 320x256", lambda s: s.search),
            *rows("full frame, 640x480", lambda s: s.fine),
            *rows("at a track", lambda s: s.near),
        ],
    )


def _format_sizes(groups: Mapping[str, Sequence[FoundScore]]) -> str:
    """Return the shares of faces found, by width of the face."""
    rows = []
    for name, scores in groups.items():
        row = [name]
        for face_px in FACE_PX:
            found = np.array([score.fine for score in scores if score.face_px == face_px])
            row.append(" / ".join(f"{(found >= least).mean():.0%}" for least in (0.5, 0.7)))
        rows.append(row)
    return format_table(["faces", *(f"{face_px} px" for face_px in FACE_PX)], rows)


def _format_landmarks(groups: Mapping[str, Sequence[FoundScore]]) -> str:
    """Return the landmark errors by score."""
    bands = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 1.0))
    rows = []
    for low, high in bands:
        errors = [
            score.landmark_error
            for scores in groups.values()
            for score in scores
            if low <= score.near < high
        ]
        if errors:
            median, most = np.percentile(errors, (50, 90))
            rows.append([f"{low:g} to {high:g}", str(len(errors)), f"{median:.1%}", f"{most:.1%}"])
    return format_table(["score", "faces", "median error", "90 % are below"], rows)


def format_false(groups: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return the false faces in 1,000 frames."""
    rows = []
    for name, frames in groups.items():
        scores = np.array([score for frame in frames for score in frame])
        counts = [f"{1000 * (scores >= least).sum() / len(frames):.0f}" for least in SCORES]
        rows.append([name, str(len(frames)), *counts])
    return format_table(["frames", "number", *(f"{score:g}" for score in SCORES)], rows)


def format_walks(results: Walks) -> str:
    """Return the frames found and used, by kind of walk-up and rule."""
    rows = []
    for (name, (start, tracked)), walks in results.items():
        found, used = (
            np.concatenate([getattr(walk, kind) for walk in walks]) for kind in ("found", "used")
        )
        firsts = [walk.first for walk in walks if walk.first is not None]
        first = f"{np.median(firsts) / FPS:.2f} s" if firsts else "none"
        reasons = sum((walk.reasons for walk in walks), Counter[str]()).most_common(3)
        rows.append([name, f"{start:g}", f"{tracked:g}" if tracked < start else "off"])
        rows[-1] += [f"{len(walks)} / {len(used)}", f"{found.mean():.1%}", f"{used.mean():.1%}"]
        rows[-1] += [str(len(firsts)), first, str(sum(walk.elsewhere for walk in walks))]
        rows[-1].append(", ".join(f"{reason} {number}" for reason, number in reasons) or "none")
    columns = ["walk-ups", "min_score", "tracked", "number / frames", "found", "usable"]
    columns += ["walk-ups with a usable face", "its time, median", "elsewhere", "not usable"]
    return format_table(columns, rows)


_PAGE = """# Detector: recall by score

Measured by `make detector-bench DATA=...`. Aligned chips of RMFRD are placed into drawn 640x480
frames of a corridor, with faces 60, 90 and 120 pixels wide. The edge of a chip is repeated, blurred
and faded into the room, since black corners of a chip occur in no frame. Side light is the drawing
of `occluders-v1`; low light is a twelfth to a quarter of the light with sensor noise.

## Share of faces found, by minimum score

`full frame` is the search for new faces with `input_size: 320x256`, which halves the frame, and
with `input_size: 640x480`, which does not; `auto` takes 640x480 here. `at a track` is the search
around the place where a track expects the face, in the pixels of the frame.

{recall}
## Share of faces found in the full frame, 640x480, at 0.5 / 0.7, by width of the face

{sizes}
## Landmark error in a search at a track, by score

Mean distance from the chip's reference points, in eye distances, of all faces above. It is not 0
for exact landmarks: alignment fits these points only on average.

{landmarks}
## False faces in 1,000 frames without faces, by minimum score

{false}
## Walk-ups through the pipeline

One photo comes closer, from 55 to 130 pixels within 1.6 s, or a recording with a drawn mask is
played; 15 frames per second. `tracked` is `detector.min_score_tracked`. A usable face is embedded
and not refused by a gate. `elsewhere` counts usable faces that are not the placed one. A face of a
track that its embedding does not confirm is `skipped`.

{walks}
## Choice

- `detector.min_score` stays at 0.7. Below it the recordings give false faces. A face of this score
  counts as a person for the rate limit, `nearest_only` and enrollment.
- `detector.min_score_tracked` is 0.5: place and embedding of the track confirm the face. It gains
  two points of the frames with real masks. Three frames with drawn masks had such a face elsewhere,
  which its track's embedding had confirmed. Below 0.5 the gain is within two frames.
- The rule adds frames to a track; it finds no one earlier, since a track starts at `min_score`.
- For small masked faces a larger input finds more than a lower score. So `input_size: auto` takes
  the smallest input in which a face of `min_face_px` is 40 pixels wide (it was 24). The larger
  input has 3.75 times the pixels and is searched once per `search_interval_s`.

## What this does not show

- The chips were cut out by the same detector. Faces that it missed are not among them, so the
  shares are upper limits. The shares compare scores and conditions.
- A walk-up is one photo that comes closer and sways: it is found in most frames or in few. Frames
  of a real walk-up differ more, and a person in front of a terminal stays longer and nearer.
- Real masks are of photos from the web, some squeezed; surroundings are not natural.
- The recorded clips contain few people, and their masks are drawn.
- Erased faces, noise and few recordings are no sample of a site's background. Pictures on a wall,
  printed clothes and statues are missing.
- A detection in a recording counts as false if no face of 0.7 or more is near it within a second.
  A person who never reaches that score would be among them.
- No impostor is measured here. A weak face has to match its track's embedding, and a grant needs
  the threshold of the gallery.
"""
