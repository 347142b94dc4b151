"""The demo's HTML page: what the camera saw, what was decided and why, and what the door did. One file, no scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.demo.clip import FPS, Scene

_WIDTH, _LEFT = 1060, 70
_COLOURS = {"grant": "#1a7f37", "pending": "#9a6700", "unknown": "#cf222e", "refused": "#57606a"}


@dataclass(frozen=True)
class Stay:
    """One scene with what happened in it."""

    scene: Scene
    start_s: float
    decisions: list[dict[str, Any]]
    unlocks: list[dict[str, Any]]

    @property
    def end_s(self) -> float:
        return self.start_s + self.scene.seconds

    @property
    def as_expected(self) -> bool:
        right = all(self.scene.person and unlock.get("subject") == self.scene.person.person for unlock in self.unlocks)
        return bool(self.unlocks) == self.scene.expect_open and right


@dataclass(frozen=True)
class Story:
    """The whole run on one clock: seconds since the clip's first frame."""

    stays: list[Stay]
    open_spans: list[tuple[float, float]]
    passed: bool


def tell(scenes: Sequence[Scene], decisions: Sequence[dict[str, Any]], door: Sequence[dict[str, Any]]) -> Story:
    """Sort the two processes' records into scenes; raises ValueError where no face was decided on at all."""
    judged = [d for d in decisions if d.get("kind") == "decision"]
    if not judged:
        raise ValueError("the recogniser recorded no decision")
    origin = min(d["frame_at"] - d["frame"] / FPS for d in judged)
    spans: list[tuple[float, float]] = []
    unlocks: list[dict[str, Any]] = []
    opened: float | None = None
    for event in door:
        at = event["at"] - origin
        if event["event"] == "unlocked":
            unlocks.append({**event, "at_s": at})
            opened = at if opened is None else opened
        elif event["event"] in ("relocked", "stopped") and opened is not None:
            spans.append((opened, at))
            opened = None
    stays, start_s = [], 0.0
    for scene in scenes:
        end_s = start_s + scene.seconds
        here = [{**d, "at_s": d["frame"] / FPS} for d in judged if start_s <= d["frame"] / FPS < end_s]
        # A grant crosses to the door within a few milliseconds; its frame, not its arrival, says whose it is.
        frames = {d["id"] for d in here}
        stays.append(Stay(scene, start_s, here, [u for u in unlocks if u.get("record_id") in frames]))
        start_s = end_s
    told = sum(len(stay.unlocks) for stay in stays)
    return Story(stays, spans, passed=all(s.as_expected for s in stays) and told == len(unlocks) and opened is None)


def timeline(story: Story) -> str:
    """For the terminal: one line per scene."""
    lines = []
    for stay in story.stays:
        best = max((d["score"] for d in stay.decisions if "score" in d), default=None)
        what = f"best score {best:.3f}" if best is not None else "no face decided on" if stay.scene.person else ""
        door = "".join(f"  DOOR OPENS at {u['at_s']:.1f} s for {u['subject']}" for u in stay.unlocks) or "  door stays locked"
        mark = "ok  " if stay.as_expected else "FAIL"
        lines.append(f"  {mark} {stay.start_s:5.1f} s  {stay.scene.title:28} {what:20}{door}")
    return "\n".join(lines)


