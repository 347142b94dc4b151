"""The terminal's one YAML file: its models, defaults and the errors people see when it is wrong.

Relative paths are relative to the file's own folder. Adapters never see these models, only plain arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from edge.config import renamed
from edge.config.access import LivenessConfig, PolicyConfig
from edge.config.door import DoorConfig
from edge.config.recognition import (
    CameraConfig,
    DetectorConfig,
    EngineConfig,
    OpencvCameraConfig,
    OrtEngineConfig,
)
from edge.config.retention import EnrollmentConfig, GalleryConfig, RecordConfig
from edge.config.section import ConfigPath, Section, absolute
from edge.errors import ConfigError
from edge.parsing import read_yaml, validate
from edge.validation_messages import Renamed

# In the folder of the door's socket: on a terminal that is no disk, which could be full or read-only.
DOOR_LOCK, DOOR_WIRING = "door.lock", "wiring.json"


class TerminalConfig(Section):
    """The whole file."""

    terminal: str = Field("terminal", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    bundle: ConfigPath = Field(
        description="folder made by mfsa-bundle", examples=["/opt/mfsa-edge/bundle"]
    )
    previous_bundle: ConfigPath | None = Field(
        None,
        description="the bundle before: recognises people who have no template of the new model, until they have passed by",
    )
    state: ConfigPath = Field(
        Path("state"), description="folder of gallery, key, records and socket"
    )
    key: ConfigPath | None = Field(
        None, description="the gallery's key; default: gallery.key in `state`"
    )
    camera: CameraConfig = Field(
        description="where frames come from", examples=["{kind: opencv, source: 0}"]
    )
    engine: EngineConfig = OrtEngineConfig()
    detector: DetectorConfig = DetectorConfig()
    policy: PolicyConfig = PolicyConfig()
    liveness: LivenessConfig = Field(
        description="required, also if it is {kind: none}", examples=["{kind: layers}"]
    )
    door: DoorConfig = DoorConfig()
    enrollment: EnrollmentConfig = EnrollmentConfig()
    gallery: GalleryConfig = GalleryConfig()
    record: RecordConfig = RecordConfig()

    @property
    def gallery_path(self) -> Path:
        return self.state / "gallery.db"

    @property
    def gallery_confirmed_path(self) -> Path:
        """Gallery file and revision that the running recogniser has in memory."""
        return self.state / "gallery.confirmed"

    @property
    def key_path(self) -> Path:
        return self.key or self.state / "gallery.key"

    @property
    def decisions_path(self) -> Path:
        """A folder, as is the door's."""
        return self.state / "decisions"

    @property
    def clock_path(self) -> Path:
        """Belief of the recogniser and its commands in the clock."""
        return self.state / "clock.json"

    @property
    def pictures_path(self) -> Path:
        return self.state / "pictures"

    @property
    def _door_state(self) -> Path:
        return self.door.state or self.state

    @property
    def door_record_path(self) -> Path:
        return self._door_state / "door"

    def record_key_path(self, record: Path) -> Path:
        """Return the file of the verification key of one of the two logs."""
        return (self.record.verification_key_dir or record.parent) / f"{record.name}.key"

    @property
    def door_lock_path(self) -> Path:
        return self.socket_path.parent / DOOR_LOCK

    @property
    def door_wiring_path(self) -> Path:
        """Which outputs the door process opened, for `edge-door safe-state`."""
        return self.socket_path.parent / DOOR_WIRING

    @property
    def daemon_lock_path(self) -> Path:
        return self.state / "daemon.lock"

    @property
    def handover_path(self) -> Path:
        """Record that `edge-enroll` leaves for the recogniser to write."""
        return self.state / "handover.json"

    @property
    def enroll_lock_path(self) -> Path:
        return self.state / "enroll.lock"

    @property
    def enroll_socket_path(self) -> Path:
        return self.state / "enroll.sock"

    @property
    def socket_path(self) -> Path:
        return self.door.socket or self._door_state / "door.sock"


_KINDS: dict[type, str] = {list: "a list", type(None): "nothing"}
_UNIX_SOCKET_PATH_MAX = 107  # bytes, sun_path of Linux less its end mark


def load_config(path: Path) -> TerminalConfig:
    """Read the config of a terminal, paths made absolute; raises ConfigError with every problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"{path}: cannot read the configuration ({why}); see systemd/terminal.yaml for an example"
        ) from error
    try:
        document = read_yaml(text)
        if not isinstance(document.value, dict):
            raise ConfigError(
                "expected keys such as `camera:` and `bundle:`, "
                f"found {_KINDS.get(type(document.value), 'a single value')}"
            )
        config = validate(TerminalConfig, document, Renamed(renamed.KEYS, renamed.VALUES))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    config = absolute(config, path.resolve().parent)
    if len(bytes(config.socket_path)) > _UNIX_SOCKET_PATH_MAX:
        raise ConfigError(
            f"{path}: door.socket: {config.socket_path} is longer than the {_UNIX_SOCKET_PATH_MAX} bytes a socket may have; "
            "name a shorter path"
        )
    if (
        isinstance(config.camera, OpencvCameraConfig)
        and config.camera.is_network
        and not config.camera.accept_network_injection
    ):
        raise ConfigError(
            f"{path}: camera.accept_network_injection: must be true for a network camera: "
            "anyone who can write to that stream can show the door any face"
        )
    return config


def demand_same(old: TerminalConfig, new: TerminalConfig, keys: Sequence[str]) -> None:
    """Raises ConfigError that names those of some dotted keys, such as `door.relay`, whose values differ."""

    def value(config: BaseModel, key: str) -> object:
        first, _, rest = key.partition(".")
        found = getattr(config, first)
        return value(found, rest) if rest else found

    if changed := [key for key in keys if value(old, key) != value(new, key)]:
        raise ConfigError(f"{', '.join(changed)}: another value needs a restart")
