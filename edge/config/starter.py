"""Minimal configuration for one account, as edge-setup writes it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edge.config.recognition import OpencvCameraConfig
from edge.errors import ConfigError
from edge.validation_messages import describe_validation

_HEADING = "# One account runs both processes. systemd/terminal.yaml explains every key.\n"
_DOOR_FORMS = "simulated, file:PATH or gpio:PIN, such as gpio:BOARD7"


@dataclass(frozen=True, slots=True)
class StarterConfig:
    """Answers of a new user; paths are absolute."""

    terminal: str
    bundle: Path
    camera: Mapping[str, Any]
    relay: Mapping[str, Any]
    liveness: str

    def text(self, folder: Path) -> str:
        """Return the YAML file for a folder: seven lines, with paths inside the folder relative."""
        fields = {
            "terminal": self.terminal,
            "bundle": self.bundle,
            "state": folder / "state",
            "camera": dict(self.camera),
            "door": {"relay": dict(self.relay)},
            "liveness": {"kind": self.liveness},
        }
        lines = (f"{key}: {_flow(_plain(value, folder))}\n" for key, value in fields.items())
        return _HEADING + "".join(lines)


def live_camera(text: str) -> OpencvCameraConfig:
    """Return the camera section of a device, address or pipeline; raises ConfigError."""
    number = text.removeprefix("/dev/video")
    source = int(number) if number.isdecimal() else text
    try:
        return OpencvCameraConfig(kind="opencv", source=source)
    except ValidationError as error:
        raise ConfigError(f"camera: {describe_validation(error)}") from error


def camera_keys(camera: OpencvCameraConfig) -> dict[str, Any]:
    """Return the keys to write of a camera section; the caller has consent to the risk."""
    chosen = camera.model_copy(update={"accept_network_injection": camera.is_network})
    return chosen.model_dump(exclude_defaults=True)


def recorded_camera(path: Path) -> dict[str, Any]:
    """Return the camera section of a photo, a folder of photos or a video, in a loop."""
    return {"kind": "replay", "path": path, "loop": True}


def absolute_path(text: str) -> Path:
    """Return the absolute path of an answer; `~` and `~account` are expanded if they exist."""
    return Path(os.path.expanduser(text)).absolute()  # noqa: PTH111


def parse_relay(text: str, factory: str) -> dict[str, Any]:
    """Return the relay section for an answer such as `gpio:BOARD7`; raises ConfigError."""
    kind, _, rest = text.strip().partition(":")
    if kind == "simulated" and not rest:
        return {"kind": "simulated"}
    if kind == "file" and rest:
        return {"kind": "file", "path": absolute_path(rest)}
    if kind == "gpio" and re.fullmatch(r"[A-Za-z0-9_]+", rest):
        pin = int(rest) if rest.isdecimal() else rest
        return {"kind": "gpio", "pin": pin, "active_high": True, "factory": factory}
    raise ConfigError(f"door {text!r}: expected {_DOOR_FORMS}")


def _plain(value: Any, folder: Path) -> Any:
    """Return a value that YAML can hold; paths inside a folder become relative to it."""
    if isinstance(value, dict):
        return {key: _plain(item, folder) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value.relative_to(folder) if value.is_relative_to(folder) else value)
    return value


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    listed = yaml.safe_dump(
        [value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    return listed.strip()[1:-1]
