"""Command `mfsa-train`: one loop for a laptop and for many GPUs."""

from __future__ import annotations

import sys

from edge.cli import common
from edge.errors import ConfigError, MfsaError
from train.cli import parsers
from train.loop import train
from train.recipe import Recipe, load_recipe


def main(argv: list[str] | None = None) -> int:
    args = parsers.train_parser().parse_args(argv)

    def command() -> int:
        if args.save_every is not None and args.save_every < 1:
            raise ConfigError(f"--save-every: expected at least 1, found {args.save_every}")
        recipe = load_recipe(args.recipe, Recipe, args.changes)
        try:
            checkpoint = train(
                recipe,
                args.data,
                args.out,
                resume=args.resume,
                start_from=args.start_from,
                save_every=args.save_every,
            )
        except KeyboardInterrupt:
            raise MfsaError("stopped; --resume continues from the last checkpoint") from None
        print(f"done: {checkpoint}")
        return common.DONE

    return common.run("mfsa-train", command)


if __name__ == "__main__":
    sys.exit(main())
