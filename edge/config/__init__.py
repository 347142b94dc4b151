"""Configuration of a terminal: a YAML file that may extend another, validated by pydantic models.

Relative paths are resolved from the folder of the file they are in. Adapters never see these
models.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import Field

from edge.config import renamed
from edge.config.access import AccessConfig, lanes_through
from edge.config.console import ConsoleConfig
from edge.config.door import DoorConfig
from edge.config.files import ConfigFiles, find_extending, read_config_files
from edge.config.lane import DEFAULT_DOOR, Label
from edge.config.panel_check import check_panel
from edge.config.policy import LivenessConfig, PolicyConfig
from edge.config.recognition import (
    CameraConfig,
    DetectorConfig,
    EngineConfig,
    OpencvCameraConfig,
    OrtEngineConfig,
)
from edge.config.retention import EnrollmentConfig, GalleryConfig, RecordConfig
from edge.config.rules_check import check_rules
from edge.config.section import ConfigPath, Section, absolute, restart
from edge.errors import ConfigError
from edge.parsing import validate
from edge.validation_messages import Renamed

# In the folder of the door's socket: in memory, never full or read-only.
DOOR_LOCK, DOOR_OUTPUTS, DOOR_STATE = "door.lock", "wiring.json", "door.state"
# In the folder of a recogniser.
DAEMON_LOCK, GALLERY_CONFIRMED = "daemon.lock", "gallery.confirmed"
DECISIONS, PICTURES, DOOR_LOG = "decisions", "pictures", "door"
CONSOLE_LOG = "console"
# Folders with one folder for each instance of the recogniser, and for each door but the default.
INSTANCES, DOORS = "instances", "doors"


_STATE_FOLDER = Path("/var/lib")  # of services; their folders in memory are in /run
_BOTH = restart("recogniser", "door")
_RECOGNISER = restart("recogniser")


class TerminalConfig(Section):
    """Configuration of one terminal."""

    extends: ConfigPath | None = Field(
        None,
        title="Extended file",
        description="Another file of this form, with the keys that are missing in this one. "
        "Sections are merged key by key; any other value here, also a list, replaces the one "
        "there.",
        examples=["terminal.yaml"],
    )
    terminal: str = Field(
        "terminal",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        title="Name",
        description="Name of the terminal. Templates are encrypted for this name: after a change "
        "they cannot be read.",
        json_schema_extra=_BOTH,
    )
    bundle: ConfigPath = Field(
        title="Model bundle",
        description="Folder with networks and thresholds, made by mfsa-bundle.",
        examples=["/opt/mfsa-edge/bundle"],
        json_schema_extra=_RECOGNISER,
    )
    previous_bundle: ConfigPath | None = Field(
        None,
        title="Previous model bundle",
        description="Bundle of the previous model, during a model migration. The terminal "
        "recognises people without a template of the new model by this bundle, and "
        "enrolls them for the new model when the door opens for them.",
        examples=["/opt/mfsa-edge/bundle-1"],
        json_schema_extra=_RECOGNISER,
    )
    instance: Label | None = Field(
        None,
        title="Instance",
        description="Name of this recogniser among those of one terminal that share the `state` "
        "folder, each with its own file and camera. Named recognisers compare their faces: a "
        "person is granted access at one lane only. Not set: the only one without a name.",
        examples=["lane1"],
        json_schema_extra=_RECOGNISER,
    )
    state: ConfigPath = Field(
        Path("state"),
        title="State folder",
        description="Folder of the gallery and of the audit log of decisions. With an `instance` "
        "the log is in a folder of its own, instances/NAME.",
        json_schema_extra=_BOTH,
    )
    key: ConfigPath | None = Field(
        None,
        title="Gallery key",
        description="File of the gallery's key. Not set: gallery.key in the state folder.",
        examples=["/etc/mfsa-edge/gallery.key"],
        json_schema_extra=_RECOGNISER,
    )
    camera: CameraConfig = Field(
        title="Camera",
        description="Source of frames.",
        examples=["{kind: opencv, source: 0}"],
        json_schema_extra=_RECOGNISER,
    )
    engine: EngineConfig = Field(
        OrtEngineConfig(),
        title="Engine",
        description="Library that runs the networks.",
        json_schema_extra=_RECOGNISER,
    )
    detector: DetectorConfig = Field(
        DetectorConfig(), title="Detector", description="Face detection and selection."
    )
    policy: PolicyConfig = Field(PolicyConfig(), title="Policy", description="Rules for grants.")
    liveness: LivenessConfig = Field(
        title="Liveness",
        description="Presentation attack detection (PAD). Required, even if it is {kind: none}.",
        examples=["{kind: layers}"],
        json_schema_extra=_RECOGNISER,
    )
    door: DoorConfig = Field(DoorConfig(), title="Door", description="The door process.")
    access: AccessConfig = Field(
        AccessConfig(),
        title="Access rules",
        description="Factors, zones and lanes, decided in the door process.",
        json_schema_extra=_BOTH,
    )
    enrollment: EnrollmentConfig = Field(
        EnrollmentConfig(), title="Enrollment", description="Requirements for enrollment."
    )
    gallery: GalleryConfig = Field(
        GalleryConfig(), title="Gallery", description="Time limits for changes of the gallery file."
    )
    record: RecordConfig = Field(
        RecordConfig(), title="Audit log", description="Audit logs and evidence pictures."
    )
    console: ConsoleConfig = Field(
        ConsoleConfig(),
        title="Console",
        description="Web pages for operators and for the terminal's screen.",
        json_schema_extra=restart("console"),
    )

    @property
    def camera_lane(self) -> str:
        """Lane for which the recogniser requests grants."""
        return self.camera.lane or lanes_through(self.access, self.door.name)[0].name

    @property
    def recogniser_folder(self) -> Path:
        """Folder of this recogniser, for everything that instances do not share."""
        return self.state / INSTANCES / self.instance if self.instance else self.state

    @property
    def named_recognisers(self) -> tuple[str, ...]:
        """Names of the recognisers with a name that have used the state folder."""
        folders = (self.state / INSTANCES).glob("*")
        return tuple(sorted(folder.name for folder in folders if folder.is_dir()))

    @property
    def door_state(self) -> Path:
        """Folder that the doors of the terminal share."""
        return self.door.state or self.state

    @property
    def door_folder(self) -> Path:
        """Folder of this door, for everything that doors do not share."""
        return self._door_folder(self.door.name)

    def _door_folder(self, door: str) -> Path:
        return self.door_state if door == DEFAULT_DOOR else self.door_state / DOORS / door

    @property
    def gallery_path(self) -> Path:
        return self.state / "gallery.db"

    @property
    def gallery_confirmed_path(self) -> Path:
        """Gallery file and revision that the running recogniser has in memory."""
        return self.recogniser_folder / GALLERY_CONFIRMED

    @property
    def key_path(self) -> Path:
        return self.key or self.state / "gallery.key"

    @property
    def decisions_path(self) -> Path:
        """Folder of the audit log of decisions of this recogniser."""
        return self.recogniser_folder / DECISIONS

    @property
    def clock_path(self) -> Path:
        """Trust of the recogniser and its commands in the clock."""
        return self.recogniser_folder / "clock.json"

    @property
    def pictures_path(self) -> Path:
        return self.recogniser_folder / PICTURES

    @property
    def door_record_path(self) -> Path:
        return self.door_folder / DOOR_LOG

    def door_log_name(self, door: str) -> str:
        """Return the name of the log of a door among all logs of the terminal."""
        return self.log_name(self._door_folder(door) / DOOR_LOG)

    @property
    def console_folder(self) -> Path:
        """Folder of the console's own files."""
        return self.console.state or self.state / "console"

    @property
    def console_record_path(self) -> Path:
        """Folder of the audit log of the console: logins, commands and changes by its users."""
        return self.console_folder / CONSOLE_LOG

    @property
    def people_path(self) -> Path:
        """People, cards and PINs that the door process knows."""
        return self.door_state / "people.json"

    @property
    def people_key_path(self) -> Path:
        return self.door.people_key or self.door_state / "people.key"

    @property
    def name_locks_path(self) -> Path:
        """Locks of commands that change a person in gallery and people.json."""
        return self.door_state / "names.lock"

    @property
    def zones_path(self) -> Path:
        """State of the zones: who is inside, numbers of people, used visits."""
        return self.door_state / "zones.json"

    @property
    def lockouts_path(self) -> Path:
        """Failures and lockouts of readers and people."""
        return self.door_folder / "lockouts.json"

    @property
    def zones_lock_path(self) -> Path:
        """Lock that a door process holds while it decides on zones or changes their state."""
        return self.door_state / "zones.lock"

    def record_key_path(self, record: Path) -> Path:
        """Return the file of the verification key of a log."""
        if self.record.verification_key_dir is None:
            return record.parent / f"{record.name}.key"
        return self.record.verification_key_dir / f"{self.log_name(record)}.key"

    def log_name(self, record: Path) -> str:
        """Return the name of a log among all logs of the terminal, such as decisions-lane1."""
        owners = self.state / INSTANCES, self.door_state / DOORS
        return (
            f"{record.name}-{record.parent.name}" if record.parent.parent in owners else record.name
        )

    def log_id(self, record: Path) -> str:
        """Return the id that a log states in its records."""
        return f"{self.terminal}/{self.log_name(record)}"

    @property
    def door_lock_path(self) -> Path:
        return self.socket_path.parent / DOOR_LOCK

    @property
    def door_outputs_path(self) -> Path:
        """File of the outputs that the door process opened, for `edge-door safe-state`."""
        return self.socket_path.parent / DOOR_OUTPUTS

    @property
    def door_states(self) -> dict[str, Path]:
        """Files of the states that the doors of `access.interlock_doors` publish, by name."""
        doors = self.access.interlock_doors
        if self.door.name not in doors:
            return {}
        return {name: self._socket_path(name).parent / DOOR_STATE for name in doors}

    @property
    def daemon_lock_path(self) -> Path:
        return self.recogniser_folder / DAEMON_LOCK

    @property
    def handover_path(self) -> Path:
        """Record that `edge-enroll` leaves for the recogniser to write."""
        return self.recogniser_folder / "handover.json"

    @property
    def enroll_lock_path(self) -> Path:
        return self.recogniser_folder / "enroll.lock"

    @property
    def enroll_socket_path(self) -> Path:
        return self.recogniser_folder / "enroll.sock"

    @property
    def people_socket_path(self) -> Path:
        """Socket of edge-people, which enrolls and removes people for the console."""
        return self.console.people_socket or self.state / "people.sock"

    @property
    def live_socket_path(self) -> Path:
        """Socket of the live view, for accounts in the recogniser's group."""
        return self.recogniser_folder / "live.sock"

    @property
    def lane_faces_folder(self) -> Path:
        """Folder in memory for the faces of the lanes: in /run for a state folder in /var/lib."""
        if self.state.is_relative_to(_STATE_FOLDER):
            return Path("/run") / self.state.relative_to(_STATE_FOLDER) / "lanes"
        digest = hashlib.sha256(bytes(self.state)).hexdigest()
        return Path("/dev/shm") / f"mfsa-edge-{digest[:16]}"

    @property
    def socket_path(self) -> Path:
        return self._socket_path(self.door.name)

    @property
    def door_sockets(self) -> dict[str, Path]:
        """Sockets of the doors that the configuration names, by name; this door first."""
        names = dict.fromkeys([self.door.name, *(lane.door for lane in self.access.lanes)])
        return {name: self._socket_path(name) for name in names}

    def find_door_sockets(self) -> list[Path]:
        """Return the sockets of this door, and of those that share its state and were started."""
        default = self._socket_path(DEFAULT_DOOR)
        folders = {self.door_state / DOORS, default.parent}
        named = (other / default.name for folder in folders for other in sorted(folder.glob("*")))
        others = filter(os.path.exists, (default, *named))
        return list(dict.fromkeys((self.socket_path, *others)))

    def _socket_path(self, door: str) -> Path:
        """Return the socket of a door of the terminal, by name."""
        if (socket := self.door.socket) is None:
            return self._door_folder(door) / "door.sock"
        return socket if door == DEFAULT_DOOR else socket.parent / door / socket.name


