"""Retained messages: discovery, availability, states of the doors and health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from edge.config.mqtt import MqttConfig
from edge.console.api.health import find_faults, read_doors
from edge.console.context import Console
from edge.console.door_control import DoorReport
from edge.console.mqtt.discovery import build_discovery
from edge.console.mqtt.messages import MessageView, encode, health
from edge.console.mqtt.topics import OFFLINE, ONLINE, Topics

_HEALTH_S = 10.0

Messages = dict[str, bytes]  # payloads by topic


class StateMessages:
    """Builds the retained messages, and knows which of them the broker has."""

    def __init__(
        self,
        console: Console,
        config: MqttConfig,
        topics: Topics,
        version: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._config, self._topics = console, config, topics
        self._view, self._version, self._clock = MessageView(config), version, clock
        self._sent: Messages = {}
        self._contacts: set[str] = set()  # doors that have a door contact
        self._health: bytes = b""
        self._health_at = float("-inf")

    def forget(self) -> None:
        """Send all messages again: the broker or Home Assistant was restarted."""
        self._sent = {}

    def note_sent(self, topic: str, payload: bytes) -> None:
        self._sent[topic] = payload

    async def changes(self) -> Messages:
        """Return the messages that the broker does not have, discovery first."""
        doors = await read_doors(self._console)
        messages: Messages = {}
        for name, report in doors.items():
            if "contact" in report.fields.get("inputs", {}):
                self._contacts.add(name)
            if self._config.discovery_prefix is not None:
                messages[self._topics.discovery(name)] = self._discovery(name)
        messages[self._topics.health] = await self._read_health(doors)
        for name, report in doors.items():
            if not report.error:
                state = self._view.door_state(report.fields)
                messages[self._topics.door_state(name)] = encode(state)
            availability = OFFLINE if report.error else ONLINE
            messages[self._topics.door_availability(name)] = availability.encode()
        messages[self._topics.availability] = ONLINE.encode()
        return {
            topic: payload
            for topic, payload in messages.items()
            if self._sent.get(topic) != payload
        }

    async def _read_health(self, doors: dict[str, DoorReport]) -> bytes:
        if self._clock() - self._health_at >= _HEALTH_S:
            self._health_at = self._clock()
            live = await asyncio.to_thread(self._console.recogniser.read)
            faults = find_faults(self._console, doors)
            self._health = encode(health(faults, live.camera if live else None))
        return self._health

    def _discovery(self, door: str) -> bytes:
        config = self._console.config
        logs = {"access": config.door_log_name(door)}
        if door == config.door.name:
            logs["recognition"] = config.log_name(config.decisions_path)
        return encode(
            build_discovery(
                self._topics,
                door,
                self._version,
                self._config.commands,
                logs,
                has_contact=door in self._contacts,
            )
        )
