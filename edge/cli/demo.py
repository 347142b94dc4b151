"""`edge-demo`: run a complete terminal on real faces, without hardware."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from edge.cli import common


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-demo",
        "Make a walk-up clip from two public-domain portraits, enroll one of the two people and "
        "run the "
        "real door process and recogniser on it, with a wrong, a right and a duress PIN, a "
        "lockdown, a door held open and a fire. Exits with 0 only if the door opened for the "
        "enrolled person, masked only after a PIN, and for the fire; and neither during the "
        "lockdown nor for the other person.",
        "edge-demo --bundle build/bundle --out build/demo",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        help="complete bundle, made with: mfsa-bundle make build/bundle",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/demo"),
        help="folder for clip, audit logs and report (default %(default)s)",
    )
    serve = parser.add_argument_group("console of a finished demo")
    serve.add_argument(
        "--serve",
        action="store_true",
        help="instead: repeat the clip of the demo in --out with kiosk page and pages for "
        "operators, until Ctrl-C",
    )
    serve.add_argument(
        "--port",
        type=int,
        default=8443,
        metavar="PORT",
        help="port of the pages for operators on this machine (default %(default)s)",
    )
    serve.add_argument(
        "--kiosk-port",
        type=int,
        default=8080,
        metavar="PORT",
        help="port of the kiosk page on this machine (default %(default)s)",
    )
    args = parser.parse_args(argv)
    if not args.serve and args.bundle is None:
        parser.error("the following argument is required: --bundle")
    return common.run("edge-demo", lambda: (_serve if args.serve else _demo)(args))


def _serve(args: argparse.Namespace) -> int:
    from edge.demo.serve import Ports, serve_demo

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its processes must end too
    serve_demo(args.out, Ports(args.port, args.kiosk_port), _say)
    return common.DONE


def _demo(args: argparse.Namespace) -> int:
    from edge.demo.outcome import PASSED, summary
    from edge.demo.run import run_demo

    outcome, path = run_demo(args.bundle, args.out, _say)
    print(summary(outcome))
    print(f"Report: {path.resolve()}")
    if not outcome.passed:
        print(
            "edge-demo: the door did not behave as expected: see the lines marked FAIL. A machine "
            "that is too busy drops frames: close other programs and run it again",
            file=sys.stderr,
        )
        return common.FAILED
    print(PASSED)
    return common.DONE


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
