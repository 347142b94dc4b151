"""Drawn clips with cards and PINs: right and wrong card, mask and PIN, duress PIN."""

from __future__ import annotations

from collections.abc import Mapping

from edge.access.rules.values import Factor
from edge.rehearsal.clips import Clip, ExpectedGrants
from edge.rehearsal.door_script import ScriptedInput
from edge.rehearsal.rule_clips import (
    MASK,
    OPENS_FOR_OWNER,
    OTHER,
    OWNER,
    RuleCase,
    build_rule_clips,
)
from edge.synthesis.drawing import Cutout

_CARD_MODE = {"mode": "card-and-face"}
_MASK_RULE = {"masked": "require-second-factor"}

_CASES = (
    RuleCase(
        "card-and-face",
        "Collins, then her card",
        _CARD_MODE,
        (ScriptedInput(1.5, Factor.CARD, OWNER),),
        OPENS_FOR_OWNER,
    ),
    RuleCase(
        "wrong-card",
        "Collins, then a card of no one and the card of Hopper",
        _CARD_MODE,
        (ScriptedInput(1.0, Factor.CARD, None), ScriptedInput(1.5, Factor.CARD, OTHER)),
        ExpectedGrants(),
    ),
    RuleCase(
        "mask-and-pin",
        "Collins with a mask, then a wrong PIN and her PIN",
        _MASK_RULE,
        (ScriptedInput(1.5, Factor.PIN, None), ScriptedInput(2.0, Factor.PIN, OWNER)),
        OPENS_FOR_OWNER,
        MASK,
    ),
    RuleCase(
        "mask-without-pin",
        "Collins with a mask, without a card or PIN",
        _MASK_RULE,
        (),
        ExpectedGrants(),
        MASK,
    ),
    RuleCase(
        "duress-pin",
        "Collins with a mask, then her duress PIN",
        _MASK_RULE,
        (ScriptedInput(1.5, Factor.DURESS_PIN, OWNER),),
        OPENS_FOR_OWNER,
        MASK,
    ),
)


def second_factor_clips(cutouts: Mapping[str, Cutout]) -> list[Clip]:
    """Return all clips, equal on every machine; frames (480,640,3) at the demo's pace."""
    return build_rule_clips(_CASES, cutouts)
