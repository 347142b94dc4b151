"""Recall of the detector by score, false faces, and the rule for weak faces of a track.

python -m benchmarks.detector --chips rmfrd_dev.tar --clips clips --out detector.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.detector_frames import (
    FACE_PX,
    Picture,
    PlacedFace,
    faceless_groups,
    mask_clip,
    read_clip,
    recall_groups,
    walk_up,
)
from benchmarks.detector_measures import (
    CachedEngine,
    WalkResult,
    false_in_clip,
    measure_recall,
    play,
)
from benchmarks.detector_page import (
    SCORES,
    format_false,
    format_recall,
    format_walks,
    render_page,
)
from calibration.chips import decode_chip, has_real_mask, read_chips
from edge import masks
from edge.config import TerminalConfig
from edge.engine import Engine
from edge.recogniser.networks import TerminalNetworks, open_networks
from edge.synthesis.drawing import FPS

RULES = ((0.7, 0.7), (0.7, 0.5), (0.7, 0.4), (0.6, 0.4), (0.5, 0.5))  # min_score, min_score_tracked


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chips", type=Path, required=True, help=".tar with u_* and m_* chips")
    parser.add_argument("--clips", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"), help="bundle")
    parser.add_argument("--count", type=int, default=40, help="chips of each kind")
    parser.add_argument("--walks", type=int, default=6, help="walk-ups of each kind")
    parser.add_argument("--out", type=Path, help="page in Markdown")
    return parser.parse_args()


def _pick_chips(source: Path, count: int, *, real: bool) -> list[tuple[str, Picture]]:
    found = [one for one in read_chips(source) if has_real_mask(one[0]) == real]
    step = max(1, len(found) // count)
    return [(name, decode_chip(data, name)) for name, data in islice(found, 0, count * step, step)]


def _config(bundle: Path, start: float, tracked: float, input_size: str = "auto") -> TerminalConfig:
    return TerminalConfig.model_validate(
        {
            "terminal": "measurement",
            "bundle": bundle.resolve(),
            "state": Path("state").resolve(),
            "camera": {"kind": "replay", "path": Path("clip").resolve()},
            "engine": {"kind": "ort", "threads": 1},
            "liveness": {"kind": "none"},
            "detector": {
                "min_score": start,
                "min_score_tracked": tracked,
                "input_size": input_size,
            },
        }
    )


def _walks(
    args: argparse.Namespace,
    clips: dict[str, list[Picture]],
    bare: Sequence[tuple[str, Picture]],
    real: Sequence[tuple[str, Picture]],
    networks: TerminalNetworks,
) -> dict[str, list[list[PlacedFace]]]:
    def several(
        chips: Sequence[tuple[str, Picture]], *, dark: bool = False
    ) -> list[list[PlacedFace]]:
        step = max(1, len(chips) // args.walks)
        chosen = chips[::step][: args.walks]
        return [walk_up(chip, i, dark=dark) for i, (_, chip) in enumerate(chosen)]

    drawn = [(name, masks.draw_protocol(chip, name)[0]) for name, chip in bare]
    masked = [mask_clip(images, networks.detector, name) for name, images in clips.items()]
    return {
        "bare": several(bare),
        "drawn masks": several(drawn),
        "real masks": several(real),
        "real masks, low light": several(real, dark=True),
        "recorded clips, drawn masks": [frames for frames in masked if frames],
    }


def _play_all(
    args: argparse.Namespace, walks: dict[str, list[list[PlacedFace]]]
) -> dict[tuple[str, tuple[float, float]], list[WalkResult]]:
    engines: dict[str, CachedEngine] = {}
    results = {}
    for rule in RULES:
        config = _config(args.bundle, *rule)
        networks = open_networks(config, _sharing(engines))
        for name, each in walks.items():
            results[name, rule] = [play(frames, config, networks) for frames in each]
        print(format_walks({key: row for key, row in results.items() if key[1] == rule}))
    return {(name, rule): results[name, rule] for name in walks for rule in RULES}


def _sharing(engines: dict[str, CachedEngine]) -> Callable[[Engine, str], Engine]:
    """Return a wrapper of `open_networks` that shares the results of equal networks."""
    opened: list[str] = []

    def wrap(engine: Engine, role: str) -> Engine:
        opened.append(role)
        key = f"{role} {opened.count(role)}"  # the order of a configuration's detectors is fixed
        return engines.setdefault(key, CachedEngine(engine))

    return wrap


def main() -> int:
    args = _parse()
    bare, real = (_pick_chips(args.chips, args.count, real=kind) for kind in (False, True))
    halved, networks = (
        open_networks(_config(args.bundle, min(SCORES), min(SCORES), size))
        for size in ("320x256", "640x480")
    )
    detector, min_face_px = networks.detector, FACE_PX[0]
    groups = recall_groups(bare, real)
    recall = {
        name: measure_recall(placed, halved.detector, detector) for name, placed in groups.items()
    }
    print(format_recall(recall))
    recordings = sorted(path for path in args.clips.rglob("*") if path.suffix in (".gif", ".mkv"))
    clips = {path.stem: read_clip(path, 3 if path.suffix == ".mkv" else 1) for path in recordings}
    false = {
        name: [[face.score for face in detector.search(image, min_face_px)] for image in images]
        for name, images in faceless_groups(bare).items()
    }
    false["recordings, away from faces"] = [
        frame
        for images in clips.values()
        for frame in false_in_clip([detector.search(image, min_face_px) for image in images], FPS)
    ]
    print(format_false(false))
    results = _play_all(args, _walks(args, clips, bare, real, networks))
    page = render_page(recall, false, results)
    if args.out:
        args.out.write_text(page, encoding="utf-8")
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
