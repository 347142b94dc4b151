"""Command `mfsa-prepare`: align photos to chips."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

from calibration.cli import parsers
from calibration.photos import find_photos
from calibration.prepare import PrepareOutputs, PrepareSettings, cached_detector, prepare
from edge.bundle import detector_network, open_bundle
from edge.chip import PREPROCESSING, SIZE
from edge.cli import common
from edge.config.recognition import DetectorConfig
from edge.errors import ConfigError, MfsaError


def main(argv: list[str] | None = None) -> int:
    args = parsers.prepare_parser().parse_args(argv)
    return common.run("mfsa-prepare", lambda: _prepare(args))


def _settings(args: argparse.Namespace) -> PrepareSettings:
    if not args.min_eyes > 0 or args.workers < 0:
        raise ConfigError(
            f"expected --min-eyes above 0 and --workers of 0 or more, "
            f"found {args.min_eyes:g} and {args.workers}"
        )
    try:
        model = args.detector
        if model.is_dir():
            model = open_bundle(model, PREPROCESSING).onnx_path(detector_network(args.size), "fp32")
        settings = PrepareSettings(
            str(model), args.size, DetectorConfig().min_score, args.face, args.min_eyes
        )
        cached_detector(settings).detect(np.zeros((SIZE, SIZE, 3), np.uint8))
    except (MfsaError, LookupError, ValueError) as error:
        raise ConfigError(
            f"--detector: expected a bundle or a YuNet file for --size {args.size}: {error}"
        ) from error
    return settings


def _prepare(args: argparse.Namespace) -> int:
    out = PrepareOutputs(args.photos, args.out, args.contact_sheet, args.replace)
    out.check()
    settings = _settings(args)
    found = find_photos(args.photos)
    try:
        report = prepare(found, settings, out, args.workers)
    except KeyboardInterrupt:
        raise MfsaError(f"stopped before the end; {args.out} was not written") from None
    except OSError as error:
        raise MfsaError(
            f"{error.filename or args.out}: cannot be written ({error.strerror}); "
            f"{args.out} was not written"
        ) from error
    if args.json:
        print(json.dumps({name: value for name, value in report.items() if name != "identities"}))
    else:
        _print_summary(report, out)
    if not report["chips"]:
        raise MfsaError(
            f"none of the {report['photos']:,} photos could be kept ({_listed(report['refused'])})"
        )
    return common.DONE


def _print_summary(report: dict[str, Any], out: PrepareOutputs) -> None:
    print(
        f"{out.chips}: {report['chips']:,} chips of {report['people']:,} people "
        f"from {report['photos']:,} photos"
    )
    if report["refused"]:
        print(f"  refused: {_listed(report['refused'])}; listed in {out.refused}")
    if report["people_without_chips"]:
        print(f"  people without a chip: {report['people_without_chips']:,}; see {out.report}")
    if report["other_files"]:
        print(f"  other files, skipped: {_listed(report['other_files'])}")
    if out.sheet and report["chips"]:
        print(f"  check {out.sheet}: eyes and mouths should be at the same positions in all chips")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


if __name__ == "__main__":
    sys.exit(main())