def page(story: Story, frames: Sequence[NDArray[np.uint8]], pictures: dict[int, NDArray[np.uint8]], facts: dict[str, str]) -> str:
    """The report; `pictures` are the evidence overlays by record id."""
    verdict = "The door opened for Eileen Collins both times and for nobody else" if story.passed else "Not as expected"
    cards = "\n".join(_card(stay, frames, pictures) for stay in story.stays if stay.scene.person)
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mfsa-edge demo</title><style>
body{{font:15px/1.45 system-ui,sans-serif;color:#1f2328;max-width:1100px;margin:2rem auto;padding:0 1rem}}
h1{{font-size:1.5rem}} .verdict{{padding:.8rem 1rem;border-radius:8px;color:#fff;background:{"#1a7f37" if story.passed else "#cf222e"}}}
.warning{{padding:.6rem 1rem;border-left:4px solid #bf8700;background:#fff8c5}}
.card{{border:1px solid #d0d7de;border-radius:8px;padding:1rem;margin:1rem 0}} .card h2{{margin:0 0 .5rem;font-size:1.1rem}}
.shots{{display:flex;gap:1rem;align-items:flex-start;flex-wrap:wrap}} figure{{margin:0}} figcaption{{font-size:.85rem;color:#57606a}}
table{{border-collapse:collapse;font-size:.9rem}} td,th{{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}}
.swatch{{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 .8em}}
</style></head><body>
<h1>mfsa-edge demo</h1><p class="verdict">{verdict}.</p>
<p class="warning"><b>Liveness is off.</b> No presentation attack detection runs in this demo: a photo of an enrolled person
would open the door, and here one does, since the clip is made of photos.</p>
<h2>Timeline</h2>{_svg(story)}
<p>Attention: <span class="swatch" style="background:#3cc850"></span>unmasked face
<span class="swatch" style="background:#e63c3c"></span>mask <span class="swatch" style="background:#288cc8"></span>background</p>
{cards}<h2>Facts</h2><table>{rows}</table></body></html>"""


def _card(stay: Stay, frames: Sequence[NDArray[np.uint8]], pictures: dict[int, NDArray[np.uint8]]) -> str:
    shown = next((d for d in stay.decisions if d["verdict"] == "grant"), None)
    scored = [d for d in stay.decisions if "score" in d]
    shown = shown or max(scored, key=lambda d: d["score"], default=None)
    if shown is None:
        return f'<div class="card"><h2>{html.escape(stay.scene.title)}</h2><p>No face was decided on.</p></div>'
    picture = pictures.get(shown["id"])
    frame = frames[shown["frame"]].copy()
    x0, y0, x1, y1 = shown["box_xyxy"]
    cv2.rectangle(frame, (x0, y0), (x1, y1), (55, 127, 26) if shown["verdict"] == "grant" else (46, 34, 207), 2)
    share = shown["attention"]
    numbers = {
        "Verdict": f"{shown['verdict']} ({shown['reason']})",
        "Score against threshold": f"{shown['score']:.3f} / {shown['threshold']:.3f}",
        "Mask worn": f"{shown['mask_worn']:.0%}",
        "Frames that agree": str(shown["votes"]),
        "Embedding looks at": ", ".join(f"{k[3:]} {v:.0%}" for k, v in share.items() if k.startswith("on_")),
        "Door": ", ".join(f"opened at {u['at_s']:.2f} s for {u['subject']}" for u in stay.unlocks) or "stayed locked",
        "Record": f"no. {shown['id']}, model {shown['model']}, {shown['liveness']}",
    }
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in numbers.items())
    overlay = (
        f"<figure>{_image(cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))}<figcaption>chip, attention</figcaption></figure>"
        if picture is not None
        else ""
    )
    return f"""<div class="card"><h2>{html.escape(stay.scene.title)}</h2><div class="shots">
<figure>{_image(cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA))}<figcaption>frame {shown["frame"]}</figcaption></figure>
{overlay}<table>{rows}</table></div></div>"""


def _svg(story: Story) -> str:
    total = story.stays[-1].end_s
    right = _WIDTH - 10

    def x(seconds: float) -> float:
        return _LEFT + (right - _LEFT) * min(max(seconds, 0), total) / total

    parts = [f'<svg viewBox="0 0 {_WIDTH} 250" role="img" aria-label="timeline" style="width:100%">']
    for stay in story.stays:
        fill = "#ddf4ff" if stay.scene.person else "#f6f8fa"
        parts.append(
            f'<rect x="{x(stay.start_s):.1f}" y="20" width="{x(stay.end_s) - x(stay.start_s):.1f}" height="190" fill="{fill}" stroke="#d0d7de"/>'
        )
        if stay.scene.person:
            label = html.escape(stay.scene.title)
            parts.append(f'<text x="{x(stay.start_s) + 4:.1f}" y="14" font-size="11">{label}</text>')
    for level in (0.0, 0.5, 1.0):
        y = 150 - 120 * level
        parts.append(
            f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="#d0d7de"/><text x="40" y="{y + 4}" font-size="11">{level:.1f}</text>'
        )
    parts.append('<text x="2" y="94" font-size="11">score</text><text x="2" y="190" font-size="11">door</text>')
    for stay in story.stays:
        for d in stay.decisions:
            if "score" in d:
                y = 150 - 120 * max(0.0, d["score"])
                parts.append(f'<circle cx="{x(d["at_s"]):.1f}" cy="{y:.1f}" r="4" fill="{_COLOURS[d["verdict"]]}"/>')
                line = 150 - 120 * d["threshold"]
                parts.append(
                    f'<line x1="{x(d["at_s"]) - 5:.1f}" x2="{x(d["at_s"]) + 5:.1f}" y1="{line:.1f}" y2="{line:.1f}" stroke="#1f2328"/>'
                )
    parts.append(f'<rect x="{_LEFT}" y="176" width="{right - _LEFT}" height="20" fill="#57606a"/>')
    for opened, closed in story.open_spans:
        parts.append(f'<rect x="{x(opened):.1f}" y="176" width="{x(closed) - x(opened):.1f}" height="20" fill="#2da44e"/>')
        parts.append(f'<text x="{x(opened) + 4:.1f}" y="190" font-size="11" fill="#fff">open</text>')
    parts += [f'<text x="{x(s):.1f}" y="228" font-size="11">{s} s</text>' for s in range(0, int(total) + 1, 2)]
    dots = "".join(
        f'<circle cx="{_LEFT + 90 * i + 5}" cy="242" r="4" fill="{colour}"/><text x="{_LEFT + 90 * i + 13}" y="246" font-size="11">{name}</text>'
        for i, (name, colour) in enumerate(_COLOURS.items())
    )
    return "".join(parts) + dots + f'<text x="{_LEFT + 380}" y="246" font-size="11">- threshold that applied</text></svg>'


def _image(image: NDArray[np.uint8]) -> str:
    done, encoded = cv2.imencode(".png", image)
    data = base64.b64encode(encoded.tobytes()).decode() if done else ""
    return f'<img alt="" src="data:image/png;base64,{data}">'
