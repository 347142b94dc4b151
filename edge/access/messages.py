"""Texts about match thresholds, for operators."""

from __future__ import annotations

from edge.access.policy import DecisionRules
from edge.system.text import format_count


def describe_thresholds(rules: DecisionRules, templates: int) -> str:
    """Describe the thresholds in a gallery of some templates, and the FPIR at them."""
    thresholds = rules.for_size(templates).thresholds
    text = f"thresholds {thresholds.unmasked:.3f} unmasked, {thresholds.masked:.3f} masked"
    text += f" for {format_count(templates, 'template')}"
    if thresholds != rules.thresholds:
        text += f" (raised from {rules.thresholds.unmasked:.3f} and {rules.thresholds.masked:.3f})"
    if rules.scaling is None or not templates:
        return text
    rate = f"at most {100 * rules.scaling.fpir(thresholds, templates):.3g} %"
    return f"{text}; false-positive identification rate per frame (FPIR) {rate}"


def describe_overload(supported: int) -> str:
    """Describe the effect of more templates than a model supports."""
    return f"the model supports {supported:,}, and with more it misses people more often"
