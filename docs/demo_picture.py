"""Draw docs/demo-report.svg: the numbers of a run of `make demo`, without pictures of faces.

Usage: python docs/demo_picture.py build/demo docs/demo-report.svg
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from edge.audit.reader import read_log
from edge.audit.sealing import score_cipher
from edge.config import load_config
from edge.demo.scenario import SCENES, frame_ranges
from edge.gallery.store import read_evidence_key
from edge.synthesis.drawing import FPS

WIDTH, LEFT, RIGHT = 960, 110, 20
TOP, SCORES, LANES = 96, 150, 262  # y of titles' end, height of the scores, y of the first lane
LANE = 22
COLOURS = {"grant": "#1a7f37", "pending": "#bf8700", "unknown": "#cf222e", "refused": "#57606a"}
# Name of a state, event that begins it, events that end it, colour.
STATES = (
    ("lock open", "unlocked", ("relocked",), "#2da44e"),
    ("asks for PIN", "waiting", ("unlocked",), "#1b7c83"),
    ("silent alarm", "duress", ("reset-duress",), "#bc4c00"),
    ("contact open", "contact-active", ("contact-inactive",), "#0969da"),
    ("held-open alarm", "alarm", ("alarm-ended",), "#bf8700"),
    ("lockdown", "lockdown", ("release",), "#8250df"),
    ("fire", "fire", ("reset-fire",), "#cf222e"),
)

Record = dict[str, Any]


def draw(demo: Path) -> str:
    """Return the SVG of the demo in a folder."""
    config = load_config(demo / "terminal.yaml")
    cipher = score_cipher(read_evidence_key(config), config.terminal)
    decisions = [
        record
        for record in read_log(config.decisions_path, cipher.decrypt_fields)
        if record.get("kind") == "decision" and "score" in record
    ]
    door = [record for record in read_log(config.door_record_path) if "event" in record]
    origin = min(record["frame_at"] - record["frame"] / FPS for record in decisions)
    events = [{**record, "at_s": record["at"] - origin} for record in door]
    end_s = max(event["at_s"] for event in events)
    scale = (WIDTH - LEFT - RIGHT) / end_s
    parts = [
        *_scenes(scale),
        *_scores(decisions, scale),
        *_states(events, scale, end_s),
        *_table(decisions, events),
    ]
    height = LANES + LANE * len(STATES) + 50 + 22 * len(_people())
    return "\n".join([_head(height), *parts, "</svg>", ""])


def _head(height: int) -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"
  font-family="system-ui, sans-serif" font-size="12" fill="#1f2328">
<title>Report of make demo</title>
<rect width="{WIDTH}" height="{height}" fill="#ffffff" stroke="#d0d7de" rx="8"/>
<text x="20" y="30" font-size="18" font-weight="600">mfsa-edge demo</text>
<text x="20" y="50" fill="#57606a">Scores of faces over time (green: grant,
 yellow: more frames needed, red: unknown, dash: threshold), states of the door, results.</text>"""


def _x(seconds: float, scale: float) -> float:
    return round(LEFT + seconds * scale, 1)


def _y(score: float) -> float:
    """Scores from -0.1 to 1.1 fill the upper plot."""
    return round(TOP + SCORES * (1.1 - score) / 1.2, 1)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{more}>{escape(text)}</text>'


def _people() -> list[tuple[str, range, str]]:
    """Return title, frames and expected outcome of each scene that shows a person."""
    ranges = frame_ranges(SCENES)
    return [
        (scene.title, frames, scene.expected)
        for scene, frames in zip(SCENES, ranges, strict=True)
        if scene.person
    ]


def _scenes(scale: float) -> Iterable[str]:
    bottom = LANES + LANE * len(STATES)
    for number, (_, frames, _) in enumerate(_people(), 1):
        x, width = _x(frames.start / FPS, scale), round(len(frames) / FPS * scale, 1)
        size = f'width="{width}" height="{bottom - TOP + 22}"'
        yield f'<rect x="{x}" y="{TOP - 22}" {size} fill="#ddf4ff"/>'
        yield _text(x + 4, TOP - 8, str(number), ' font-weight="600"')


def _scores(decisions: Sequence[Record], scale: float) -> Iterable[str]:
    for score in (0, 0.5, 1):
        yield _text(LEFT - 34, _y(score) + 4, f"{score:.1f}", ' fill="#57606a"')
        line = f'x1="{LEFT}" y1="{_y(score)}" x2="{WIDTH - RIGHT}" y2="{_y(score)}"'
        yield f'<line {line} stroke="#d0d7de"/>'
    yield _text(20, _y(0.5) + 4, "score")
    for record in decisions:
        x = _x(record["frame"] / FPS, scale)
        y = _y(record["threshold"])
        yield f'<line x1="{x - 2}" y1="{y}" x2="{x + 2}" y2="{y}" stroke="#1f2328"/>'
        colour = COLOURS[record["verdict"]]
        yield f'<circle cx="{x}" cy="{_y(record["score"])}" r="2.5" fill="{colour}"/>'


def _states(events: Sequence[Record], scale: float, end_s: float) -> Iterable[str]:
    for row, (name, begins, ends, colour) in enumerate(STATES):
        y = LANES + LANE * row
        yield _text(20, y + 14, name)
        since: float | None = None
        for event in [*events, {"event": ends[0], "at_s": end_s}]:
            if event["event"] == begins and since is None:
                since = event["at_s"]
            elif event["event"] in ends and since is not None:
                x, width = _x(since, scale), round((event["at_s"] - since) * scale, 1)
                yield f'<rect x="{x}" y="{y + 4}" width="{width}" height="13" fill="{colour}"/>'
                since = None


def _table(decisions: Sequence[Record], events: Sequence[Record]) -> Iterable[str]:
    y = LANES + LANE * len(STATES) + 30
    for number, (title, frames, expected) in enumerate(_people(), 1):
        here = [record for record in decisions if record["frame"] in frames]
        best = max((record["score"] for record in here), default=None)
        ids = {record["id"] for record in here}
        answers = [event for event in events if event.get("record_id") in ids]
        begins_s, ends_s = frames.start / FPS, frames.stop / FPS
        during = [event for event in events if begins_s <= event["at_s"] <= ends_s]
        yield _text(20, y, f"{number}  {title}")
        yield _text(330, y, "no score" if best is None else f"best score {best:.3f}")
        yield _text(470, y, _result(answers, during), ' font-weight="600"')
        yield _text(660, y, f"expected: the door {expected}", ' fill="#57606a"')
        y += 22


def _result(answers: Sequence[Record], during: Sequence[Record]) -> str:
    """Return the result of a scene from the door's answers and all events during the scene."""
    if not any(event["event"] == "unlocked" for event in answers):
        reasons = sorted({str(e["reason"]) for e in answers if e["event"] == "refused"})
        return f"refused: {', '.join(reasons)}" if reasons else "locked"
    if not any(event["event"] == "waiting" for event in answers):
        return "unlocked"
    if any(event["event"] == "duress" for event in during):
        return "duress PIN: silent alarm"
    wrong = any(event["reason"] == "wrong-pin" for event in during)
    return "wrong PIN, then right PIN" if wrong else "unlocked by PIN"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(Path(sys.argv[1])), encoding="utf-8")
