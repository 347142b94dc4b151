"""`edge-people`: enrolls, changes and removes people on requests of the console."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

from edge.cli import common
from edge.config import load_config
from edge.errors import MfsaError


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-people",
        "Enroll, change and remove people for the console, which cannot read the gallery. Each "
        "request has its own process. docs/people-socket.md describes the socket.",
        "edge-people serve --config terminal.yaml --socket state/people.sock",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    handle = commands.add_parser(
        "handle", help="serve the connection at standard input, for edge-people@.service"
    )
    common.add_config(handle)
    handle.set_defaults(action=_handle)
    serve = commands.add_parser("serve", help="listen until SIGTERM, on machines without systemd")
    common.add_config(serve)
    serve.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="path of the socket (default: people.sock in the state folder)",
    )
    serve.set_defaults(action=_serve)
    args = parser.parse_args(argv)
    common.limit_decoder_messages()
    common.log_to_stderr()
    return common.run("edge-people", lambda: int(args.action(args)))


def _handle(args: argparse.Namespace) -> int:
    from edge.people.service import handle

    try:
        peer = socket.socket(fileno=0)
        peer.getpeername()
    except OSError as error:
        raise MfsaError(
            "standard input is no connection; this command is for edge-people@.service, on other "
            "machines use edge-people serve"
        ) from error
    handle(peer, args.config)
    return common.DONE


def _serve(args: argparse.Namespace) -> int:
    from edge.people.service import PeopleServer

    path = args.socket or load_config(args.config).people_socket_path
    PeopleServer(path, args.config).run()
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
