"""`mfsa-bundle`: puts a model bundle together, completes it with the detector, and checks one."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

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

LICENCE = "LICENSE"


def reference() -> Path:
    """The reference bundle that ships with the package: our own weights, without the detector."""
    return Path(str(files("edge"))) / "models" / "reference"


@dataclass(frozen=True)
class Description:
    """What people say of a model, beside what is measured."""

    name: str
    data: str  # what it was trained on
    licence: str  # of the weights, in a line
    limits: str = ""  # further paragraphs for the model card


def pack(out: Path, embedder: Path, thresholds: Path, accuracy: Path, about: Description) -> None:
    """Make a bundle without detector from a trained embedder and what was measured of it, whole or not at all.

    Raises BundleError, also where a figure was measured on another embedder.
    """
    calibration, figures = _read_figures(thresholds, accuracy)
    digest, made_by = file_digest(embedder), code_version()
    for path, measured in ((thresholds, calibration.embedder), (accuracy, figures.get("embedder"))):
        if measured != digest:
            raise BundleError(f"{path}: measured on another embedder than {embedder}; measure this one")
    with _whole_folder(out) as fresh:
        shutil.copyfile(embedder, fresh / EMBEDDER)
        chips = portrait_chips()
        outputs = open_engine(fresh / EMBEDDER, kind="ort", threads=1).run(to_input(chips))
        np.savez_compressed(fresh / PARITY, chips=chips, **outputs)  # type: ignore[arg-type]
        manifest = Manifest(
            schema_version=SCHEMA,
            name=about.name,
            preprocessing=PREPROCESSING,
            embedding=int(outputs["embedding"].shape[1]),
            attention=outputs["attention"].shape[1:],  # type: ignore[arg-type]
            calibration=calibration,
            accuracy=figures,
            data=about.data,
            licence=about.licence,
            code_version=made_by,
            files={
                EMBEDDER: BundledFile(sha256=digest, origin="trained with this project", licence=about.licence),
                PARITY: BundledFile(
                    sha256=file_digest(fresh / PARITY),
                    origin="chips of two public-domain portraits and their outputs",
                    licence=about.licence,
                ),
            },
        )
        _write_manifest(fresh, manifest)
        try:
            write_card(fresh, manifest, about.limits)
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise BundleError(f"{accuracy}: not the output of mfsa-evaluate: missing {error}") from error
        if (out / LICENCE).is_file():
            shutil.copyfile(out / LICENCE, fresh / LICENCE)


def _read_figures(thresholds: Path, accuracy: Path) -> tuple[Calibration, dict[str, Any]]:
    try:
        calibration = Calibration.model_validate_json(thresholds.read_text(encoding="utf-8"))
        figures = json.loads(accuracy.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise BundleError(f"{thresholds}: not the output of mfsa-threshold: {describe_validation(error)}") from error
    except (OSError, ValueError) as error:
        raise BundleError(
            f"the measured figures cannot be read: {error}; make them with mfsa-threshold and mfsa-evaluate"
        ) from error
    if not isinstance(figures, dict):
        raise BundleError(f"{accuracy}: not the output of mfsa-evaluate for one model")
    return calibration, figures


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` when the block has ended well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        yield fresh
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)


def make(out: Path, base: Path, *, replace: bool) -> str:
    """Make a complete bundle: `base` and the detector from its package. Whole or not at all; what `check` says of it.

    Raises BundleError.
    """
    if out.exists() and not replace:
        raise BundleError(f"{out} exists: add --replace to make it anew, or name another folder")
    manifest = read_manifest(base)
    with _whole_folder(out) as fresh:
        for name in (*manifest.files, LICENCE, CARD):
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
        return check(fresh)


def check(path: Path) -> str:
    """Digests, and the embedder against its own parity chips; one line for people. Raises BundleError."""
    bundle = open_bundle(path, PREPROCESSING)
    with np.load(path / PARITY, allow_pickle=False) as archive:
        chips = archive["chips"]
        expected = {name: archive[name] for name in ("embedding", "attention", "mask_worn")}
    parity = check_parity(bundle.embedder_path, chips, expected)
    if not parity.ok:
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
    packing.add_argument("--licence", required=True, help="of the weights, in a line; a LICENSE in the folder is kept")
    packing.add_argument("--limits", type=Path, help="Markdown file with further limits for the model card")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = _parse(argv)

    def making() -> str:
        return f"{args.out}: {make(args.out, args.base or reference(), replace=args.replace)}"

    def packing() -> str:
        limits = args.limits.read_text(encoding="utf-8") if args.limits else ""
        about = Description(args.name, args.data, args.licence, limits)
        pack(args.out, args.embedder, args.thresholds, args.accuracy, about)
        return f"{args.out}: packed; complete it with: mfsa-bundle make OUT --from {args.out}"

    def command() -> int:
        commands: dict[str, Callable[[], str]] = {"make": making, "check": lambda: check(args.bundle), "pack": packing}
        print(commands[args.command]())
        return common.DONE

    return common.run("mfsa-bundle", command)


if __name__ == "__main__":
    sys.exit(main())
