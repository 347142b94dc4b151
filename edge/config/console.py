"""The console: web pages and API for operators, and the page of the terminal's own screen."""

from __future__ import annotations

from pydantic import Field

from edge.config.mqtt import MqttConfig
from edge.config.section import ConfigPath, Section


class ConsoleConfig(Section):
    """The console process (edge-console), which is optional."""

    listen: str = Field(
        "0.0.0.0:8443",
        pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        title="Address",
        description="Address and port of the pages for operators and of the API, over TLS.",
    )
    kiosk_port: int | None = Field(
        8080,
        ge=1,
        le=65535,
        title="Kiosk port",
        description="Port of the page for the terminal's own screen, on 127.0.0.1 only, without "
        "TLS and login. null: no such page.",
    )
    language: str = Field(
        "en",
        pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,8})*$",
        title="Language",
        description="Language of the pages: en, ja, or another one that has a catalogue. The page "
        "of the terminal's own screen has a button for each language.",
        examples=["ja"],
    )
    state: ConfigPath | None = Field(
        None,
        title="State folder",
        description="Folder of users, sessions, certificate and audit log of the console. Not set: "
        "console in the state folder of the terminal.",
        examples=["/var/lib/mfsa-console"],
    )
    names: tuple[str, ...] = Field(
        (),
        title="Host names",
        description="Names and addresses in the certificate that the console makes. Empty: the "
        "name of the machine.",
        examples=["[door.example.org, 192.0.2.7]"],
    )
    certificate: ConfigPath | None = Field(
        None,
        title="Certificate",
        description="PEM file of your own certificate and its chain. Not set: the console makes a "
        "self-signed certificate at its first start.",
        examples=["/etc/mfsa-edge/console.crt"],
    )
    certificate_key: ConfigPath | None = Field(
        None,
        title="Key of the certificate",
        description="PEM file of the private key of `certificate`.",
        examples=["/etc/mfsa-edge/console.key"],
    )
    people_socket: ConfigPath | None = Field(
        None,
        title="Socket of edge-people",
        description="Socket of the service that enrolls and removes people for the console. Not "
        "set: people.sock in the state folder of the terminal.",
        examples=["/run/mfsa-people.sock"],
    )
    idle_min: int = Field(
        15,
        ge=1,
        le=1440,
        title="Idle time",
        description="Minutes without a request after which a session ends.",
    )
    session_h: int = Field(
        12,
        ge=1,
        le=168,
        title="Session length",
        description="Hours after the login after which a session ends.",
    )
    mqtt: MqttConfig | None = Field(
        None,
        title="MQTT",
        description="Events and states for an MQTT broker. Not set: none.",
        examples=[
            "{host: broker.example.org, ca: /etc/mfsa-edge/mqtt-ca.crt, user: lobby-1, "
            "password_file: /etc/mfsa-edge/mqtt.password}"
        ],
    )
