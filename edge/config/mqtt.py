"""Messages to an MQTT broker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.section import ConfigPath, Section

MqttCommand = Literal["unlock", "hold", "lockdown", "release"]

_LEVEL = r"[A-Za-z0-9._-]{1,64}"
_TOPIC = rf"^{_LEVEL}(/{_LEVEL})*$"


class MqttConfig(Section):
    """Events and states of the terminal for an MQTT broker, always over TLS; see docs/mqtt.md."""

    host: str = Field(
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        title="Broker",
        description="Name or address of the broker. Its certificate must contain it.",
        examples=["broker.example.org"],
    )
    port: int = Field(8883, ge=1, le=65535, title="Port", description="TLS port of the broker.")
    ca: ConfigPath | None = Field(
        None,
        title="CA",
        description="PEM file of the authority that signed the broker's certificate. Not set: the "
        "authorities of the machine.",
        examples=["/etc/mfsa-edge/mqtt-ca.crt"],
    )
    certificate: ConfigPath | None = Field(
        None,
        title="Client certificate",
        description="PEM file of the certificate by which the broker identifies the terminal.",
        examples=["/etc/mfsa-edge/mqtt.crt"],
    )
    certificate_key: ConfigPath | None = Field(
        None,
        title="Key of the client certificate",
        description="PEM file of the private key of `certificate`.",
        examples=["/etc/mfsa-edge/mqtt.key"],
    )
    user: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        title="User",
        description="User of the broker.",
        examples=["lobby-1"],
    )
    password_file: ConfigPath | None = Field(
        None,
        title="Password file",
        description="File with the password of `user`, owned by the account of the console, mode "
        "0600.",
        examples=["/etc/mfsa-edge/mqtt.password"],
    )
    prefix: str = Field(
        "mfsa-edge",
        pattern=_TOPIC,
        max_length=256,
        title="Topic prefix",
        description="First levels of all topics; the name of the terminal follows.",
    )
    discovery_prefix: str | None = Field(
        "homeassistant",
        pattern=_TOPIC,
        max_length=256,
        title="Discovery prefix",
        description="Topic prefix of Home Assistant. null: no discovery messages.",
    )
    commands: tuple[MqttCommand, ...] = Field(
        (),
        title="Commands",
        description="Commands that the broker may send: unlock, hold, lockdown, release. Everyone "
        "who may publish to the command topic can then use them. Empty: none.",
        examples=["[unlock]"],
    )
    names: bool = Field(
        False,
        title="Names",
        description="Events contain names of people, operators and users. They then leave the "
        "terminal, and erasure does not reach them.",
    )
    duress: bool = Field(
        False,
        title="Silent alarms",
        description="Duress is published too. Make sure that no screen or siren at the door shows "
        "it.",
    )
