"""edge-doctor names what the door process cannot open: libraries, devices, pins, files."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from edge.config import TerminalConfig, load_config
from edge.door.libraries import PIN_FACTORIES, HardwareLibrary
from edge.ops.check_result import ERROR, OK, CheckResult
from edge.ops.doctor import examine
from edge.system.lockfile import acquire_lock

WriteConfig = Callable[..., Path]
KEY = "8a1f03c57be29d4460f1a7325e9cb80d"
NO_DEVICE = "/dev/mfsa-none"
LINES = {"chip": NO_DEVICE, "d0": 4, "d1": 5}
OSDP = {"kind": "osdp", "device": NO_DEVICE, "key_file": "osdp.key"}
HID = {"kind": "hid", "path": "/dev/input/by-id/mfsa-none"}
WIEGAND = {"kind": "wiegand", **LINES}
KINDS: list[tuple[str, dict[str, Any], tuple[str, str], str]] = [
    ("readers", OSDP, ("osdp_sys", "osdp_sys"), "pip install 'mfsa-edge[readers]'"),
    ("panel", OSDP, ("osdp_sys", "osdp_sys"), "pip install 'mfsa-edge[readers]'"),
    ("readers", HID, ("evdev", "hid_reader"), "pip install 'mfsa-edge[hid]'"),
    ("readers", WIEGAND, ("gpiod", "gpio_edges"), "pip install 'mfsa-edge[readers]'"),
    ("panel", WIEGAND, ("lgpio", "lgpio_wave"), "pip install lgpio"),
]


def with_reader(kind: str, reader: dict[str, Any]) -> dict[str, Any]:
    return {"panel": reader} if kind == "panel" else {"readers": [{**reader, "name": "entry"}]}


def found(config: TerminalConfig, subject: str) -> list[CheckResult]:
    return list(examine(config, [subject]))


def errors(config: TerminalConfig, subject: str) -> list[str]:
    return [result.message for result in found(config, subject) if result.level == ERROR]


@pytest.fixture
def line() -> Iterator[str]:
    """A serial line that can be opened."""
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "osdp.key"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(("kind", "reader", "modules", "command"), KINDS)
def test_doctor_names_missing_library_and_device(
    write_config: WriteConfig,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    reader: dict[str, Any],
    modules: tuple[str, str],
    command: str,
) -> None:
    library, adapter = modules
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"edge.door.readers.{adapter}", raising=False)
    config = load_config(write_config(door=with_reader(kind, reader)))
    missing, device = errors(config, "readers")
    key = "door.panel" if kind == "panel" else "door.readers.entry"
    assert missing.startswith(f"{key}: ") and f"{sys.prefix}/bin/{command}" in missing
    assert device.startswith(f"{key}: ") and "No such file or directory; " in device


@pytest.mark.parametrize("name", ["readers", "panel"])
@pytest.mark.parametrize(
    ("key", "level", "message"),
    [
        (KEY, OK, "key of the secure channel readable"),
        ("303132333435363738393a3b3c3d3e3f", ERROR, "default key SCBK-D"),
        ("00" * 16, ERROR, "can be guessed"),
    ],
)
def test_doctor_checks_osdp_keys(
    write_config: WriteConfig,
    line: str,
    key_file: Path,
    key: str,
    level: str,
    message: str,
    name: str,
) -> None:
    key_file.write_text(key)
    config = load_config(write_config(door=with_reader(name, {**OSDP, "device": line})))
    (result,) = found(config, "readers")
    assert result.level == level and message in result.message and key not in result.message


def test_doctor_file_is_no_serial_line(
    write_config: WriteConfig, key_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "ttyUSB0").touch()
    config = load_config(write_config(door=with_reader("panel", {**OSDP, "device": "ttyUSB0"})))
    (message,) = errors(config, "readers")
    assert "is not a character device; check the cable" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to an account")
def test_doctor_tests_access_as_door_account(
    write_config: WriteConfig, key_file: Path, line: str, tmp_path: Path
) -> None:
    for place in (tmp_path, *tmp_path.parents[:-2]):
        place.chmod(0o755)
    account = pwd.getpwnam("nobody")
    state = tmp_path / "door"
    state.mkdir()
    os.chown(state, account.pw_uid, account.pw_gid)
    key = state / "people.key"
    key.touch(mode=0o600)
    os.chmod(line, 0o600)  # noqa: PTH101
    reader = with_reader("panel", {**OSDP, "device": line})
    config = load_config(write_config(door={**reader, "state": "door"}))
    device, secret = errors(config, "readers")
    assert f"{account.pw_name} may not use {line} (group " in device and "osdp.conf" in device
    assert f"{key_file}: the OSDP key cannot be read: Permission denied" in secret
    (file,) = errors(config, "accounts")
    assert f"run: sudo chown {account.pw_name} {key}" in file and os.geteuid() == 0
    for place in (key_file, key, Path(line)):
        os.chown(place, account.pw_uid, account.pw_gid)
    assert not errors(config, "readers") and not errors(config, "accounts")


@pytest.mark.skipif(os.geteuid() != 0, reason="the unit is asked for the account of the door only")
@pytest.mark.parametrize(
    ("device", "is_allowed"), [("char-ttyUSB", False), ("char-pt*", True), ("path", True)]
)
def test_doctor_names_missing_drop_in(
    write_config: WriteConfig,
    key_file: Path,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    is_allowed: bool,
) -> None:
    allowed = line if device == "path" else device
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$3" = edge-door@left.service ] || exit 1\n'
        "printf 'LoadState=loaded\\nDevicePolicy=closed\\nSupplementaryGroups=tty\\n"
        f"DeviceAllow=char-gpiochip rw\\nDeviceAllow={allowed} rw\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "door").mkdir()
    door = with_reader("panel", {**OSDP, "device": line}) | {"name": "left", "state": "door"}
    access = {"lanes": [{"name": "in", "door": "left"}]}
    problems = errors(load_config(write_config(door=door, access=access)), "readers")
    if is_allowed:
        assert problems == []
    else:
        (message,) = problems
        assert f"edge-door@left.service may not use {line} (char-pts)" in message
        assert "install the drop-in osdp.conf" in message


class FakeChip:
    """Substitute for gpiod.Chip: line 4 is in use."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> FakeChip:
        return self

    def __exit__(self, *_: object) -> None: ...

    def line_offset_from_id(self, line: int | str) -> int:
        if isinstance(line, str):
            raise OSError(2, "no such line")
        return line

    def get_line_info(self, offset: int) -> SimpleNamespace:
        return SimpleNamespace(used=offset == 4, consumer="gpio-led")


