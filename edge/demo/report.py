"""HTML report of the demo: pictures, decisions and the states of the door; one file."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge import html
from edge.demo.outcome import (
    FIRE,
    OPEN,
    PASSED,
    WAITING,
    DemoOutcome,
    DoorState,
    Interval,
    SceneResult,
)

_WORDS = {
    "started": "starts, locked",
    "granted": "records a grant",
    "unlocked": "opens",
    "relocked": "locks",
    "refused": "refuses",
    "operator-command": "gets an operator command",
    "lockdown": "is locked down",
    "release": "is released",
    "alarm": "raises an alarm",
    "alarm-ended": "ends the alarm",
    "waiting": "asks for a card or PIN",
    "card-pin-refused": "refuses a card or PIN",
    "duress": "raises a silent alarm",
    "reset-duress": "ends the silent alarm",
    "reader-found": "finds its reader",
    "fire": "enters the fire state",
    "reset-fire": "ends the fire state",
    "stopped": "ends, locked",
    "contact-active": "contact: open",
    "contact-inactive": "contact: closed",
    "fire-active": "fire input: active",
    "fire-inactive": "fire input: inactive",
}


def render_report(
    outcome: DemoOutcome,
    frames: Sequence[NDArray[np.uint8]],
    pictures: dict[int, NDArray[np.uint8]],
    facts: dict[str, str],
) -> str:
    """Return the report; `pictures` are the evidence overlays by record id."""
    cards = [_card(result, frames, pictures) for result in outcome.scenes if result.scene.person]
    return html.render(
        "edge.demo",
        "report.html",
        verdict=PASSED if outcome.passed else "Not as expected, see below.",
        outcome=outcome,
        cards=cards,
        events=_table(outcome.events),
        facts=facts,
        plot=_plot(outcome),
    )


def _table(events: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the door's events in words; repeated events share one row."""
    rows = []
    notes = _pin_notes(events)
    for _, group in groupby(events, key=lambda e: (e["event"], e["reason"], e.get("subject"))):
        event, *again = group
        words = _WORDS.get(event["event"], event["event"])
        rows.append(
            {
                "Time": f"{event['at_s']:.2f} s",
                "The door": f"{words}, {len(again) + 1} times" if again else words,
                "Reason": event["reason"],
                "For or by": event.get("subject") or event.get("operator", ""),
                "Note": event.get("note") or notes.get(event["at_s"], ""),
            }
        )
    return rows


def _pin_notes(events: Sequence[dict[str, Any]]) -> dict[float, str]:
    """Return which PIN was entered, without digits, by the time of the event that shows it."""
    notes: dict[float, str] = {}
    entered: str | None = None  # completes the request that waits
    for event in events:
        subject = event.get("subject")
        if event["event"] == "waiting":
            entered = f"PIN of {subject}"
        elif event["event"] == "duress":
            entered = notes[event["at_s"]] = f"duress PIN of {subject}"
        elif event["event"] == "unlocked" and subject and entered:
            notes[event["at_s"]] = entered
            entered = None
    return notes


def _card(
    result: SceneResult, frames: Sequence[NDArray[np.uint8]], pictures: dict[int, NDArray[np.uint8]]
) -> dict[str, Any]:
    """Return the template's values of a scene: of its grant, else of its highest score."""
    scored = [d for d in result.decisions if "score" in d]
    shown = next((d for d in scored if d["verdict"] == "grant"), None) or max(
        scored, key=lambda d: float(d["score"]), default=None
    )
    if shown is None:
        return {
            "title": result.scene.title,
            "pictures": [],
            "numbers": {"Verdict": "no decision on a face"},
        }
    frame = html.draw_boxes(
        frames[shown["frame"]], [(shown["box_xyxy"], html.COLOURS[shown["verdict"]])]
    )
    images = [{"caption": f"frame {shown['frame']}", "base64": html.encode_picture(frame, 0.5)}]
    if shown["id"] in pictures:
        images.append(
            {
                "caption": "chip and its attention",
                "base64": html.encode_picture(pictures[shown["id"]], 2),
            }
        )
    looks = {k.removeprefix("on_"): v for k, v in shown["attention"].items() if k.startswith("on_")}
    numbers = {
        "Verdict": f"{shown['verdict']} ({shown['reason']})",
        "Score against threshold": f"{shown['score']:.3f} / {shown['threshold']:.3f}",
        "Mask worn": f"{shown['mask_worn']:.0%}",
        "Frames that agree": shown["votes"],
        "Embedding looks at": ", ".join(f"{region} {share:.0%}" for region, share in looks.items()),
        "Door": result.door,
        "Record": f"no. {shown['id']}, model {shown['model']}, {shown['liveness']}",
    }
    return {"title": result.scene.title, "pictures": images, "numbers": numbers}


def _plot(outcome: DemoOutcome) -> str:
    """Plot scores and thresholds above the states of the door; return an SVG element."""
    figure = Figure(figsize=(11, 5.7), layout="constrained")
    scores, door = figure.subplots(2, 1, sharex=True, height_ratios=[5, 4])
    for result in outcome.scenes:
        if result.scene.person:
            for axes in (scores, door):
                axes.axvspan(result.start_s, result.end_s, color="#ddf4ff")
            scores.text(
                result.start_s + 0.1,
                1.3,
                textwrap.fill(result.scene.title, 15),
                fontsize=8,
                va="top",
            )
    html.draw_scores(
        scores, [d for result in outcome.scenes for d in result.decisions if "score" in d]
    )
    scores.set(ylim=(-0.15, 1.35), yticks=(0, 0.25, 0.5, 0.75, 1), ylabel="score")
    figure.legend(loc="outside upper center", ncols=5, fontsize=8)
    _draw_states(door, outcome.states)
    _mark_wrong_pins(door, outcome)
    door.set(
        xlabel="seconds",
        xlim=(
            0,
            max(outcome.scenes[-1].end_s, outcome.events[-1]["at_s"] if outcome.events else 0),
        ),
    )
    return html.to_svg(figure)


def _draw_states(axes: Axes, states: dict[DoorState, list[Interval]]) -> None:
    for row, (state, intervals) in enumerate(states.items()):
        for interval in intervals:
            width_s = interval.end_s - interval.start_s
            axes.barh(
                row,
                width_s,
                left=interval.start_s,
                height=0.7,
                color=FIRE.colour if interval.reason == "fire" else state.colour,
            )
            if state is OPEN:
                axes.text(
                    interval.start_s + width_s / 2,
                    row,
                    interval.reason,
                    fontsize=7,
                    color="white",
                    ha="center",
                    va="center_baseline",
                )
    axes.set(
        ylim=(len(states) - 0.5, -0.5),
        yticks=range(len(states)),
        yticklabels=[state.name for state in states],
    )
    axes.tick_params(axis="y", length=0, labelsize=8)


def _mark_wrong_pins(axes: Axes, outcome: DemoOutcome) -> None:
    row = list(outcome.states).index(WAITING)
    for event in outcome.events:
        if event["reason"] == "wrong-pin":
            at = (event["at_s"], row)
            axes.plot(*at, "x", color="white", ms=6, mew=2)
            axes.annotate(
                "wrong PIN", at, (0, -8), textcoords="offset points", fontsize=7, va="top"
            )
