"""`edge-bench`: how long a frame takes on this machine, and where."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from edge.cli import common
from edge.config import load_config
from edge.config.sensing import Camera, ReplayCamera

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-bench",
        "Time the pipeline of a config on frames of its camera, kept in memory: median, mean and 99th percentile of each "
        "stage, of everything outside the two networks, and its share.",
        "edge-bench --config terminal.yaml --frames 300 --json",
    )
    common.add_config(parser)
    parser.add_argument("--frames", type=int, default=400, help="at most this many (default %(default)s)")
    parser.add_argument(
        "--faces", type=int, choices=range(1, 7), metavar="1..6", help="frames drawn with so many faces, in place of the camera's"
    )
    parser.add_argument("--templates", type=int, default=1000, help="random templates in the gallery (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args(argv)
    if args.frames < 1 or args.templates < 0:
        parser.error("expected --frames of at least 1 and --templates of at least 0")
    return common.run("edge-bench", lambda: _bench(args))


def _bench(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    from edge.bench.run import bench, crowd

    images = crowd(args.faces, args.frames) if args.faces else _record(config.camera, args.frames)
    result = bench(config, images, templates=args.templates)
    if args.json:
        print(json.dumps(asdict(result)))
        return common.DONE
    print(f"{result.frames} frames, {result.faces} faces, {result.gallery} templates, {result.threads} thread(s)")
    print(f"{'':18}{'median':>9}{'mean':>9}{'p99':>9}  ms")
    rows = {
        **result.stages,
        "frame": result.frame,
        "detector network": result.detector_network,
        "embedder network": result.embedder_network,
        "all but networks": result.outside,
    }
    for name, timing in rows.items():
        print(f"{name:18}{timing.median:9.2f}{timing.mean:9.2f}{timing.p99:9.2f}")
    print(f"outside the two networks: {result.outside_networks:.1%} of the time")
    return common.DONE


def _record(source: Camera, most: int) -> list[NDArray[np.uint8]]:
    """Frames of the config's camera; raises CameraError."""
    from edge.camera import open_camera

    if isinstance(source, ReplayCamera):
        source = source.model_copy(update={"lockstep": True})
    camera = open_camera(source)
    images: list[NDArray[np.uint8]] = []
    try:
        while len(images) < most and (frame := camera.read()) is not None:
            images.append(frame.image)
    finally:
        camera.close()
    return images


if __name__ == "__main__":
    sys.exit(main())
