"""Tables of rehearsal results, and the same as JSON data."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from edge.config import TerminalConfig
from edge.recogniser.networks import TerminalNetworks
from edge.rehearsal.results import FaceDecision, RehearsalResult, TrackResult

NONE = "-"


def rows(rehearsals: Sequence[RehearsalResult]) -> list[dict[str, str]]:
    """Return one row per clip; the keys are the column headings."""
    return [
        {
            "clip": r.clip.name,
            "decision": r.decision,
            "time to decision": format_decision_time(r.main_track),
            "frames used": str(r.main_track.frames_used) if r.main_track else NONE,
            "highest score": _score_words(r.best_match),
            "false grants": str(len(r.false_grants)),
            "expected": r.expectation,
            "": "ok" if r.passed else "FAIL",
        }
        for r in rehearsals
    ]


def text(rehearsals: Sequence[RehearsalResult]) -> str:
    """Return the table for a terminal, then one line for each warning and failure."""
    table = rows(rehearsals)
    widths = {key: max(len(key), *(len(row[key]) for row in table)) for key in table[0]}
    lines = [
        "  ".join(cells[key].ljust(width) for key, width in widths.items()).rstrip()
        for cells in ({k: k for k in widths}, *table)
    ]
    return "\n".join(
        [
            *lines,
            *_requests(rehearsals),
            *_warnings(rehearsals),
            *(f"FAIL {r.clip.name}: {failure}" for r in rehearsals for failure in r.failures),
        ]
    )


def _warnings(rehearsals: Sequence[RehearsalResult]) -> list[str]:
    return [f"WARNING {r.clip.name}: {warning}" for r in rehearsals for warning in r.warnings]


def _requests(rehearsals: Sequence[RehearsalResult]) -> list[str]:
    return [f"DOOR {r.clip.name}: {request}" for r in rehearsals for request in r.requests]


def markdown(rehearsals: Sequence[RehearsalResult], facts: dict[str, str]) -> str:
    """Return a Markdown page with facts, table and warnings."""
    table = rows(rehearsals)
    lines = [
        list(table[0]),
        ["---"] * len(table[0]),
        *([cell.replace("|", "\\|") for cell in row.values()] for row in table),
    ]
    parts = [
        "# Rehearsal",
        _bullets(f"{name}: {value}" for name, value in facts.items()),
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines),
        _bullets(_requests(rehearsals)),
        _bullets(_warnings(rehearsals)),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _bullets(items: Iterable[str]) -> str:
    """Return a Markdown list, wrapped at 100 columns."""
    return "\n".join(
        textwrap.fill(f"- {item}", 100, subsequent_indent="  ", break_on_hyphens=False)
        for item in items
    )


def describe_terminal(config: TerminalConfig, networks: TerminalNetworks) -> dict[str, str]:
    """Return terminal, model, thresholds, policy and liveness of the rehearsal."""
    manifest, calibration, policy = networks.bundle.manifest, networks.calibration, config.policy
    return {
        "Terminal": config.terminal,
        "Model": f"{manifest.name} ({networks.bundle.model_digest[:12]}) on {networks}",
        "Model's thresholds": f"unmasked {calibration.unmasked.threshold:.3f}, "
        f"masked {calibration.masked.threshold:.3f}",
        "Policy": ", ".join(
            f"{key}: {value}" for key, value in policy.model_dump(exclude_none=True).items()
        ),
        "Liveness": str(config.liveness.kind),
    }


def to_json_data(rehearsals: Sequence[RehearsalResult], facts: dict[str, str]) -> dict[str, Any]:
    """Return all results as JSON data."""
    return {
        "facts": facts,
        "passed": all(r.passed for r in rehearsals),
        "clips": [_figures(r) for r in rehearsals],
    }


def _figures(rehearsal: RehearsalResult) -> dict[str, Any]:
    clip, expected = rehearsal.clip, rehearsal.expected
    return {
        "clip": clip.name,
        "words": clip.description,
        "spoof": clip.spoof,
        "fps": round(clip.fps, 3),
        "frames": rehearsal.frames,
        "faces": len(rehearsal.decisions),
        "faces_embedded": sum(m.embedded for m in rehearsal.decisions),
        "expected": {
            "must": sorted(expected.must),
            "may": sorted(expected.may),
            "answers": list(expected.answers),
        },
        "passed": rehearsal.passed,
        "failures": rehearsal.failures,
        "warnings": rehearsal.warnings,
        "decision": rehearsal.decision,
        "grants": [asdict(m) for m in rehearsal.grants],
        "requests": [asdict(request) for request in rehearsal.requests],
        "answers": list(rehearsal.answers),
        "false_grants": len(rehearsal.false_grants),
        "missed": rehearsal.missed,
        "tracks": [_track_figures(attempt) for attempt in rehearsal.tracks],
        "timeline": [asdict(m) for m in rehearsal.decisions],
    }


def _track_figures(attempt: TrackResult) -> dict[str, Any]:
    first, last, decisive = attempt.decisions[0], attempt.decisions[-1], attempt.decisive
    return {
        "track": attempt.track,
        "from_s": first.at_s,
        "to_s": last.at_s,
        "verdict": decisive.verdict,
        "reason": decisive.reason,
        "time_to_decision_s": attempt.decided_after_s,
        "frames_used": attempt.frames_used,
        "faces": len(attempt.decisions),
        "reasons": dict(Counter(m.reason for m in attempt.decisions)),
    }


def _score_words(moment: FaceDecision | None) -> str:
    return NONE if moment is None else f"{moment.score:.2f} / {moment.threshold:.2f}"


def format_decision_time(attempt: TrackResult | None) -> str:
    """Format the seconds from a track's first usable frame to its decision."""
    return (
        NONE
        if attempt is None or attempt.decided_after_s is None
        else f"{attempt.decided_after_s:.2f} s"
    )
