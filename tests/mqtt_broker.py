"""Real Mosquitto for tests, over TLS, and a client that records all messages."""

from __future__ import annotations

import datetime
import ipaddress
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from tests.processes import until

USER, PASSWORD = "lobby-1", "correct horse"
_PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
_DAYS = datetime.timedelta(days=2)
needs_mosquitto = pytest.mark.skipif(
    _PROGRAM is None, reason="mosquitto is not installed: apt install mosquitto"
)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def make_certificates(folder: Path) -> None:
    """Write ca.crt, server.crt and server.key of an authority of its own."""
    folder.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {folder.name}")])

    def sign(
        name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> bytes:
        builder = x509.CertificateBuilder(
            issuer, name, key.public_key(), x509.random_serial_number(), now - _DAYS, now + _DAYS
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    basic = x509.BasicConstraints(ca=True, path_length=None)
    (folder / "ca.crt").write_bytes(sign(issuer, authority, basic, identifier))
    server = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "server.key", server)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    link = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    (folder / "server.crt").write_bytes(sign(subject, server, addresses, link))


def free_port() -> int:
    """Return a port that no program uses at present."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Broker:
    """Mosquitto on a port that stays the same over restarts; it keeps sessions on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_certificates(folder)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._write_passwords()
        self.allow(f"user {USER}\ntopic readwrite #\n")
        (folder / "mosquitto.conf").write_text(
            f"""listener {self.port} 127.0.0.1
user root
cafile {folder}/ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
persistence true
persistence_location {folder}/
max_queued_messages 0
log_type all
"""
        )

    def _write_passwords(self) -> None:
        path = self.folder / "passwords"
        path.write_text(f"{USER}:{PASSWORD}\nrecorder:{PASSWORD}\n")
        path.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", path], check=True)

    def allow(self, rules: str) -> None:
        """Write the access rules; they apply after `reload` or a start."""
        path = self.folder / "acl"
        path.write_text(f"user recorder\ntopic readwrite #\n{rules}")
        path.chmod(0o600)

    def start(self) -> None:
        assert _PROGRAM is not None
        with (self.folder / "log").open("ab") as log:
            command = [_PROGRAM, "-c", self.folder / "mosquitto.conf"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._accepts, "mosquitto accepts connections")

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@dataclass(frozen=True, slots=True)
class Received:
    """Message as a subscriber got it."""

    topic: str
    payload: bytes
    retain: bool

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


class Recorder:
    """Subscriber to all topics whose session outlives restarts of the broker."""

    def __init__(self, broker: Broker, name: str = "recorder") -> None:
        self.received: list[Received] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, name, clean_session=False, protocol=paho.MQTTv311
        )
        self._client.username_pw_set("recorder", PASSWORD)
        self._client.tls_set_context(ssl.create_default_context(cafile=broker.folder / "ca.crt"))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: self._client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _, __, got: self.received.append(
            Received(got.topic, got.payload, got.retain)
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        until(self._subscribed.is_set, "the recorder is subscribed")

    def publish(
        self, topic: str, message: Mapping[str, Any] | str, *, retain: bool = False
    ) -> None:
        payload = message if isinstance(message, str) else json.dumps(message)
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(60)

    def of(self, topic: str) -> list[Received]:
        """Return the messages of a topic, or of those below it if it ends in a slash."""
        return [
            each
            for each in list(self.received)
            if each.topic == topic or (topic.endswith("/") and each.topic.startswith(topic))
        ]

    def newest(self, topic: str) -> Received | None:
        found = self.of(topic)
        return found[-1] if found else None

    def wait_for(self, topic: str, **fields: object) -> dict[str, Any]:
        """Wait until the newest message of a topic has these fields; return it."""

        def is_there() -> bool:
            found = self.newest(topic)
            return found is not None and fields.items() <= found.json().items()

        until(is_there, f"{topic} has {fields}")
        found = self.newest(topic)
        assert found is not None
        return found.json()

    def wait_for_text(self, topic: str, text: str) -> None:
        def is_there() -> bool:
            found = self.newest(topic)
            return found is not None and found.payload == text.encode()

        until(is_there, f"{topic} is {text}")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Run Mosquitto in a new folder."""
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
