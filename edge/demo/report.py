"""The demo's HTML page: what the camera saw, what was decided and why, and what the door did. One file, no scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge.demo.clip import FPS, Scene

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
    environment = jinja2.Environment(loader=jinja2.PackageLoader("edge.demo", "."), autoescape=True)
    cards = [_card(stay, frames, pictures) for stay in story.stays if stay.scene.person]
    return environment.get_template("report.html").render(story=story, cards=cards, facts=facts, plot=_plot(story))


def _card(stay: Stay, frames: Sequence[NDArray[np.uint8]], pictures: dict[int, NDArray[np.uint8]]) -> dict[str, Any]:
    """What the template shows of one scene: its grant, else its highest score."""
    scored = [d for d in stay.decisions if "score" in d]
    shown = next((d for d in scored if d["verdict"] == "grant"), None) or max(scored, key=lambda d: float(d["score"]), default=None)
    if shown is None:
        return {"title": stay.scene.title, "pictures": [], "numbers": {"Verdict": "no face was decided on"}}
    frame = frames[shown["frame"]].copy()
    x0, y0, x1, y1 = shown["box_xyxy"]
    cv2.rectangle(frame, (x0, y0), (x1, y1), (55, 127, 26) if shown["verdict"] == "grant" else (46, 34, 207), 2)
    images = [{"caption": f"frame {shown['frame']}", "base64": _png(frame, 0.5)}]
    if shown["id"] in pictures:
        images.append({"caption": "chip and its attention", "base64": _png(pictures[shown["id"]], 2)})
    looks = {k.removeprefix("on_"): v for k, v in shown["attention"].items() if k.startswith("on_")}
    numbers = {
        "Verdict": f"{shown['verdict']} ({shown['reason']})",
        "Score against threshold": f"{shown['score']:.3f} / {shown['threshold']:.3f}",
        "Mask worn": f"{shown['mask_worn']:.0%}",
        "Frames that agree": shown["votes"],
        "Embedding looks at": ", ".join(f"{region} {share:.0%}" for region, share in looks.items()),
        "Door": ", ".join(f"opened at {u['at_s']:.2f} s for {u['subject']}" for u in stay.unlocks) or "stayed locked",
        "Record": f"no. {shown['id']}, model {shown['model']}, {shown['liveness']}",
    }
    return {"title": stay.scene.title, "pictures": images, "numbers": numbers}


def _plot(story: Story) -> str:
    """Scores over time against the threshold that applied, above the state of the door; an SVG element."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    scores, door = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    for stay in story.stays:
        if stay.scene.person:
            for axes in (scores, door):
                axes.axvspan(stay.start_s, stay.end_s, color="#ddf4ff")
            scores.text(stay.start_s + 0.1, 1.02, stay.scene.title, fontsize=8)
    judged = [d for stay in story.stays for d in stay.decisions if "score" in d]
    for layer, (verdict, colour) in enumerate(reversed(_COLOURS.items()), 3):  # grants on top
        chosen = [d for d in judged if d["verdict"] == verdict]
        if chosen:
            at_s, score = [d["at_s"] for d in chosen], [d["score"] for d in chosen]
            scores.plot(at_s, score, "o", ms=8 if verdict == "grant" else 5, color=colour, label=verdict, zorder=layer)
    scores.plot([d["at_s"] for d in judged], [d["threshold"] for d in judged], "_", ms=9, color="#1f2328", label="threshold")
    scores.set(ylim=(-0.15, 1.12), ylabel="score")
    scores.legend(loc="lower center", ncols=5, fontsize=8)
    door.broken_barh([(start, end - start) for start, end in story.open_spans], (0, 1), color="#2da44e")
    door.set(ylim=(0, 1), yticks=[], ylabel="door open", xlabel="seconds", xlim=(0, story.stays[-1].end_s))
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _png(image: NDArray[np.uint8], zoom: float) -> str:
    sized = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".png", sized)
    return base64.b64encode(encoded.tobytes()).decode()
