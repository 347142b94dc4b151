"""Task that publishes events and states to a broker, and never delays door or recogniser.

Events are read from the audit logs after the position that the broker has acknowledged. Without a
connection nothing is lost and nothing is kept in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

import aiomqtt

from edge.config.mqtt import MqttConfig
from edge.console.context import Console
from edge.console.mqtt.broker import BrokerClient, BrokerError
from edge.console.mqtt.commands import CommandReceiver
from edge.console.mqtt.credentials import build_tls, read_password
from edge.console.mqtt.cursor_file import NAME, CursorFile
from edge.console.mqtt.messages import MessageView, encode
from edge.console.mqtt.states import StateMessages
from edge.console.mqtt.topics import OFFLINE, ONLINE, Topics
from edge.console.records.cursor import EventId, advance
from edge.console.tasks import cancel_all
from edge.errors import MfsaError, RecordError

log = logging.getLogger(__name__)

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_STATES_S = 1.0
_STORE_S = 1.0
_STABLE_S = 30.0  # a connection that lasted as long starts the waiting times again
_REFUSED_S = 600.0
_NOTED_S, _PROBLEMS_MAX = 600.0, 100
_GOODBYE_S = 2.0  # for the last message before a stop


class MqttBridge:
    """Connects to the broker, again after each loss, until it is cancelled."""

    def __init__(self, console: Console, config: MqttConfig) -> None:
        """Read the files of TLS and password; raises ConfigError."""
        self._console, self._config = console, config
        self._tls: ssl.SSLContext = build_tls(config)
        path = config.password_file
        self._password = None if path is None else read_password(path)
        terminal = console.config.terminal
        self._topics = Topics(config.prefix, terminal, config.discovery_prefix)
        self._view = MessageView(config)
        self._states = StateMessages(console, config, self._topics, version("mfsa-edge"))
        self._commands = CommandReceiver(console.doors, config.commands)
        self._file = CursorFile(console.settings.folder / NAME)
        self._cursor: dict[str, EventId] = {}  # acknowledged by the broker
        self._stored: dict[str, EventId] | None = None
        self._refused: dict[str, float] = {}  # when the broker refused a topic, monotonic seconds
        self._problems: dict[str, float] = {}  # when each was logged, monotonic seconds

    async def run(self) -> None:
        """Send events and states until cancelled."""
        await self._restore()
        attempt = 0
        while True:
            began = time.monotonic()
            try:
                await self._connect()
            except (MfsaError, aiomqtt.MqttError, OSError) as error:
                self._note(
                    f"broker {self._config.host} port {self._config.port}: "
                    f"{error or 'no answer'}; events wait in the audit logs"
                )
            except Exception:  # a fault here must not end the console
                log.exception("the connection to the broker failed; report it with this message")
            await self._store()
            if time.monotonic() - began >= _STABLE_S:
                attempt = 0
            await asyncio.sleep(RETRY_S[attempt])
            attempt = min(attempt + 1, len(RETRY_S) - 1)

    async def _restore(self) -> None:
        """Begin after the stored position, else with the next event."""
        try:
            found = await asyncio.to_thread(self._file.read)
        except RecordError as error:
            log.error("%s; events are sent from now on", error)
            found = None
        self._cursor = self._console.feed.position() if found is None else found
        self._stored = found
        await self._store()

    async def _connect(self) -> None:
        """Serve one connection; raises MqttError, BrokerError, RecordError when it ends."""
        client = BrokerClient(self._config, self._topics, self._tls, self._password)
        async with client:
            try:
                await self._serve(client)
            finally:
                with contextlib.suppress(aiomqtt.MqttError, BrokerError, asyncio.TimeoutError):
                    goodbye = client.send(self._topics.availability, OFFLINE, retain=True)
                    await asyncio.wait_for(goodbye, _GOODBYE_S)

    async def _serve(self, client: BrokerClient) -> None:
        self._states.forget()
        if self._config.discovery_prefix is not None:
            await self._listen(client, self._topics.birth, with_retained=False)
        if self._config.commands:
            for door in self._console.doors.names:
                await self._listen(client, self._topics.command(door), with_retained=True)
        log.info("connected to the broker %s", self._config.host)
        await _run_together(
            self._send_states(client),
            self._send_events(client),
            self._receive(client),
            self._store_regularly(),
        )

    async def _listen(self, client: BrokerClient, topic: str, *, with_retained: bool) -> None:
        try:
            await client.listen(topic, with_retained=with_retained)
        except BrokerError as error:  # events do not need it
            self._note(str(error))

    async def _send_events(self, client: BrokerClient) -> None:
        feed = self._console.feed
        with feed.register() as changed:
            async for event, _ in feed.follow(self._cursor, changed):
                if (message := self._view.event(event)) is not None:
                    topic = self._topics.event(event.log)
                    await client.send(topic, encode(message), retain=False)
                self._cursor = advance(self._cursor, [event.id])

    async def _send_states(self, client: BrokerClient) -> None:
        while True:
            for topic, payload in (await self._states.changes()).items():
                await self._send(client, topic, payload, retain=True)
                self._states.note_sent(topic, payload)
            await asyncio.sleep(_STATES_S)

    async def _receive(self, client: BrokerClient) -> None:
        doors = {self._topics.command(door): door for door in self._console.doors.names}
        async for message in client.messages:
            topic, payload = str(message.topic), bytes(message.payload)
            if topic == self._topics.birth and payload == ONLINE.encode():
                self._states.forget()
            elif (door := doors.get(topic)) is not None:
                answer = await self._commands.execute(door, payload, is_retained=message.retain)
                await self._send(client, self._topics.answer(door), encode(answer), retain=False)

    async def _send(
        self, client: BrokerClient, topic: str, payload: bytes, *, retain: bool
    ) -> None:
        """Send a message that events do not need.

        A refused one is left out for some time: some brokers end the connection each time.
        """
        if time.monotonic() - self._refused.get(topic, float("-inf")) < _REFUSED_S:
            return
        try:
            await client.send(topic, payload, retain=retain)
        except BrokerError as error:
            self._refused[topic] = time.monotonic()
            self._note(str(error))

    async def _store_regularly(self) -> None:
        while True:
            await asyncio.sleep(_STORE_S)
            await self._store()

    async def _store(self) -> None:
        """Write the acknowledged position; after a failure duplicates are possible, no losses."""
        cursor = self._cursor
        if cursor == self._stored:
            return
        try:
            await asyncio.to_thread(self._file.write, cursor)
        except RecordError as error:
            self._note(str(error))
        else:
            self._stored = cursor

    def _note(self, problem: str) -> None:
        """Log a problem, the same one not again and again."""
        now = time.monotonic()
        if now - self._problems.get(problem, float("-inf")) < _NOTED_S:
            return
        if len(self._problems) >= _PROBLEMS_MAX:
            self._problems.clear()
        self._problems[problem] = now
        log.warning("%s", problem)


async def _run_together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run until the first of them ends; raises its exception."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(tasks)
    for task in done:
        task.result()
