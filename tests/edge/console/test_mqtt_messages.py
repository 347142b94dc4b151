"""MQTT messages without a broker: events, states, discovery, commands, files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.config.mqtt import MqttCommand, MqttConfig
from edge.console.door_control import DoorControl
from edge.console.mqtt.commands import CommandReceiver
from edge.console.mqtt.credentials import build_tls, read_password
from edge.console.mqtt.cursor_file import CursorFile
from edge.console.mqtt.discovery import build_discovery
from edge.console.mqtt.messages import DOOR_EVENT_TYPES, MessageView, health
from edge.console.mqtt.topics import Topics
from edge.console.records.cursor import EventId
from edge.console.records.events import Event
from edge.console.tasks import cancel_all
from edge.errors import ConfigError, RecordError

pytest.importorskip("aiomqtt", reason="the extra `mqtt` is not installed")
from tests.edge.console.mqtt import write_password

TOPICS = Topics("mfsa-edge", "lobby.1", "homeassistant")
GRANTED = {
    "wall": 1.8e9,
    "event": "granted",
    "reason": "grant",
    "subject": "Ada",
    "grant_id": "g1",
    "record_id": 7,
    "note": "free text",
    "latches": ["duress"],
}


def view(**changes: Any) -> MessageView:
    return MessageView(MqttConfig(host="broker", **changes))


def event(record: dict[str, Any], log: str = "door") -> Event:
    return Event(EventId(log, 12, 1_800_000_000, "0" * 8), {"wall": 1.8e9, **record})


def test_event_has_no_name_and_no_note() -> None:
    message = view().event(event(GRANTED))
    assert message == {
        "event_type": "granted",
        "id": "door:12:6b49d20000000000",
        "at": "2027-01-15T08:00:00.000+00:00",
        "is_clock_trusted": True,
        "reason": "grant",
        "text": message and message["text"],
        "method": "face",
        "grant_id": "g1",
    }


def test_names_are_sent_if_configured() -> None:
    command = {"event": "operator-command", "reason": "unlock", "operator": "ada", "user": "ben"}
    named = view(names=True)
    granted, sent = named.event(event(GRANTED)), named.event(event(command))
    assert granted is not None and granted["person"] == "Ada"
    assert sent is not None and (sent["operator"], sent["user"]) == ("ada", "ben")


@pytest.mark.parametrize("silent", [{"event": "duress"}, {"event": "alarm", "reason": "duress"}])
def test_duress_is_sent_only_if_configured(silent: dict[str, Any]) -> None:
    assert view().event(event(silent)) is None
    assert view(duress=True).event(event(silent)) is not None
    status = {"state": "unlocked", "reason": "pulse", "alarms": ["duress"], "inputs": {}}
    assert view().door_state(status)["alarms"] == []
    assert view(duress=True).door_state(status)["alarms"] == ["duress"]


@pytest.mark.parametrize(
    ("log", "record"),
    [
        ("console", {"kind": "console", "event": "login"}),
        ("decisions", {"kind": "explanation"}),
        ("decisions", {"kind": "retention"}),
    ],
)
def test_other_records_are_not_sent(log: str, record: dict[str, Any]) -> None:
    assert view(duress=True, names=True).event(event(record, log)) is None


@pytest.mark.parametrize(
    ("record", "method"),
    [
        ({"kind": "decision", "verdict": "unknown", "reason": "below-threshold"}, "face"),
        ({**GRANTED, "record_id": 0}, "card-or-pin"),
        ({"event": "card-pin-refused", "reason": "wrong-pin"}, "card-or-pin"),
        ({"event": "unlock", "reason": "operator", "operator": "ada"}, "operator"),
        ({"event": "unlocked", "reason": "rex"}, "exit-button"),
        ({"event": "unlocked", "reason": "fire"}, "fire"),
        ({"event": "relocked", "reason": "pulse-ended"}, None),
    ],
)
def test_event_names_its_method(record: dict[str, Any], method: str | None) -> None:
    message = view().event(event(record))
    assert message is not None and message["method"] == method


def test_door_state_has_contact_and_alarms() -> None:
    status = {
        "state": "locked",
        "reason": "normal",
        "alarms": ["forced-open", "tamper"],
        "inputs": {"contact": True},
    }
    assert view().door_state(status) == {
        "state": "locked",
        "reason": "normal",
        "contact": "open",
        "alarm": True,
        "alarms": ["forced-open", "tamper"],
        "tamper": True,
    }


def test_health_counts_its_problems() -> None:
    assert health([], "ready")["status"] == "ok"
    found = health(["log door: unreadable"], "lost")
    assert (found["status"], found["text"]) == ("problem", "2 problems")
    assert health([], None)["problems"] == ["the recogniser does not answer"]


# ---------------------------------------------------------------- Home Assistant

ENTITIES = frozenset({"lock", "event", "binary_sensor", "sensor", "button"})
# Keys that the schema of each platform requires, from homeassistant/components/mqtt.
REQUIRED = {
    "lock": {"command_topic"},
    "event": {"state_topic", "event_types"},
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "button": {"command_topic"},
}
COMMON = {
    "platform", "unique_id", "name", "device_class", "value_template", "entity_category",
    "json_attributes_topic", "state_topic", "command_topic", "retain",
}  # fmt: skip
ACCEPTED = {
    "lock": COMMON
    | {"payload_lock", "payload_unlock", "state_locked", "state_unlocked", "optimistic"},
    "event": COMMON | {"event_types"},
    "binary_sensor": COMMON | {"payload_on", "payload_off"},
    "sensor": COMMON | {"options"},
    "button": COMMON | {"payload_press"},
}
CLASSES = {
    "binary_sensor": {"door", "lock", "safety", "tamper"},
    "sensor": {"enum"},
}


def discovery(
    commands: tuple[MqttCommand, ...] = (), *, has_contact: bool = True
) -> dict[str, Any]:
    logs = {"access": "door", "recognition": "decisions"}
    return build_discovery(TOPICS, "main", "1.2", commands, logs, has_contact=has_contact)


def check_discovery(message: dict[str, Any], topic: str) -> None:
    """Check a message against the rules that Home Assistant publishes for device discovery."""
    # The topic is <prefix>/device/<object id>/config with [a-zA-Z0-9_-] in the object id.
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
    # `device`, `origin` and `components` are required; further keys at the root are shared options.
    shared = {"availability", "availability_mode", "qos"}
    assert message.keys() == {"device", "origin", "components"} | shared
    # A device has identifiers or connections, an origin a name.
    assert message["device"]["identifiers"] and message["origin"]["name"]
    device = {"identifiers", "name", "manufacturer", "model", "sw_version"}
    assert message["device"].keys() <= device and message["origin"].keys() <= {"name", "sw_version"}
    # Each availability has a topic; the mode is all, any or latest.
    assert all(each.keys() == {"topic"} for each in message["availability"])
    assert message["availability_mode"] in ("all", "any", "latest")
    ids = []
    for component in message["components"].values():
        platform = component["platform"]
        # Each component has a platform. One without any other key removes the component.
        assert platform in ENTITIES
        if len(component) == 1:
            continue
        ids.append(component["unique_id"])
        assert component.keys() >= REQUIRED[platform]
        assert component.keys() <= ACCEPTED[platform]
        assert component.get("device_class") in {None, *CLASSES.get(platform, ())}
        # Topics of states and commands have no wildcard.
        topics = (component.get("state_topic"), component.get("command_topic"))
        assert not any("#" in each or "+" in each for each in topics if each)
        # Commands are not retained: a retained one would be sent again at each connection.
        assert component.get("retain", False) is False
        # A sensor of class enum has options, and no unit or state class.
        assert (component.get("device_class") == "enum") == ("options" in component)
    # Each entity has its own unique id.
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("commands", [(), ("unlock",), ("unlock", "hold", "lockdown", "release")])
def test_discovery_follows_the_rules(commands: tuple[MqttCommand, ...]) -> None:
    for has_contact in (True, False):
        message = discovery(commands, has_contact=has_contact)
        check_discovery(message, TOPICS.discovery("main"))


def test_discovery_without_commands_has_none() -> None:
    components = discovery()["components"]
    assert "command_topic" not in json.dumps(components)
    assert components["lock"] == {"platform": "lock"}
    assert components["lock_state"]["device_class"] == "lock"


def test_discovery_offers_permitted_commands() -> None:
    components = discovery(("unlock", "release"))["components"]
    assert json.loads(components["lock"]["payload_unlock"])["command"] == "unlock"
    assert components["lock_state"] == {"platform": "binary_sensor"}
    assert components["release"]["command_topic"] == TOPICS.command("main")
    assert components["hold"] == {"platform": "button"}


def test_discovery_lists_event_types() -> None:
    components = discovery()["components"]
    assert {"granted", "refused", "alarm", "gap"} <= set(components["access"]["event_types"])
    assert {"grant", "unknown", "camera-lost"} <= set(components["recognition"]["event_types"])
    assert list(DOOR_EVENT_TYPES) == components["access"]["event_types"]


# ---------------------------------------------------------------- commands and files


@pytest.fixture
def receiver() -> Iterator[CommandReceiver]:
    doors = DoorControl({"main": Path("/nonexistent/door.sock")})
    yield CommandReceiver(doors, ("unlock",))
    doors.close()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"UNLOCK", "expected a JSON object"),
        (b'{"command": "unlock"}', "expected a JSON object"),
        (b'{"command": "unlock", "reason": ""}', "reason: expected 1 to 256"),
        (b'{"command": "unlock", "reason": 1}', "expected a JSON object"),
        (b'{"command": ["unlock"], "reason": "x"}', "commands: unlock, hold"),
        (b'{"command": "reset-fire", "reason": "x"}', "commands: unlock, hold"),
        (b'{"command": "release", "reason": "x"}', "not in `console.mqtt.commands`"),
        (b'{"command": "lock", "reason": "x"}', "the door locks by itself"),
        (b'{"command": "unlock", "command": "hold", "reason": "x"}', "duplicate key"),
        (b" " * 5000, "found 5000 bytes"),
        (b'{"command": "unlock", "reason": "x"}', "is edge-door running?"),
    ],
)
def test_command_refused_with_reason(receiver: CommandReceiver, payload: bytes, words: str) -> None:
    answer = asyncio.run(receiver.execute("main", payload, is_retained=False))
    assert not answer["done"] and words in answer["refusal"]


@pytest.mark.parametrize("prefix", ["", "a/#", "+/a", "a//b", "/a", "$SYS "])
def test_prefix_with_wildcard_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        MqttConfig(host="broker", prefix=prefix)


def test_password_of_others_is_refused(tmp_path: Path) -> None:
    path = write_password(tmp_path, "secret")
    assert read_password(path) == "secret"
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 0640\); correct it with: chmod 600"):
        read_password(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_password(tmp_path / "missing")


def test_tls_files_are_checked(tmp_path: Path) -> None:
    broken = tmp_path / "ca.crt"
    broken.write_text("no certificate")
    cases = {
        "console.mqtt.ca": {"ca": broken},
        "expected both": {"certificate": broken},
        "no usable pair": {"certificate": broken, "certificate_key": broken},
        "needs a `user`": {"password_file": broken},
    }
    for words, changes in cases.items():
        with pytest.raises(ConfigError, match=words):
            build_tls(MqttConfig(host="broker", **changes))


def test_cursor_file_keeps_the_position(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "mqtt.cursor")
    assert file.read() is None
    position = {"door": EventId("door", 12, 1_800_000_000, "a" * 8)}
    file.write(position)
    assert file.read() == position
    file.path.write_text("door:x")
    with pytest.raises(RecordError, match="remove it, then events are sent from now on"):
        file.read()


def test_lost_cancellation_is_repeated() -> None:
    async def lose_the_first() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def end() -> asyncio.Task[None]:
        task = asyncio.create_task(lose_the_first())
        await asyncio.sleep(0)
        await cancel_all([task])
        return task

    assert asyncio.run(end()).cancelled()