@pytest.mark.parametrize(
    ("d0", "is_running", "problem"),
    [
        (4, False, "line 4 of /dev/null is in use by gpio-led"),
        (4, True, None),
        (6, False, None),
        ("PQ.06", True, "the lines PQ.06 and 5 of /dev/null cannot be used"),
    ],
)
def test_doctor_checks_lines_of_wiegand_reader(
    write_config: WriteConfig,
    monkeypatch: pytest.MonkeyPatch,
    d0: int | str,
    is_running: bool,
    problem: str | None,
) -> None:
    monkeypatch.setattr("gpiod.Chip", FakeChip)
    reader = {"kind": "wiegand", "chip": "/dev/null", "d0": d0, "d1": 5}
    config = load_config(write_config(door=with_reader("readers", reader)))
    lock = acquire_lock(config.door_lock_path, "edge-door", "door.name") if is_running else None
    try:
        problems = errors(config, "readers")
    finally:
        if lock is not None:
            os.close(lock)
    assert problems == [] if problem is None else problem in problems[0]


@pytest.mark.parametrize("is_running", [True, False])
def test_doctor_checks_pulses_of_a_panel(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    """A running door uses the lines: they take no waveform of another process."""
    lgpio = ModuleType("lgpio")
    lgpio.error = OSError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lgpio", lgpio)
    monkeypatch.delitem(sys.modules, "edge.door.readers.lgpio_wave", raising=False)
    config = load_config(write_config(door=with_reader("panel", {**WIEGAND, "chip": "/dev/null"})))
    lock = acquire_lock(config.door_lock_path, "edge-door", "door.name") if is_running else None
    try:
        problems = errors(config, "readers")
    finally:
        sys.modules.pop("edge.door.readers.lgpio_wave", None)
        if lock is not None:
            os.close(lock)
    assert problems == [] if is_running else "expected a GPIO chip" in problems[0]


def test_doctor_simulated_reader_needs_nothing(write_config: WriteConfig) -> None:
    config = load_config(
        write_config(door=with_reader("readers", {"kind": "simulated", "path": "reader.sock"}))
    )
    assert [result.level for result in found(config, "readers")] == [OK]


def test_doctor_names_unusable_pins(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", None)
    relay = {"kind": "gpio", "pin": "BOARD7", "factory": "lgpio"}
    alarm = {"kind": "file", "path": "none/alarm"}
    config = load_config(write_config(door={"relay": relay, "alarm": alarm}))
    file, library = errors(config, "pins")
    assert "door.alarm: " in file and "cannot be written" in file
    assert "lgpio cannot be loaded" in library and "bin/pip install lgpio" in library
    mock = HardwareLibrary("gpiozero", "gpiozero.pins.mock", "gpiozero")
    monkeypatch.setitem(PIN_FACTORIES, "native", (mock, "MockFactory"))
    relay = {**relay, "factory": "native"}
    config = load_config(write_config(door={"relay": relay, "alarm": alarm}))
    (tmp_path / "none").mkdir()
    assert [result.level for result in found(config, "pins")] == [OK]
    rex = {"kind": "gpio", "pin": "BOARD99", "active_high": True, "factory": "native"}
    config = load_config(write_config(door={"relay": relay, "inputs": {"rex": rex}}))
    (message,) = errors(config, "pins")
    assert message.startswith("door.inputs.rex: this board has no pin 'BOARD99'")
    signal = {"kind": "led", "output": {**relay, "pin": "BOARD98"}}
    config = load_config(write_config(door={"signals": [signal]}))
    (message,) = errors(config, "pins")
    assert message.startswith("door.signals.0.output: this board has no pin 'BOARD98'")


def test_doctor_names_unknown_accounts(write_config: WriteConfig) -> None:
    config = load_config(write_config(door={"operators": ["mfsa-nobody-here"]}))
    (message,) = errors(config, "accounts")
    assert message.startswith("door.operators: mfsa-nobody-here: no such account")


def test_doctor_checks_the_previous_bundle(write_config: WriteConfig) -> None:
    config = load_config(write_config(previous_bundle="bundle-1"))
    for subject in ("bundle", "engine"):
        good, bad = (result for result in found(config, subject) if result.subject != "use")
        assert good.level == OK and bad.level == ERROR and "bundle-1" in bad.message
