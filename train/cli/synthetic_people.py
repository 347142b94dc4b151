"""Write synthetic people: `python -m train.cli.synthetic_people`."""

from __future__ import annotations

import sys
from pathlib import Path

from edge.cli import common
from edge.errors import ConfigError
from train.synthetic_people import write_people


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "python -m train.cli.synthetic_people",
        (__doc__ or "").splitlines()[0],
        "python -m train.cli.synthetic_people build/quick/people",
    )
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--people", type=int, default=200, help="default %(default)s")
    args = parser.parse_args(argv)

    def command() -> int:
        if args.out.exists():
            raise ConfigError(
                f"{args.out} exists already; name a folder that does not, or remove it"
            )
        write_people(args.out, args.people)
        return common.DONE

    return common.run("train.cli.synthetic_people", command)


if __name__ == "__main__":
    sys.exit(main())
