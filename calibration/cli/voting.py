"""Command `mfsa-voting`: compare single-frame decisions with voting."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace

from calibration.chips import ChipFolder, validation_chips
from calibration.cli import parsers
from calibration.faces import check_folder
from calibration.parallel_engine import open_parallel_engine
from calibration.scores import PROBE_OUTPUTS, Outputs, embed_chips
from calibration.voting_study import (
    ENROLLED_PHOTOS,
    MIN_STREAM_PHOTOS,
    PhotoStreams,
    StudyGroups,
    StudyRow,
    compare_policies,
    format_report,
    split_people,
)
from edge import masks
from edge.access.policy import DecisionRules
from edge.bundle import EMBEDDER_NETWORK, open_bundle
from edge.chip import PREPROCESSING
from edge.cli import common
from edge.config.policy import PolicyConfig
from edge.engine import Engine
from edge.errors import ConfigError
from edge.recogniser.build import build_rules
from edge.values import Thresholds


def main(argv: list[str] | None = None) -> int:
    args = parsers.voting_parser().parse_args(argv)
    return common.run("mfsa-voting", lambda: _voting(args))


def _voting(args: argparse.Namespace) -> int:
    if min(args.galleries) < 2:
        raise ConfigError(f"expected --galleries of at least 2, found {min(args.galleries)}")
    common.check_output_files(args.json, args.markdown)
    bundle = open_bundle(args.bundle, PREPROCESSING)
    rules = build_rules(PolicyConfig(), bundle.calibration("fp32"))
    if args.thresholds:
        rules = replace(rules, thresholds=Thresholds(*args.thresholds), scaling=None)
    folder = validation_chips(args.chips, all_identities=args.all_identities)
    check_folder(folder, "--chips")
    engine = open_parallel_engine(bundle.onnx_path(EMBEDDER_NETWORK, "fp32"))
    try:
        rows = _rows(engine, folder, args, rules)
    finally:
        engine.close()
    if not rows:
        raise ConfigError(
            f"expected {2 * min(args.galleries)} people with "
            f"{ENROLLED_PHOTOS + MIN_STREAM_PHOTOS} photos or more, found too few"
        )
    text = format_report(rows, bundle.manifest.name, rules)
    print(text)
    if args.json:
        figures = [asdict(row) | {"false_bound": row.false_bound} for row in rows]
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(text, encoding="utf-8")
    return common.DONE


def _rows(
    engine: Engine, folder: ChipFolder, args: argparse.Namespace, rules: DecisionRules
) -> list[StudyRow]:
    """Study streams of bare photos, of photos with drawn masks, and of photos with real masks."""
    names = list(folder.identities)
    bare = embed_chips(engine, len(folder), folder.chip, what="bare", keep=PROBE_OUTPUTS)
    drawn = embed_chips(
        engine,
        len(folder),
        lambda i: masks.draw_protocol(folder.chip(i), folder.names[i])[0],
        what="with masks drawn on",
        keep=PROBE_OUTPUTS,
    )
    styled = embed_chips(
        engine,
        len(folder),
        lambda i: masks.draw_for_template(folder.chip(i), folder.names[i]),
        what="masked templates",
        keep=PROBE_OUTPUTS,
    )
    people = split_people(folder.labels, None, names)

    def both(shown: Outputs, people: StudyGroups, probes: str) -> list[StudyRow]:
        plain = compare_policies(PhotoStreams([bare], shown), people, rules, probes, args.galleries)
        return plain + compare_policies(
            PhotoStreams([bare, styled], shown),
            people,
            rules,
            f"{probes}, masked templates",
            args.galleries,
        )

    rows = both(bare, people, "bare") + both(drawn, people, "drawn masks")
    try:
        worn = validation_chips(
            args.chips, all_identities=args.all_identities, real_masks=True, labels_of=folder
        )
    except ConfigError:  # there are no photos with real masks
        return rows
    real = embed_chips(engine, len(worn), worn.chip, what="with real masks", keep=PROBE_OUTPUTS)
    return rows + both(real, split_people(folder.labels, worn.labels, names), "real masks")


if __name__ == "__main__":
    sys.exit(main())
