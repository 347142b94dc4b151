"""Authentication modes: which factors complete a request."""

from __future__ import annotations

from edge.access.rules.settings import AccessRules
from edge.access.rules.values import AuthMode, Factor, Moment, RulePerson

FactorSet = frozenset[Factor]

_FACTORS: dict[AuthMode, FactorSet] = {
    AuthMode.CARD: frozenset({Factor.CARD}),
    AuthMode.PIN: frozenset({Factor.PIN}),
    AuthMode.FACE: frozenset({Factor.FACE}),
    AuthMode.CARD_AND_FACE: frozenset({Factor.CARD, Factor.FACE}),
    AuthMode.PIN_AND_FACE: frozenset({Factor.PIN, Factor.FACE}),
}
_FALLBACKS = frozenset({AuthMode.CARD, AuthMode.PIN})
_MASKED = (_FACTORS[AuthMode.CARD_AND_FACE], _FACTORS[AuthMode.PIN_AND_FACE])
_STRICTNESS = list(AuthMode)


def accepted_factors(
    rules: AccessRules, person: RulePerson, moment: Moment, *, masked: bool
) -> tuple[FactorSet, ...]:
    """Return the sets of factors, each of which completes a request; empty: none does."""
    found = [_FACTORS[mode] for mode in sorted(_accepted_modes(rules, person, moment))]
    if masked and rules.mask_needs_factor and _FACTORS[AuthMode.FACE] in found:
        found.remove(_FACTORS[AuthMode.FACE])
        found.extend(_MASKED)
    return tuple(found)


def _accepted_modes(rules: AccessRules, person: RulePerson, moment: Moment) -> set[AuthMode]:
    """Return the mode and its fallbacks. A mode of the person replaces both."""
    mode, fallback = scheduled_mode(rules, moment)
    if person.mode is None:
        return {mode} | fallback
    return {person.mode} - (_FALLBACKS - fallback)


def scheduled_mode(rules: AccessRules, moment: Moment) -> tuple[AuthMode, frozenset[AuthMode]]:
    """Return mode and fallbacks by schedule: the strictest and none if the time is unknown."""
    if not moment.clock_trusted:
        modes = {rules.mode, *(span.mode for span in rules.spans)}
        return max(modes, key=_STRICTNESS.index), frozenset()
    for span in rules.spans:
        if span.covers(moment.wall):
            return span.mode, span.fallback
    return rules.mode, frozenset()
