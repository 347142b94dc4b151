"""HTML page of a rehearsal: pictures and timelines of each clip; one file, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge import html
from edge.rehearsal import tables
from edge.rehearsal.results import ClipPicture, FaceDecision, RehearsalResult, TrackResult

_IN_VIEW = "#d0d7de"  # a face in frames without a decision on it
_ALARM = html.COLOURS["unknown"]
_SCORES_INCHES, _LANE_INCHES = 2.0, 0.24
_WIDTH_PX = 400  # of a picture


def render_page(rehearsals: Sequence[RehearsalResult], facts: dict[str, str]) -> str:
    """Return the page; names of people and files are escaped."""
    failed = [r.clip.name for r in rehearsals if not r.passed]
    return html.render(
        "edge.rehearsal",
        "page.html",
        passed=not failed,
        verdict=f"Not as expected: {', '.join(failed)}."
        if failed
        else "Everything was as expected.",
        rows=tables.rows(rehearsals),
        cards=[_card(r) for r in rehearsals],
        colours={**html.COLOURS, "in view, no decision": _IN_VIEW},
        attacks=[r.clip.name for r in rehearsals if r.clip.spoof and r.grants],
        facts=facts,
    )


def _card(rehearsal: RehearsalResult) -> dict[str, Any]:
    chief = rehearsal.main_track
    return {
        "clip": rehearsal.clip,
        "passed": rehearsal.passed,
        "expected": rehearsal.expectation,
        "failures": rehearsal.failures,
        "requests": rehearsal.requests,
        "decision": rehearsal.decision,
        "pictures": [_picture(p, words) for words, p in rehearsal.pictures.items()],
        "plot": _plot(rehearsal) if rehearsal.decisions else None,
        "numbers": {
            "frames": rehearsal.frames,
            "faces": len(rehearsal.decisions),
            "embedded": sum(m.embedded for m in rehearsal.decisions),
            "tracks": len(rehearsal.tracks),
            "time to decision": tables.format_decision_time(chief),
            "frames used": chief.frames_used if chief else tables.NONE,
        },
    }


def _picture(picture: ClipPicture, words: str) -> dict[str, str]:
    boxes = html.draw_boxes(picture.image, [(m.box_xyxy, _colour(m)) for m in picture.decisions])
    shown = words if picture.decisions else "no face"
    return {
        "base64": html.encode_picture(boxes, _WIDTH_PX / picture.image.shape[1], "jpg"),
        "caption": f"{shown}, {picture.at_s:.2f} s",
    }


def _plot(rehearsal: RehearsalResult) -> str:
    """Plot scores above one row per track and per reason; return an SVG element."""
    attempts = rehearsal.tracks
    conclusive = [m for m in rehearsal.decisions if m.is_conclusive]
    reasons = list(dict.fromkeys(m.reason for m in conclusive))
    scored = [asdict(m) for m in rehearsal.decisions if m.score is not None]
    heights = [_SCORES_INCHES] * bool(scored) + [
        _LANE_INCHES * (len(attempts) + len(reasons)) + 0.5
    ]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    *above, rows = figure.subplots(
        len(heights), 1, sharex=True, height_ratios=heights, squeeze=False
    )[:, 0]
    for scores in above:
        _draw_scores(scores, scored, rehearsal.false_grants)
    frame_s = 1 / rehearsal.clip.fps
    for row, attempt in enumerate(attempts):
        _draw_track(rows, row, attempt, frame_s)
    for row, reason in enumerate(reasons, len(attempts)):
        marks = [m for m in conclusive if m.reason == reason]
        rows.scatter(
            [m.at_s for m in marks],
            [row] * len(marks),
            s=10,
            c=[_colour(m) for m in marks],
            marker="s",
            lw=0,
        )
    names = [f"track {a.track}{_people(a)}" for a in attempts] + reasons
    rows.set(
        ylim=(len(names) - 0.4, -0.6), yticks=range(len(names)), yticklabels=names, xlabel="seconds"
    )
    rows.axhline(len(attempts) - 0.5, color=_IN_VIEW, lw=0.8)
    rows.tick_params(axis="y", length=0, labelsize=8)
    rows.set_xlim(-frame_s, rehearsal.frames * frame_s)
    return html.to_svg(figure)


def _draw_scores(
    axes: Axes, scored: Sequence[dict[str, Any]], false_grants: Sequence[FaceDecision]
) -> None:
    html.draw_scores(axes, scored)
    axes.set(ylim=(-0.3, 1.05), yticks=(0, 0.25, 0.5, 0.75, 1), ylabel="score")
    for false in false_grants:
        axes.axvline(false.at_s, color=_ALARM, lw=1.5)
        axes.text(false.at_s, -0.25, " false grant", color=_ALARM, fontsize=8)


def _draw_track(axes: Axes, row: int, attempt: TrackResult, frame_s: float) -> None:
    """Draw a bar for each run of frames of one colour."""
    runs = groupby(
        enumerate(attempt.decisions),
        key=lambda numbered: (_colour(numbered[1]), numbered[1].frame - numbered[0]),
    )
    for (colour, _), run in runs:
        moments = [m for _, m in run]
        axes.barh(
            row,
            len(moments) * frame_s,
            left=moments[0].at_s - frame_s / 2,
            height=0.55,
            color=colour,
        )


def _colour(moment: FaceDecision) -> str:
    return html.COLOURS[moment.verdict] if moment.is_conclusive else _IN_VIEW


def _people(attempt: TrackResult) -> str:
    """Return the people whose faces the track followed; empty if unknown."""
    people = dict.fromkeys(m.person for m in attempt.decisions if m.person)
    return f" ({', then '.join(person.split()[-1] for person in people)})" if people else ""
