"""`edge-daemon`: the recogniser."""

from __future__ import annotations

import signal
import sys

from edge.cli import common
from edge.config import load_config


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-daemon",
        "Read frames from the camera, recognise enrolled people and send grants to the door "
        "process. Runs until SIGTERM or the end of a recording. SIGHUP reloads configuration and "
        "gallery.",
        "edge-daemon --config /etc/mfsa-edge/terminal.yaml",
    )
    common.add_config(parser)
    args = parser.parse_args(argv)
    common.limit_decoder_messages()
    common.log_to_stderr()

    def command() -> int:
        config = load_config(args.config)
        # Imported after the configuration is read: a wrong file is reported at once.
        from edge.recogniser.daemon import Daemon

        daemon = Daemon(config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop())
        signal.signal(signal.SIGHUP, lambda *_: daemon.request_reload())
        daemon.run(lambda: load_config(args.config))
        return common.DONE

    return common.run("edge-daemon", command)


if __name__ == "__main__":
    sys.exit(main())
