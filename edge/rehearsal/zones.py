"""Drawn clips with passages: anti-passback, tailgating, occupancy limit, two people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge.access.rules.values import Factor
from edge.rehearsal.clips import Clip, ExpectedGrants
from edge.rehearsal.door_script import ScriptedInput, ScriptedPassage
from edge.rehearsal.rule_clips import OTHER, OWNER, RuleCase, build_rule_clips
from edge.synthesis.drawing import Cutout

_GONE_S = 1.5  # no face is visible from then on
_DAYS = ["mon-fri", "sat", "sun"]
_CARD_ALONE = [  # at all hours
    {"days": _DAYS, "begin": begin, "end": end, "fallback": ["card"]}
    for begin, end in (("00:00", "12:00"), ("12:00", "00:00"))
]


def _lab(passage: str, *, two_people: bool = False, **zone: Any) -> dict[str, Any]:
    """Return access rules with a zone `lab`, and the lanes into it and out of it."""
    lane = {"zone": "lab", "hardware_egress": True}
    two = {"two_people": {"within_s": 10}} if two_people else {}
    return {
        "spans": _CARD_ALONE,
        "passage_grace_s": 0,
        "zones": [{"name": "lab", **zone}],
        "lanes": [
            {"name": "in", **lane, "passage": passage, "two_people": two_people},
            {"name": "out", **lane, "passage": "contact", "direction": "out"},
        ],
        **two,
    }


def _expect(people: Sequence[str], *answers: str) -> ExpectedGrants:
    return ExpectedGrants(must=frozenset(people), answers=answers)


_CASES = (
    RuleCase(
        "enters-twice",
        "Collins enters, then her card is presented outside: hard anti-passback",
        _lab("contact", anti_passback="hard"),
        (ScriptedPassage(1.4, "contact"), ScriptedInput(2.5, Factor.CARD, OWNER)),
        _expect([OWNER], "opens", "passes", "refused already-inside"),
        gone_s=_GONE_S,
    ),
    RuleCase(
        "turns-back",
        "Collins does not enter, then presents her card: the grant before is void",
        _lab("contact", anti_passback="hard"),
        (ScriptedInput(2.5, Factor.CARD, OWNER),),
        _expect([OWNER], "opens", "opens"),
        gone_s=_GONE_S,
        pulse_s=1.0,
    ),
    RuleCase(
        "tailgating",
        "two people pass on one grant of Collins",
        _lab("sensor"),
        (ScriptedPassage(1.4, "sensor"), ScriptedPassage(1.8, "sensor")),
        _expect([OWNER], "opens", "passes", "tailgating"),
    ),
    RuleCase(
        "zone-full",
        "Hopper enters by card, then Collins comes: one person may be inside",
        _lab("sensor", max_people=1),
        (ScriptedInput(0.0, Factor.CARD, OTHER), ScriptedPassage(0.1, "sensor")),
        _expect([OTHER], "opens", "passes", "refused zone-full"),
    ),
    RuleCase(
        "two-people",
        "Collins, then the card of Hopper: both enter",
        _lab("sensor", two_people=True),
        (
            ScriptedInput(1.4, Factor.CARD, OTHER),
            ScriptedPassage(1.8, "sensor"),
            ScriptedPassage(2.2, "sensor"),
        ),
        _expect([OTHER], "waits for second person", "opens", "passes", "passes"),
    ),
    RuleCase(
        "one-of-two",
        "Collins, and no second person",
        _lab("sensor", two_people=True),
        (),
        _expect([], "waits for second person"),
    ),
)


def zone_clips(cutouts: Mapping[str, Cutout]) -> list[Clip]:
    """Return all clips, equal on every machine; frames (480,640,3) at the demo's pace."""
    return build_rule_clips(_CASES, cutouts)
