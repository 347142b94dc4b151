"""Reaction of every command to errors of the operating system and unusual terminals."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.cli import common, door


def test_run_denied_path_names_it_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    def denied() -> int:
        raise PermissionError(13, "Permission denied", "/var/lib/mfsa-edge/state")

    assert common.run("edge-gallery", denied) == common.FAILED
    said = "edge-gallery: /var/lib/mfsa-edge/state: Permission denied; run this as root"
    assert capsys.readouterr().err.startswith(said)


def test_run_latin_1_terminal_escapes_names(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="latin-1"))

    def listed() -> int:
        print("Jürgen, 日")
        return common.DONE

    assert common.run("edge-gallery", listed) == common.DONE
    sys.stdout.flush()
    assert shown.getvalue() == b"J\xfcrgen, \\u65e5\n"


@pytest.mark.parametrize("reason", [os.fsdecode(b"Gr\xfc\xdfe"), "", "x" * 5000])
def test_door_unusable_reason_is_named(
    reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        door.main(["release", "--config", str(tmp_path / "none.yaml"), "--reason", reason])
    assert stopped.value.code == common.USAGE
    assert "expected 1 to 256 printable characters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "set-zone lab",
            "required: --config, --reason, PEOPLE\nexample: edge-door set-zone lab 3 ",
        ),
        ("set-zone lab three", "PEOPLE: expected a whole number of at least 0 and at most 999,999"),
        ("set-zone lab -1", "such as 3, found '-1'\nexample: edge-door set-zone lab 3 "),
        ("set-zone l_ab 1", "ZONE: expected the name of a zone, such as lab, found 'l_ab'"),
        ("person set Ada --card 26", "--card: expected a card such as 26:12:3456, "),
        ("person set Ada --card 26:300:1", "a facility code of at most 255, such as 26:12:3456"),
        ("person set Ada --max-uses 0", "at least 1, such as 3, found '0'; or none"),
        ("unlock", "required: --config, --reason\nexample: edge-door unlock --reason "),
    ],
)
def test_door_wrong_value_shows_an_example(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        door.main(arguments.split())
    shown = capsys.readouterr().err
    assert said in shown and "usage:" not in shown


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("gate", "'gate' is not in `door.readers`; readers: bus, entry"),
        ("bus", "bus is of kind hid, and takes cards and PINs from its hardware only"),
        ("entry", "no reader receives: No such file or directory; is edge-door running?"),
    ],
)
def test_simulate_reader_refusal_is_named(
    reader: str, said: str, write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    hid = {"kind": "hid", "name": "bus", "path": "/dev/input/by-id/usb-Keypad", "reads": "card"}
    simulated = {"kind": "simulated", "name": "entry", "path": "entry.sock"}
    config = write_config(door={"readers": [hid, simulated]})
    arguments = ["simulate-reader", reader, "--card", "26:1:1001", "--config", str(config)]
    assert door.main(arguments) == common.FAILED
    assert said in capsys.readouterr().err
