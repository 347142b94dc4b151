"""Command `mfsa-bundle`: make, check and pack model bundles."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from edge.cli import common
from edge.errors import BundleError
from export.bundle import (
    LivenessNetwork,
    check_bundle,
    make_bundle,
    reference_bundle,
)
from export.cli import parsers
from export.packing import MeasuredEmbedder, ModelDescription, pack_bundle, threshold_command


def _int8(args: argparse.Namespace) -> MeasuredEmbedder | None:
    if args.int8 is None:
        return None
    if args.int8_thresholds is None:
        raise BundleError(
            "--int8 needs --int8-thresholds: its scores differ from the FP32 embedder; make "
            f"them: {threshold_command(args.int8, 'thresholds-int8.json')}"
        )
    return MeasuredEmbedder(args.int8, args.int8_thresholds, args.int8_accuracy or args.accuracy)


def _make(args: argparse.Namespace) -> str:
    liveness = (
        LivenessNetwork(
            args.liveness,
            args.liveness_threshold,
            args.liveness_licence,
            args.liveness_provenance,
        )
        if args.liveness
        else None
    )
    base = args.base or reference_bundle()
    lines = make_bundle(
        args.out, base, replace=args.replace, passive=liveness, commercial=_is_commercial(args)
    )
    return f"{args.out}: {lines}"


def _check(args: argparse.Namespace) -> str:
    return check_bundle(args.bundle, commercial=_is_commercial(args))


def _pack(args: argparse.Namespace) -> str:
    try:
        limits = args.limits.read_text(encoding="utf-8") if args.limits else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{args.limits}: cannot be read: {error}") from error
    about = ModelDescription(
        args.name,
        args.data,
        args.licence,
        limits,
        args.provenance,
        tuple(args.compatible_with),
    )
    pack_bundle(
        args.out,
        MeasuredEmbedder(args.embedder, args.thresholds, args.accuracy),
        about,
        _int8(args),
        explanation=args.explanation,
        commercial=_is_commercial(args),
    )
    return f"{args.out}: packed; complete it with: mfsa-bundle make OUT --from {args.out}"


def _is_commercial(args: argparse.Namespace) -> bool:
    return bool(args.use == "commercial")


def main(argv: list[str] | None = None) -> int:
    args = parsers.bundle_parser().parse_args(argv)
    commands: dict[str, Callable[[argparse.Namespace], str]] = {
        "make": _make,
        "check": _check,
        "pack": _pack,
    }

    def command() -> int:
        print(commands[args.command](args))
        return common.DONE

    return common.run("mfsa-bundle", command)


if __name__ == "__main__":
    sys.exit(main())
