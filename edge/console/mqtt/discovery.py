"""Device discovery messages of Home Assistant: one device for each door.

Format: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

import json
from typing import Any

from edge.config.mqtt import MqttCommand
from edge.console.mqtt.messages import DECISION_EVENT_TYPES, DOOR_EVENT_TYPES
from edge.console.mqtt.topics import Topics

Component = dict[str, Any]

_NAMES = {"hold": "Hold open", "lockdown": "Lockdown", "release": "Release"}


def build_discovery(
    topics: Topics,
    door: str,
    version: str,
    commands: tuple[MqttCommand, ...],
    event_logs: dict[str, str],
    *,
    has_contact: bool,
) -> dict[str, Any]:
    """Return the discovery message of a door.

    `event_logs`: logs of the door and of its recogniser (`door`, `decisions`), by component.
    A component with a platform alone removes one that an earlier message made.
    """
    state = topics.door_state(door)
    components = {
        **_lock(topics, door, commands),
        **_buttons(topics, door, commands),
        "contact": _flag(state, "door", "Door", "contact", "open", "closed")
        if has_contact
        else {"platform": "binary_sensor"},
        "alarm": {
            **_condition(state, "safety", "Alarm", "alarm"),
            "json_attributes_topic": state,
        },
        "tamper": _condition(state, "tamper", "Tamper", "tamper"),
        "health": _health(topics),
        **{name: _event(topics, name, log) for name, log in event_logs.items()},
    }
    device = topics.device_id(door)
    for name, component in components.items():
        if len(component) > 1:
            component["unique_id"] = f"{device}-{name}"
    return {
        "device": {
            "identifiers": [device],
            "name": f"{topics.terminal} {door}",
            "manufacturer": "mfsa-edge",
            "model": "Access-control terminal",
            "sw_version": version,
        },
        "origin": {"name": "mfsa-edge", "sw_version": version},
        "components": components,
        "availability": [
            {"topic": topics.availability},
            {"topic": topics.door_availability(door)},
        ],
        "availability_mode": "all",
        "qos": 1,
    }


def _health(topics: Topics) -> Component:
    return {
        "platform": "sensor",
        "name": "Health",
        "device_class": "enum",
        "options": ["ok", "problem"],
        "entity_category": "diagnostic",
        "state_topic": topics.health,
        "value_template": "{{ value_json.status }}",
        "json_attributes_topic": topics.health,
    }


def _lock(topics: Topics, door: str, commands: tuple[MqttCommand, ...]) -> dict[str, Component]:
    """Return the lock; a sensor if it cannot be unlocked: a lock needs a command topic."""
    state = topics.door_state(door)
    if "unlock" not in commands:
        sensor = _flag(state, "lock", "Lock", "state", "unlocked", "locked")
        return {"lock": {"platform": "lock"}, "lock_state": sensor}
    lock = {
        "platform": "lock",
        "name": None,  # of the device
        "state_topic": state,
        "value_template": "{{ value_json.state }}",
        "state_locked": "locked",
        "state_unlocked": "unlocked",
        "command_topic": topics.command(door),
        "payload_unlock": _command("unlock"),
        "payload_lock": _command("lock"),
        "retain": False,
        "optimistic": False,
    }
    return {"lock": lock, "lock_state": {"platform": "binary_sensor"}}


def _buttons(topics: Topics, door: str, commands: tuple[MqttCommand, ...]) -> dict[str, Component]:
    """Return a button for each further command, and remove those that are not permitted."""
    return {
        command: {
            "platform": "button",
            "name": name,
            "command_topic": topics.command(door),
            "payload_press": _command(command),
            "retain": False,
        }
        if command in commands
        else {"platform": "button"}
        for command, name in _NAMES.items()
    }


def _command(command: str) -> str:
    return json.dumps({"command": command, "reason": "Home Assistant"})


def _flag(state: str, device_class: str, name: str, field: str, on: str, off: str) -> Component:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": device_class,
        "state_topic": state,
        "value_template": f"{{{{ value_json.{field} }}}}",
        "payload_on": on,
        "payload_off": off,
    }


def _condition(state: str, device_class: str, name: str, field: str) -> Component:
    """Return a sensor of a boolean; a template writes it as True or False."""
    return _flag(state, device_class, name, field, "True", "False")


def _event(topics: Topics, name: str, log: str) -> Component:
    is_door = name == "access"
    return {
        "platform": "event",
        "name": "Access" if is_door else "Recognition",
        "state_topic": topics.event(log),
        "event_types": list(DOOR_EVENT_TYPES if is_door else DECISION_EVENT_TYPES),
    }
