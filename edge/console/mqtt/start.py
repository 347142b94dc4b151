"""Builds the MQTT task if it is configured; its library is optional."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from edge.console.context import Console
from edge.errors import ConfigError
from edge.system.packages import install_command

if TYPE_CHECKING:
    from edge.console.mqtt.bridge import MqttBridge


def build_bridge(console: Console) -> MqttBridge | None:
    """Return the task's object, None without `console.mqtt`; raises ConfigError."""
    if (section := console.config.console.mqtt) is None:
        return None
    if importlib.util.find_spec("aiomqtt") is None:
        raise ConfigError(
            "console.mqtt: aiomqtt is not installed; install it: "
            f"{install_command('mfsa-edge[mqtt]')}"
        )
    from edge.console.mqtt.bridge import MqttBridge

    return MqttBridge(console, section)
