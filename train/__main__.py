"""`mfsa-train`, `python -m train` or `torchrun -m train`: one loop for a laptop and for many GPUs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.cli import common
from edge.errors import MfsaError
from train.loop import train
from train.recipe import load_recipe


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mfsa-train",
        description="Train the MFSA network by a recipe; a run that was stopped goes on with --resume.",
        epilog="example: mfsa-train --recipe train/recipes/reference.yaml --data ../faces --out runs/reference",
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file, see train/recipes/")
    parser.add_argument("--data", type=Path, required=True, help="folder that the recipe's sources are under")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.jsonl")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start-from", type=Path, metavar="WEIGHTS", help="checkpoint or .safetensors to begin with")
    parser.add_argument("--chips", type=int, help="see this many chips instead of the recipe's number")
    parser.add_argument("--validate-every", type=int, default=50_000, metavar="CHIPS", help="default %(default)s")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)

    def command() -> int:
        recipe = load_recipe(args.recipe, {"chips": args.chips} if args.chips else None)
        try:
            checkpoint = train(
                recipe,
                args.data,
                args.out,
                resume=args.resume,
                validate_every=args.validate_every,
                start_from=args.start_from,
            )
        except KeyboardInterrupt:
            raise MfsaError("stopped; --resume goes on from the last checkpoint") from None
        print(f"done: {checkpoint}")
        return common.DONE

    return common.run("mfsa-train", command)


if __name__ == "__main__":
    sys.exit(main())
