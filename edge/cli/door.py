"""`edge-door`: the process that owns the lock."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys

from edge.audit.log import BoundedLog, JsonLog
from edge.claim import claim
from edge.cli import common
from edge.config import load_config
from edge.door.client import DoorClient
from edge.door.controller import Controller
from edge.door.relay import open_relay
from edge.door.service import DoorService
from edge.ops.notify import Notifier


def main(argv: list[str] | None = None) -> int:
    parser = common.parser("edge-door", "Own the door's relay.", "edge-door run --config /etc/mfsa-edge/terminal.yaml")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|status")
    serve = commands.add_parser("run", help="take grants and move the relay until SIGTERM; locked at start and end")
    status = commands.add_parser("status", help="whether the door is locked")
    for sub in (serve, status):
        common.add_config(sub)
    status.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args(argv)
    return common.run("edge-door", lambda: _serve(args) if args.command == "run" else _status(args))


def _serve(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    common.log_in_background()
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: stopping.append(received))
    lock = claim(config.door_lock_path, "edge-door")  # before relay and record are touched
    relay = open_relay(config.door.relay)
    try:
        service = DoorService(
            Controller(config.door.pulse_s),
            relay,
            BoundedLog(JsonLog(config.door_record_path)),
            config.socket_path,
            clients=config.door.clients,
        )
    except BaseException:
        relay.close()
        raise
    notifier = Notifier()
    notifier.ready()
    try:
        while not stopping:
            service.step()
            notifier.alive()
    finally:
        service.close()
        notifier.close()
        os.close(lock)
    return common.DONE


def _status(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        answer = client.status()
    finally:
        client.close()
    if args.json:
        print(json.dumps(answer))
    else:
        rest = f", locks in {answer['relocks_in_s']:.1f} s" if answer["state"] == "unlocked" else ""
        print(f"{answer['state']}{rest}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
