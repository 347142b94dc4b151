"""`mfsa-train`, `python -m train` or `torchrun -m train`: one loop for a laptop and for many GPUs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.cli import common
from edge.errors import ConfigError, MfsaError
from train.loop import train
from train.recipe import load_recipe


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mfsa-train",
        description="Train the MFSA network by a recipe; a run that was stopped goes on with --resume.",
        epilog="example: mfsa-train --recipe train/recipes/reference.yaml --data ../faces --out runs/reference",
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file, see train/recipes/")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that the recipe's sources are under"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for checkpoint.pt, best.pt, log.jsonl and tensorboard/",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="WEIGHTS",
        help="checkpoint or .safetensors to begin with",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change keys of the recipe: network.variant=none",
    )
    parser.add_argument(
        "--save-every",
        type=int,
        metavar="CHIPS",
        help="write checkpoint.pt so often; default every three minutes",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)

    def command() -> int:
        if args.save_every is not None and args.save_every < 1:
            raise ConfigError(f"--save-every: expected at least 1, found {args.save_every}")
        recipe = load_recipe(args.recipe, args.changes)
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
            raise MfsaError("stopped; --resume goes on from the last checkpoint") from None
        print(f"done: {checkpoint}")
        return common.DONE

    return common.run("mfsa-train", command)


if __name__ == "__main__":
    sys.exit(main())
