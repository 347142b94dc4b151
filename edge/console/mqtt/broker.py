"""Connection to the broker, by aiomqtt."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.config.mqtt import MqttConfig
from edge.console.mqtt.topics import OFFLINE, Topics
from edge.errors import MfsaError

TIMEOUT_S = 10.0
_KEEP_ALIVE_S = 30
_INCOMING_MAX = 16  # messages that wait; more are dropped
_AT_LEAST_ONCE = 1


class BrokerError(MfsaError):
    """The broker cannot be reached, or refuses a message."""


class BrokerClient(aiomqtt.Client):
    """Client of MQTT 5 that sends one message at a time and reports refused ones.

    aiomqtt takes a message that the broker refuses as published.
    """

    def __init__(
        self, config: MqttConfig, topics: Topics, tls: ssl.SSLContext, password: str | None
    ) -> None:
        super().__init__(
            config.host,
            config.port,
            username=config.user,
            password=password,
            identifier=f"mfsa-edge-{topics.terminal}",
            protocol=aiomqtt.ProtocolVersion.V5,
            will=aiomqtt.Will(topics.availability, OFFLINE, _AT_LEAST_ONCE, True),
            timeout=TIMEOUT_S,
            keepalive=_KEEP_ALIVE_S,
            max_queued_incoming_messages=_INCOMING_MAX,
            tls_context=tls,
        )
        self._sending = asyncio.Lock()
        self._refusal = ""

    async def send(self, topic: str, payload: bytes | str, *, retain: bool) -> None:
        """Publish a message and wait for its acknowledgement.

        Raises BrokerError if the broker refuses it, aiomqtt.MqttError without an answer.
        """
        async with self._sending:
            self._refusal = ""
            await self.publish(topic, payload, qos=_AT_LEAST_ONCE, retain=retain)
            refusal = self._refusal
        if refusal:
            raise BrokerError(
                f"the broker refuses messages to {topic}: {refusal}; check its access rules"
            )

    async def listen(self, topic: str, *, with_retained: bool) -> None:
        """Subscribe to a topic, each message at most once. Raises BrokerError, MqttError.

        A message that was published with the retain flag is marked as such.
        """
        handling = (
            SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            if with_retained
            else SubscribeOptions.RETAIN_DO_NOT_SEND
        )
        options = SubscribeOptions(qos=0, retainAsPublished=True, retainHandling=handling)
        codes: Sequence[Any] = await self.subscribe(topic, options=options)
        for code in codes:
            if isinstance(code, ReasonCode) and code.is_failure:
                raise BrokerError(
                    f"the broker refuses the subscription of {topic}: {code}; check its access "
                    "rules"
                )

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        if reason_code.is_failure:
            self._refusal = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)
