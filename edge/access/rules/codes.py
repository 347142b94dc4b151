"""Codes of the access rules."""

from __future__ import annotations

from edge.codes import Code


class RuleRefusal(Code):
    """Why an access rule refuses a request. The sentence is shown to people."""

    UNKNOWN_LANE = "unknown-lane", "this lane is not configured; add it to `access.lanes`"
    OTHER_PERSON = (
        "other-person",
        "another person has started here; wait a moment, then start again",
    )
    FALLBACK_NOT_ALLOWED = (
        "fallback-not-allowed",
        "a card or PIN alone is not accepted at this time; come in the permitted hours",
    )
    NOT_IN_GROUP = "not-in-group", "you have no access here; ask an operator for it"
    CLOCK_UNTRUSTED = (
        "clock-untrusted",
        "your access ends on a date and the clock is not trusted; ask an operator to set it",
    )
    NOT_VALID_TODAY = (
        "not-valid-today",
        "your access is not valid today; ask an operator to extend it",
    )
    USED_UP = "used-up", "your number of visits is used up; ask an operator for more"
    STATE_UNKNOWN = (
        "zone-state-unknown",
        "it is not known who is inside; ask an operator to reset the zones",
    )
    PASSAGE_PENDING = (
        "passage-pending",
        "your access was granted already; pass through that door, or wait until it locks",
    )
    ALREADY_INSIDE = (
        "already-inside",
        "you have entered already and not left; leave first, or ask an operator to reset you",
    )
    NOT_INSIDE = (
        "not-inside",
        "you have not entered here; enter first, or ask an operator to reset you",
    )
    NOT_IN_TWO_PEOPLE_GROUP = (
        "two-people-not-permitted",
        "this door needs two people of certain groups; ask one of them",
    )
    ZONE_FULL = "zone-full", "too many people are inside; wait until a person leaves"
    INTERLOCK = "interlock", "the other door is open; close it and start again"
