from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge.access.rules.settings import build_access_rules
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.config.panel_check import check_panel
from edge.config.rules_check import check_rules
from edge.door.access_point import build_access_point
from edge.errors import ConfigError

ENTRY = {"name": "in", "zone": "lab"}
EXIT = {"name": "out", "zone": "lab", "direction": "out"}
EGRESS = {**EXIT, "hardware_egress": True}
HARD = {"name": "lab", "anti_passback": "hard"}
TWO = {"groups": ["staff"]}
OPEN = {"days": ["mon"], "begin": "08:00", "end": "17:00", "mode": "open"}
WIRED = {"mantrap": {"kind": "file", "path": "other"}}
TWO_DOORS = [{"name": "in", "door": "left"}, {"name": "other", "door": "right"}]
DOORS, BOTH = {"lanes": TWO_DOORS}, ["left", "right"]
LEFT = {"name": "left"}
READER = {"kind": "simulated", "name": "entry", "lane": "other", "path": "reader"}
PANEL = {"kind": "osdp", "device": "/dev/ttyUSB0", "key_file": "panel.key"}
SENSOR = {"passage": {"kind": "file", "path": "sensor"}}


def test_defaults_restrict_nothing() -> None:
    rules = build_access_rules(AccessConfig(), DoorConfig())
    lane = rules.lanes["main"]
    assert (rules.mode.value, rules.mask_needs_factor, rules.interlock) == (
        "face",
        False,
        frozenset(),
    )
    assert (lane.zone, lane.passage, lane.two_people, lane.groups) == (None, None, False, set())


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ({"zones": [HARD], "lanes": [ENTRY, EXIT]}, "`hardware_egress: true`"),
        ({"zones": [HARD], "lanes": [ENTRY]}, "no lane leads out"),
        ({"zones": [HARD], "lanes": [EGRESS]}, "no lane leads in"),
        ({"zones": [{"name": "lab", "max_people": 3}], "lanes": [ENTRY]}, "no lane leads out"),
        ({"zones": [{"name": "lab", "forget_after_s": 60}]}, "needs `anti_passback: soft`"),
        ({"zones": [{"name": "lab"}] * 2, "lanes": [ENTRY]}, "zones: the name lab occurs twice"),
        ({"lanes": [{"name": "in"}] * 2}, "lanes: the name in occurs twice"),
        ({"lanes": [ENTRY]}, "zone lab is not in `zones`; add it"),
        ({"lanes": [{"name": "out", "direction": "out"}]}, "needs a `zone`"),
        ({"lanes": [{"name": "in", "two_people": True}]}, "needs the section"),
        ({"two_people": TWO}, "no lane uses it"),
        (
            {
                "zones": [{"name": "lab"}],
                "lanes": [ENTRY, {**EXIT, "two_people": True}],
                "two_people": TWO,
            },
            "`two_people` can refuse an exit",
        ),
        ({"spans": [{"days": ["mon"], "begin": "08:00", "end": "09:00"}]}, "changes nothing"),
        ({"mode": "card"}, "face"),
        ({"lanes": [{"name": "in 1"}]}, "letters, digits and hyphens"),
        ({"lanes": [{"name": "süd"}]}, "ASCII letters"),
        ({"lanes": [{"name": "lane²"}]}, "ASCII letters"),
        ({"lanes": [{"name": "lane٣"}]}, "ASCII letters"),
        ({"lanes": [{"name": "---"}]}, "ASCII letters"),
    ],
)
def test_conflicting_rules_are_refused(access: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AccessConfig.model_validate(access)


@pytest.mark.parametrize(
    "access",
    [
        {"zones": [HARD], "lanes": [ENTRY, EGRESS]},
        {"zones": [{**HARD, "forget_after_s": 3600}], "lanes": [ENTRY]},
        {"zones": [{"name": "lab", "anti_passback": "soft"}], "lanes": [ENTRY, EXIT]},
    ],
)
def test_agreeing_rules_are_accepted(access: dict[str, Any]) -> None:
    config = AccessConfig.model_validate(access)
    check_rules(config, DoorConfig(), None)
    assert build_access_rules(config, DoorConfig()).lanes


@pytest.mark.parametrize(
    ("access", "door", "message"),
    [
        ({"lanes": [{"name": "in", "passage": "contact"}]}, {}, "set `door.inputs.contact`"),
        (
            {"interlock": True},
            {"schedule": {"spans": [OPEN]}, "inputs": WIRED},
            "remove the spans",
        ),
        ({"interlock": True}, {}, "set `door.inputs.mantrap`"),
        ({"lanes": [{"name": "in", "passage": "sensor"}]}, {}, "set `door.inputs.passage`"),
        (
            {"lanes": [{"name": name, "passage": "sensor"} for name in ("a", "b")]},
            {"inputs": SENSOR},
            "only one lane",
        ),
        ({"first_person": ["staff"]}, {}, "add a span with `mode: open`"),
        ({**DOORS, "interlock_doors": BOTH}, {**LEFT, "schedule": {"spans": [OPEN]}}, "open hours"),
        ({"lanes": TWO_DOORS, "interlock": True}, {**LEFT, "inputs": WIRED}, "doors left, right"),
        ({"lanes": TWO_DOORS}, {}, "door main; write one of: left, right"),
        ({"lanes": TWO_DOORS}, {**LEFT, "readers": [READER]}, "does not lead .* one of: in$"),
    ],
)
def test_rules_must_fit_the_door(
    access: dict[str, Any], door: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_rules(AccessConfig.model_validate(access), DoorConfig.model_validate(door), None)


@pytest.mark.parametrize(
    ("access", "door", "message"),
    [
        ({}, {"inputs": {"contact": {"kind": "file", "path": "c"}}}, "door.inputs.contact"),
        ({"zones": [HARD], "lanes": [ENTRY, EGRESS]}, {}, "access.zones"),
        ({"first_person": ["staff"]}, {}, "access.first_person, or set"),
        ({}, {"readers": [{"kind": "simulated", "name": "panel", "path": "r"}]}, "name panel"),
    ],
)
def test_panel_owns_the_lock(access: dict[str, Any], door: dict[str, Any], message: str) -> None:
    rules = AccessConfig.model_validate(access)
    with pytest.raises(ConfigError, match=message):
        check_panel(rules, DoorConfig.model_validate({**door, "panel": PANEL}))
    check_panel(rules, DoorConfig.model_validate(door))


def test_panel_with_local_relay_allows_zones() -> None:
    rules = AccessConfig.model_validate({"zones": [HARD], "lanes": [ENTRY, EGRESS]})
    door = DoorConfig.model_validate({"panel": {**PANEL, "switch_relay": True}})
    check_panel(rules, door)
    panel = build_access_point(rules, door).panel
    assert panel is not None and panel.switch_relay


def test_contact_reports_passages_of_all_lanes() -> None:
    door = DoorConfig.model_validate({"inputs": {"contact": {"kind": "file", "path": "c"}}})
    config = AccessConfig.model_validate(
        {"lanes": [{"name": "in"}, {"name": "gate", "passage": "sensor"}]}
    )
    lanes = build_access_rules(config, door).lanes
    assert (lanes["in"].passage, lanes["gate"].passage) == ("contact", "sensor")


def test_contact_belongs_to_the_lanes_of_one_door() -> None:
    inputs = {"contact": {"kind": "file", "path": "c"}}
    access = AccessConfig.model_validate({"lanes": TWO_DOORS})
    rules = build_access_rules(access, DoorConfig.model_validate({**LEFT, "inputs": inputs}))
    assert [lane.passage for lane in rules.lanes.values()] == ["contact", None]
    assert [lane.name for lane in rules.lanes_of("right")] == ["other"]


def test_passage_of_another_door_needs_no_input() -> None:
    lanes = [TWO_DOORS[0], {**TWO_DOORS[1], "passage": "sensor"}]
    access = AccessConfig.model_validate({"lanes": lanes})
    check_rules(access, DoorConfig.model_validate(LEFT), "in")
    right = DoorConfig.model_validate({"name": "right"})
    with pytest.raises(ConfigError, match="no passage sensor"):
        check_rules(access, right, "other")


@pytest.mark.parametrize(
    ("doors", "message"),
    [
        (["left", "middle"], "leads through the door middle; write doors of `lanes`: left, right"),
        (["left"], "two doors or more, found one"),
        (["left", "left"], "left occurs twice"),
    ],
)
def test_interlock_needs_known_doors(doors: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AccessConfig.model_validate({**DOORS, "interlock_doors": doors})


def test_interlock_of_doors_is_built() -> None:
    access = AccessConfig.model_validate({**DOORS, "interlock_doors": BOTH})
    left = DoorConfig.model_validate(LEFT)
    check_rules(access, left, None)
    assert build_access_rules(access, left).interlock == {"left", "right"}


def test_camera_lane_of_another_door_is_refused() -> None:
    access = AccessConfig.model_validate({"lanes": TWO_DOORS})
    with pytest.raises(ConfigError, match=r"camera\.lane: the camera is at the lane other, which"):
        check_rules(access, DoorConfig.model_validate(LEFT), "other")


def test_door_without_lanes_has_one_lane() -> None:
    lanes = build_access_rules(AccessConfig(), DoorConfig()).lanes
    assert (lanes["main"].name, lanes["main"].door) == ("main", "main")
    check_rules(AccessConfig(), DoorConfig(), "main")


def test_named_door_without_lanes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"door\.name: the door left needs lanes, since .*"):
        check_rules(AccessConfig(), DoorConfig.model_validate(LEFT), None)
