"""Terminal of a finished demo with its console: the clip again and again, until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from edge.config import load_config
from edge.demo.processes import POLL_S, START_S, Process, call, process, wait_until_ready
from edge.door.client import DoorClient
from edge.errors import MfsaError

LOOPBACK = "127.0.0.1"
CONFIG = "console.yaml"


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the console on the loopback interface."""

    operators: int
    kiosk: int


def serve_demo(out: Path, ports: Ports, say: Callable[[str], None]) -> None:
    """Run the processes of a terminal on the clip of a finished demo, until Ctrl-C.

    Raises MfsaError if there is no demo, or if one of the processes ends.
    """
    arguments = ("--config", str(_write_config(out, ports)))
    config = load_config(Path(arguments[1]))
    with contextlib.ExitStack() as running:
        client = running.enter_context(contextlib.closing(DoorClient(config.socket_path)))
        door = running.enter_context(process("edge.cli.door", "run", *arguments))
        wait_until_ready(client, door)
        console = running.enter_context(process("edge.cli.console", "run", *arguments))
        _wait_until_listening(console, ports)
        recogniser = running.enter_context(process("edge.cli.daemon", *arguments))
        people = running.enter_context(process("edge.cli.people", "serve", *arguments))
        say("The clip of the demo is repeated: people come to the door and are decided upon.")
        say(f"Page of the terminal's screen: http://{LOOPBACK}:{ports.kiosk}/kiosk")
        say(f"Pages for operators: https://{LOOPBACK}:{ports.operators}/")
        say("The browser warns of the certificate, which the console made itself: accept it.")
        _invite(config.console_folder, arguments, say)
        say("Ctrl-C ends the demo.")
        _wait_for_end([door, recogniser, console, people])


def _write_config(out: Path, ports: Ports) -> Path:
    """Write a configuration that extends that of the demo; return its path."""
    if not (out / "terminal.yaml").is_file():
        raise MfsaError(f"{out}: there is no demo; run first: edge-demo --out {out}")
    path = out / CONFIG
    console = {"listen": f"{LOOPBACK}:{ports.operators}", "kiosk_port": ports.kiosk}
    values = {"extends": "terminal.yaml", "camera": {"loop": True}, "console": console}
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def _invite(folder: Path, arguments: Sequence[str], say: Callable[[str], None]) -> None:
    """Print the one-time code at the first run of the console, later how to get another one."""
    invited = folder / "invited"
    if invited.exists():
        say("Log in with the password that you have set for admin. If you have forgotten it, run:")
        say(f"edge-console user reset admin {' '.join(arguments)}")
    else:
        call("edge.cli.console", "first-login", *arguments)
        invited.touch()


def _wait_until_listening(console: Process, ports: Ports) -> None:
    give_up = time.monotonic() + START_S
    for port in (ports.operators, ports.kiosk):
        while not _is_listening(port):
            if console.poll() is not None or time.monotonic() > give_up:
                raise MfsaError("the console did not start; see the lines above")
            time.sleep(POLL_S)


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=START_S).close()
    except OSError:
        return False
    return True


def _wait_for_end(processes: Sequence[Process]) -> None:
    while all(each.poll() is None for each in processes):
        time.sleep(POLL_S)
    raise MfsaError("a process of the demo ended; see the lines above")
