"""Command `mfsa-adapt`: add mask recognition to an existing encoder."""

from __future__ import annotations

import sys

from edge.cli import common
from edge.errors import ConfigError, MfsaError
from train.adapt import EncoderFile, adapt
from train.cli import parsers
from train.recipe import AdaptRecipe, load_recipe

_LINE_MAX = 300  # as in the provenance list of a bundle


def main(argv: list[str] | None = None) -> int:
    args = parsers.adapt_parser().parse_args(argv)

    def command() -> int:
        if args.save_every is not None and args.save_every < 1:
            raise ConfigError(f"--save-every: expected at least 1, found {args.save_every}")
        _check_line("--licence", args.licence)
        _check_line("--origin", args.origin)
        recipe = load_recipe(args.recipe, AdaptRecipe, args.changes)
        encoder = EncoderFile(args.encoder, args.input, args.licence, args.origin)
        try:
            checkpoint = adapt(
                recipe, encoder, args.data, args.out, resume=args.resume, save_every=args.save_every
            )
        except KeyboardInterrupt:
            raise MfsaError("stopped; --resume continues from the last checkpoint") from None
        print(f"done: {checkpoint}")
        print(f"Next: mfsa-export --checkpoint {checkpoint} --out {args.out / 'embedder.onnx'}")
        return common.DONE

    return common.run("mfsa-adapt", command)


def _check_line(option: str, text: str) -> None:
    """Raise ConfigError unless a text is one line that can be printed."""
    if not text.strip() or not text.isprintable() or len(text) > _LINE_MAX:
        raise ConfigError(
            f"{option}: expected one line of 1 to {_LINE_MAX} characters, found {text[:60]!a}"
        )


if __name__ == "__main__":
    sys.exit(main())
