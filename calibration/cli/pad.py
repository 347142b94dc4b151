"""Command `mfsa-pad`: measure presentation attack detection on recorded clips."""

from __future__ import annotations

import argparse
import json
import sys

from tqdm import tqdm

from calibration.cli import parsers
from calibration.pad import LAYERS, NO_FACE, SpeciesResult, find_clips, format_report, play_clip
from edge.bundle import DETECTOR_SIZES, detector_network, open_bundle
from edge.chip import PREPROCESSING
from edge.cli import common
from edge.config.recognition import DetectorConfig
from edge.errors import CameraError, ConfigError
from edge.face.detect import open_detector


def main(argv: list[str] | None = None) -> int:
    args = parsers.pad_parser().parse_args(argv)
    return common.run("mfsa-pad", lambda: _pad(args))


def _pad(args: argparse.Namespace) -> int:
    if not 0 < args.fps <= 240:
        raise ConfigError(f"expected --fps above 0 and up to 240, found {args.fps}")
    common.check_output_files(args.json, args.markdown)
    clips = find_clips(args.tree)
    bundle = open_bundle(args.bundle, PREPROCESSING)
    models = {size: bundle.onnx_path(detector_network(size), "fp32") for size in DETECTOR_SIZES}
    detector = open_detector(models, min_score=DetectorConfig().min_score, threads=2)
    species: dict[str, SpeciesResult] = {}
    try:
        for name, clip in tqdm(clips, desc="presentations", unit="clip", disable=None):
            outcome, layer = play_clip(
                clip, detector, [LAYERS[layer] for layer in args.layers], args.fps
            )
            kind = species.setdefault(name, SpeciesResult(name))
            kind.outcomes[outcome] += 1
            if layer:
                kind.refused_by[layer] += 1
    except CameraError as error:
        raise ConfigError(f"{clip}: {error}") from error
    finally:
        detector.close()
    if all(kind.outcomes[NO_FACE] == kind.clips for kind in species.values()):
        raise ConfigError(
            f"{args.tree}: no face was found in any of {len(clips)} clips; "
            "name recordings of faces that fill 80 pixels or more"
        )
    text = format_report(list(species.values()), args.layers)
    print(text)
    if args.json:
        figures = {"layers": args.layers, "species": [kind.as_dict() for kind in species.values()]}
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