_UNIX_SOCKET_PATH_MAX = 107  # bytes, sun_path of Linux less its end mark


def load_config(path: Path) -> TerminalConfig:
    """Read the config of a terminal, paths made absolute; raises ConfigError with every problem."""
    return load_config_files(path)[0]


def load_config_files(path: Path) -> tuple[TerminalConfig, tuple[Path, ...]]:
    """Return the config, and the files that were read: the requested one, then the extended."""
    files = read_config_files(path)
    try:
        return _build(files), files.paths
    except ConfigError as error:
        raise ConfigError(f"{path}: {_explain(error, find_extending(path))}") from error


def _build(files: ConfigFiles) -> TerminalConfig:
    """Return the config of files; raises ConfigError."""
    config = validate(TerminalConfig, files.document, Renamed(renamed.KEYS, renamed.VALUES))
    config = absolute(config, files.folder)
    _check(config)
    return config


def _explain(error: ConfigError, lanes: list[Path]) -> str:
    """Return the error of a file; the common part of complete files is no error itself."""
    if not lanes:
        return str(error)
    names, paths = ", ".join(lane.name for lane in lanes), " ".join(map(str, lanes))
    try:
        for lane in lanes:
            _build(read_config_files(lane))
    except ConfigError:
        return f"{error}; if this file is only the common part of {names}, use these files instead"
    return (
        f"this is the common part of {names} and not complete by itself; use a file of these, "
        f"and check all: edge-door check --config {paths}"
    )


def _check(config: TerminalConfig) -> None:
    """Check keys against each other; raises ConfigError."""
    if len(bytes(config.socket_path)) > _UNIX_SOCKET_PATH_MAX:
        raise ConfigError(
            f"door.socket: {config.socket_path} is longer than the "
            f"{_UNIX_SOCKET_PATH_MAX} bytes a socket may have; write a shorter path"
        )
    if (
        isinstance(config.camera, OpencvCameraConfig)
        and config.camera.is_network
        and not config.camera.accept_network_injection
    ):
        raise ConfigError(
            "camera.accept_network_injection: must be true for a network camera: "
            "anyone who can write to that stream can show the door any face"
        )
    check_rules(config.access, config.door, config.camera.lane)
    check_panel(config.access, config.door)
