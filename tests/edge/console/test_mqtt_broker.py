"""Messages to a real Mosquitto: nothing is lost, refusals, last will, commands of the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiomqtt", reason="the extra `mqtt` is not installed")

from edge.config import TerminalConfig
from edge.console.context import Console
from edge.console.mqtt import bridge
from tests.doors import RunningDoor
from tests.doors import records as door_records
from tests.edge.console.logs import SampleLog
from tests.edge.console.mqtt import BASE, DOOR, EVENTS, mqtt_config, running_bridge
from tests.mqtt_broker import (
    Broker,
    Recorder,
    free_port,
    make_certificates,
    needs_mosquitto,
    running_broker,
)
from tests.processes import Process, until

pytestmark = needs_mosquitto

ROUNDS, IN_ROUND = 5, 200


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "RETRY_S", (0.05, 0.2))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def recorder(broker: Broker) -> Iterator[Recorder]:
    client = Recorder(broker)
    yield client
    client.close()


@pytest.fixture
def log(console_config: TerminalConfig) -> Iterator[SampleLog]:
    """Log of the door, with a record before the console starts."""
    log = SampleLog(console_config.door_record_path)
    log.append(event="started", reason="locked")
    yield log
    log.close()


@pytest.fixture
def door(console_config: TerminalConfig) -> Iterator[RunningDoor]:
    console_config.state.mkdir()
    door = RunningDoor(console_config.state)
    yield door
    door.stop()


def ids(recorder: Recorder) -> list[str]:
    return [each.json()["id"] for each in recorder.of(EVENTS)]


def numbers(recorder: Recorder) -> list[int]:
    """Return the numbers of the records that arrived."""
    return [int(each.split(":")[1]) for each in ids(recorder)]


def test_broker_restarts_lose_no_event(
    log: SampleLog, console: Console, broker: Broker, recorder: Recorder
) -> None:
    written = set()
    with running_bridge(console, mqtt_config(broker)):
        recorder.wait_for_text(f"{BASE}/availability", "online")
        for count in range(ROUNDS):
            first = [log.append(event="rex-active", reason="input") for _ in range(IN_ROUND // 2)]
            broker.restart() if count % 2 else broker.stop()
            more = [log.append(event="rex-inactive", reason="input") for _ in range(IN_ROUND // 2)]
            written.update(first + more)
            if count % 2 == 0:
                broker.start()
        until(lambda: set(numbers(recorder)) >= written, "all events arrive")
    assert set(numbers(recorder)) == written
    assert len(set(ids(recorder))) == len(written) == ROUNDS * IN_ROUND  # duplicates: the same id
    assert not any(each.retain for each in recorder.of(EVENTS))


def test_stopped_console_continues_later(
    log: SampleLog, console: Console, broker: Broker, recorder: Recorder
) -> None:
    config = mqtt_config(broker)
    with running_bridge(console, config):
        first = log.append(event="granted", reason="grant")
        until(lambda: numbers(recorder) == [first], "the first event arrives")
    later = [log.append(event="relocked", reason="pulse-ended") for _ in range(3)]
    with running_bridge(console, config):
        until(lambda: set(numbers(recorder)) == {first, *later}, "the later events arrive")
    assert numbers(recorder)[-3:] == later


def test_broker_away_at_first_start(
    log: SampleLog, console: Console, broker: Broker, recorder: Recorder
) -> None:
    broker.stop()
    with running_bridge(console, mqtt_config(broker)):
        written = [log.append(event="granted", reason="grant") for _ in range(3)]
    broker.start()
    with running_bridge(console, mqtt_config(broker)):
        until(lambda: numbers(recorder) == written, "events from before the first connection")


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("wrong", "words"), [("password", "Not authorized"), ("ca", "CERTIFICATE_VERIFY_FAILED")]
)
def test_wrong_credentials_send_nothing(
    log: SampleLog,
    console: Console,
    broker: Broker,
    recorder: Recorder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    wrong: str,
    words: str,
) -> None:
    config = mqtt_config(broker)
    if wrong == "password":
        assert config.password_file is not None
        config.password_file.write_text("wrong")
    else:
        make_certificates(tmp_path / "other")
        config = mqtt_config(broker, ca=tmp_path / "other" / "ca.crt")
    with running_bridge(console, config):
        log.append(event="granted", reason="grant")
        until(lambda: words in caplog.text, "the reason is logged")
    assert recorder.of(f"{BASE}/") == []


def test_refused_event_is_sent_later(
    log: SampleLog,
    console: Console,
    broker: Broker,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker.allow("")
    broker.reload()
    with running_bridge(console, mqtt_config(broker)):
        written = log.append(event="granted", reason="grant")
        until(lambda: f"messages to {EVENTS}door: Not authorized" in caplog.text, "a refusal")
        broker.allow("user lobby-1\ntopic readwrite mfsa-edge/#\n")
        broker.reload()
        until(lambda: numbers(recorder) == [written], "the event arrives")


def test_killed_console_becomes_offline(
    console_config: TerminalConfig, broker: Broker, recorder: Recorder, tmp_path: Path
) -> None:
    section = mqtt_config(broker).model_dump(mode="json")
    config = tmp_path / "console.yaml"
    config.write_text(
        f"extends: {tmp_path / 'terminal.yaml'}\n"
        f"console: {{listen: '127.0.0.1:{free_port()}', kiosk_port: null, "
        f"mqtt: {json.dumps(section)}}}\n"
    )
    arguments = ("run", "--config", config)
    with Process("edge.cli.console", *arguments, log=tmp_path / "console.log") as process:
        recorder.wait_for_text(f"{BASE}/availability", "online")
        process.popen.kill()
        recorder.wait_for_text(f"{BASE}/availability", "offline")
    with Process("edge.cli.console", *arguments, log=tmp_path / "console.log") as process:
        recorder.wait_for_text(f"{BASE}/availability", "online")
        assert process.stop() == 0
        recorder.wait_for_text(f"{BASE}/availability", "offline")


def test_command_is_recorded_with_reason(
    door: RunningDoor, console: Console, broker: Broker, recorder: Recorder
) -> None:
    with running_bridge(console, mqtt_config(broker, commands=("lockdown",))):
        recorder.wait_for(f"{DOOR}/state", state="locked", reason="normal")
        recorder.publish(f"{DOOR}/command", {"command": "lockdown", "reason": "drill"})
        recorder.wait_for(f"{DOOR}/answer", command="lockdown", done=True)
        recorder.wait_for(f"{DOOR}/state", reason="lockdown")
        recorder.publish(f"{DOOR}/command", {"command": "unlock", "reason": "delivery"})
        refused = recorder.wait_for(f"{DOOR}/answer", command="unlock", done=False)
        assert refused["refusal"] == "unlock is not in `console.mqtt.commands`"
    (record,) = door_records(door, "operator-command")
    assert (record["reason"], record["note"], record["user"]) == ("lockdown", "drill", "mqtt")


def test_retained_command_is_refused(
    door: RunningDoor, console: Console, broker: Broker, recorder: Recorder
) -> None:
    command = {"command": "unlock", "reason": "old"}
    recorder.publish(f"{DOOR}/command", command, retain=True)
    with running_bridge(console, mqtt_config(broker, commands=("unlock",))):
        recorder.wait_for(f"{DOOR}/answer", done=False)
        recorder.publish(f"{DOOR}/command", command, retain=True)  # also while it is connected
        until(lambda: len(recorder.of(f"{DOOR}/answer")) == 2, "the second answer")
        assert all("retained" in each.json()["refusal"] for each in recorder.of(f"{DOOR}/answer"))
        recorder.publish(f"{DOOR}/command", command)
        recorder.wait_for(f"{DOOR}/answer", done=True)
    assert len(door_records(door, "operator-command")) == 1


def test_commands_are_off_by_default(
    door: RunningDoor, console: Console, broker: Broker, recorder: Recorder
) -> None:
    with running_bridge(console, mqtt_config(broker)):
        recorder.wait_for(f"{DOOR}/state", state="locked")
        recorder.publish(f"{DOOR}/command", {"command": "unlock", "reason": "delivery"})
        recorder.publish("homeassistant/status", "online")
        discovery = "homeassistant/device/mfsa-edge-terminal-main/config"
        until(lambda: len(recorder.of(discovery)) > 1, "discovery again after a birth message")
    assert recorder.of(f"{DOOR}/answer") == []
    assert door_records(door, "operator-command") == []


def test_states_are_retained(
    door: RunningDoor, console: Console, broker: Broker, recorder: Recorder
) -> None:
    with running_bridge(console, mqtt_config(broker)):
        recorder.wait_for(f"{DOOR}/state", state="locked")
        recorder.wait_for_text(f"{DOOR}/availability", "online")
        recorder.wait_for(f"{BASE}/health", status="problem")  # no recogniser runs
        late = Recorder(broker, "late")
        late.wait_for(f"{DOOR}/state", state="locked", alarms=[], contact=None)
        late.close()
        door.pause()
        recorder.wait_for_text(f"{DOOR}/availability", "offline")
        door.resume()
        recorder.wait_for_text(f"{DOOR}/availability", "online")
    kept = [each for each in late.received if each.topic.startswith(BASE)]
    assert kept and all(each.retain for each in kept)
