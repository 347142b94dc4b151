"""`mfsa-bundle`: puts a model bundle together, completes it with the detector, and checks one."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from edge.bundle import (
    DETECTOR_SIZES,
    EMBEDDER,
    MANIFEST,
    PARITY,
    SCHEMA,
    BundledFile,
    Calibration,
    Manifest,
    detector_file,
    file_digest,
    open_bundle,
    read_manifest,
)
from edge.chip import PREPROCESSING, to_input
from edge.cli import common
from edge.engine import open_engine
from edge.errors import BundleError, describe_validation
from export import detector
from export.card import FILE as CARD
from export.card import write_card
from export.parity import check_parity, portrait_chips

OUR_LICENCE = "research and evaluation only, see LICENSE in this folder"
_OURS = ("LICENSE", CARD)


def reference() -> Path:
    """The reference bundle that ships with the package: our own weights, without the detector."""
    return Path(str(files("edge"))) / "models" / "reference"


def pack(out: Path, *, name: str, embedder: Path, thresholds: Path, accuracy: Path, data: str) -> None:
    """Make a bundle without detector from a trained embedder and what was measured of it; raises BundleError."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(embedder, out / EMBEDDER)
    engine = open_engine(out / EMBEDDER, kind="ort", threads=1)
    chips = portrait_chips()
    outputs = engine.run(to_input(chips))
    np.savez_compressed(out / PARITY, chips=chips, **outputs)  # type: ignore[arg-type]
    try:
        calibration = Calibration.model_validate_json(thresholds.read_text(encoding="utf-8"))
        figures = json.loads(accuracy.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise BundleError(f"{thresholds}: not the output of mfsa-threshold: {describe_validation(error)}") from error
    except (OSError, ValueError) as error:
        raise BundleError(
            f"the measured figures cannot be read: {error}; make them with mfsa-threshold and mfsa-evaluate"
        ) from error
    entries = {
        EMBEDDER: BundledFile(sha256=file_digest(out / EMBEDDER), origin="trained with this project", licence=OUR_LICENCE),
        PARITY: BundledFile(
            sha256=file_digest(out / PARITY), origin="chips of two public-domain portraits and their outputs", licence=OUR_LICENCE
        ),
    }
    manifest = Manifest(
        schema_version=SCHEMA,
        name=name,
        preprocessing=PREPROCESSING,
        embedding=int(outputs["embedding"].shape[1]),
        attention=outputs["attention"].shape[1:],  # type: ignore[arg-type]
        calibration=calibration,
        accuracy=figures,
        data=data,
        licence=OUR_LICENCE,
        code_version=code_version(),
        files=entries,
    )
    _write_manifest(out, manifest)
    try:
        write_card(out, manifest)
    except (KeyError, TypeError) as error:
        raise BundleError(f"{accuracy}: not the output of mfsa-evaluate: missing {error}") from error


def make(out: Path, base: Path, *, replace: bool) -> None:
    """Make a complete bundle: `base` and the detector from its package. Whole or not at all; raises BundleError."""
    if out.exists() and not replace:
        raise BundleError(f"{out} exists: add --replace to make it anew, or name another folder")
    manifest = read_manifest(base)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "bundle"
        fresh.mkdir()
        for name in (*manifest.files, *_OURS):
            if (base / name).is_file():
                shutil.copyfile(base / name, fresh / name)
        entries = dict(manifest.files)
        original = detector.source()
        for size in DETECTOR_SIZES:
            name = detector_file(size)
            (fresh / name).write_bytes(detector.fixed_shape(original, size))
            entries[name] = BundledFile(
                sha256=file_digest(fresh / name),
                origin=f"{detector.ORIGIN}, sha256 {detector.SHA256}, fixed to {size}",
                licence=detector.LICENCE,
            )
        (fresh / "LICENSE.detector").write_text(detector.licence_text(), encoding="utf-8")
        _write_manifest(fresh, manifest.model_copy(update={"files": entries}))
        check(fresh)
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)


def check(path: Path) -> str:
    """Digests, and the embedder against its own parity chips; one line for people. Raises BundleError."""
    bundle = open_bundle(path, PREPROCESSING)
    with np.load(path / PARITY, allow_pickle=False) as archive:
        chips = archive["chips"]
        expected = {name: archive[name] for name in ("embedding", "attention", "mask_worn")}
    parity = check_parity(bundle.embedder_path, chips, expected)
    if not parity.min_cosine > 0.9999:
        raise BundleError(f"{path}: the embedder does not reproduce its own outputs here: {parity}")
    return f"{bundle.manifest.name}: digests match, {parity}"


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def code_version() -> str:
    """The package's version and, in a checkout, the commit, with `-dirty` where files were changed since."""
    try:
        release = version("mfsa-edge")
    except PackageNotFoundError:
        release = "unknown"
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        return release
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12", "--match=no-tag"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return release
    return f"{release}+{commit}"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mfsa-bundle", description="Make or check a model bundle.", epilog="example: mfsa-bundle make build/bundle"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="make|check|pack")
    making = commands.add_parser("make", help="a complete bundle: embedder, thresholds, detector")
    making.add_argument("out", type=Path)
    making.add_argument("--from", dest="base", type=Path, help="folder made by `pack`; default: the reference that ships")
    making.add_argument("--replace", action="store_true", help="make it anew where it exists")
    checking = commands.add_parser("check", help="digests and parity of a bundle")
    checking.add_argument("bundle", type=Path)
    packing = commands.add_parser("pack", help="a bundle without detector from a trained embedder")
    packing.add_argument("out", type=Path)
    packing.add_argument("--name", required=True)
    packing.add_argument("--embedder", type=Path, required=True, help="ONNX file of mfsa-export")
    packing.add_argument("--thresholds", type=Path, required=True, help="JSON of mfsa-threshold")
    packing.add_argument("--accuracy", type=Path, required=True, help="JSON of mfsa-evaluate")
    packing.add_argument("--data", required=True, help="what the model was trained on, in words")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = _parse(argv)

    def making() -> str:
        make(args.out, args.base or reference(), replace=args.replace)
        return f"{args.out}: {check(args.out)}"

    def packing() -> str:
        pack(args.out, name=args.name, embedder=args.embedder, thresholds=args.thresholds, accuracy=args.accuracy, data=args.data)
        return f"{args.out}: packed; complete it with: mfsa-bundle make OUT --from {args.out}"

    def command() -> int:
        commands: dict[str, Callable[[], str]] = {"make": making, "check": lambda: check(args.bundle), "pack": packing}
        print(commands[args.command]())
        return common.DONE

    return common.run("mfsa-bundle", command)


if __name__ == "__main__":
    sys.exit(main())
