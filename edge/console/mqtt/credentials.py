"""TLS settings and password for the broker, from files."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from edge.config.mqtt import MqttConfig
from edge.errors import ConfigError
from edge.system.atomic_files import open_regular

_PASSWORD_MAX = 4096  # bytes


def read_password(path: Path) -> str:
    """Return the password in a file; raises ConfigError if other accounts may read it."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_PASSWORD_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"console.mqtt.password_file: {path}: cannot be read: {error.strerror}; the account of "
            "the console must own it"
        ) from error
    if mode & 0o077:
        raise ConfigError(
            f"console.mqtt.password_file: {path}: other accounts may read it (mode {mode:04o}); "
            f"correct it with: chmod 600 {path}"
        )
    try:
        password = content.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"console.mqtt.password_file: {path}: not UTF-8 text") from error
    if not password or len(content) > _PASSWORD_MAX:
        raise ConfigError(
            f"console.mqtt.password_file: {path}: expected a password of 1 to {_PASSWORD_MAX} "
            f"bytes, found {len(content)}"
        )
    return password


def build_tls(config: MqttConfig) -> ssl.SSLContext:
    """Return the TLS settings: the broker's certificate is always verified. Raises ConfigError."""
    if (config.certificate is None) != (config.certificate_key is None):
        raise ConfigError(
            "console.mqtt: expected both `certificate` and `certificate_key`, or neither of them"
        )
    if config.password_file is not None and config.user is None:
        raise ConfigError("console.mqtt: `password_file` needs a `user`")
    try:
        tls = ssl.create_default_context(cafile=config.ca)
    except OSError as error:  # ssl.SSLError included
        raise ConfigError(
            f"console.mqtt.ca: {config.ca}: no usable PEM file: {error.strerror or error}"
        ) from error
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.certificate is not None and config.certificate_key is not None:
        try:
            # An empty password: an encrypted key is an error, not a question at the terminal.
            tls.load_cert_chain(config.certificate, config.certificate_key, password="")
        except OSError as error:
            raise ConfigError(
                f"console.mqtt.certificate: {config.certificate} and {config.certificate_key}: no "
                f"usable pair of PEM files: {error.strerror or error}"
            ) from error
    return tls
