"""Pack a bundle without detector from a trained embedder and its measurements."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edge.bundle import (
    COMPATIBLE_MAX,
    EMBEDDER,
    EMBEDDER_NETWORK,
    EXPLANATION,
    PARITY,
    SCHEMA,
    BundledFile,
    Calibration,
    Int8Embedder,
    Manifest,
    file_digest,
    onnx_file,
)
from edge.bundle_files import read_file
from edge.bundle_use import check_commercial
from edge.chip import PREPROCESSING, to_input
from edge.engine import open_engine
from edge.errors import BundleError, EngineError
from edge.parsing import parse_json
from edge.system.strict_json import read_json
from export.bundle_writer import (
    LICENCE,
    atomic_folder,
    converted_network,
    require_passed,
    write_manifest,
)
from export.explanation_parity import check_explanation
from export.model_card import PROTOCOLS, missing_protocols, write_card
from export.parity import Outputs, accuracy_loss, is_comparable, run_chips
from export.parity_data import portrait_chips
from export.provenance_file import read_provenance
from export.version import code_version


@dataclass(frozen=True)
class ModelDescription:
    """Description of a model by its authors."""

    name: str
    data: str  # training data
    licence: str  # of the weights, one line
    limits: str = ""  # further paragraphs for the model card
    provenance: Path | None = None  # YAML file; None: unknown
    compatible_with: tuple[str, ...] = ()  # digests of embedders whose templates are accepted


@dataclass(frozen=True)
class MeasuredEmbedder:
    """Embedder in one precision with the files of its measurements."""

    embedder: Path
    thresholds: Path
    accuracy: Path

    def figures(self) -> tuple[str, Calibration, dict[str, Any]]:
        """Return the embedder's digest and figures; raises BundleError with the missing step."""
        digest = read_digest(self.embedder)
        calibration = _read_calibration(self.thresholds, self.embedder)
        if calibration.embedder != digest:
            raise BundleError(
                f"{self.thresholds}: measured on another embedder than {self.embedder}; "
                f"measure this one: {threshold_command(self.embedder, self.thresholds)}"
            )
        return digest, calibration, _read_accuracy(self.accuracy, self.embedder, digest)


def threshold_command(embedder: Path, out: Path | str) -> str:
    return f"mfsa-threshold --embedder {embedder} --chips CHIPS --real-masks CHIPS --out {out}"


def _evaluate_command(models: str, out: Path) -> str:
    return f"mfsa-evaluate {models} --pairs auto --chips CHIPS --people CHIPS --json {out}"


def pack_bundle(
    out: Path,
    model: MeasuredEmbedder,
    about: ModelDescription,
    int8: MeasuredEmbedder | None = None,
    *,
    explanation: Path | None = None,
    commercial: bool = False,
) -> None:
    """Pack a bundle without detector atomically.

    `explanation` is the ONNX file of mfsa-export --explanation for the same checkpoint.
    `commercial`: refuse a bundle whose provenance list does not permit commercial use. Raises
    BundleError, also if figures belong to another embedder or the gate refuses a file.
    """
    digest, calibration, accuracy = model.figures()
    provenance = read_provenance(about.provenance, digest) if about.provenance else ()
    _check_compatible(about.compatible_with, digest)
    int8_part = _read_int8(model, int8, accuracy) if int8 is not None else None
    made_by = code_version()  # before files are written, which could make the checkout dirty
    with atomic_folder(out) as folder:
        files, outputs = _write_networks(folder, model, int8, about, digest)
        if explanation is not None:
            files[EXPLANATION] = _copy_explanation(folder, explanation, outputs, about, digest)
        manifest = Manifest(
            schema_version=SCHEMA,
            name=about.name,
            preprocessing=PREPROCESSING,
            embedding=int(outputs["embedding"].shape[1]),
            attention=outputs["attention"].shape[1:],
            calibration=calibration,
            accuracy=accuracy,
            not_measured=missing_protocols(accuracy),
            int8=int8_part,
            data=about.data,
            licence=about.licence,
            provenance=provenance,
            compatible_with=about.compatible_with,
            code_version=made_by,
            files=files,
        )
        if commercial:
            check_commercial(out, manifest)
        write_manifest(folder, manifest)
        _write_card(folder, manifest, model, about.limits)
        if (out / LICENCE).exists():
            (folder / LICENCE).write_bytes(read_file(out / LICENCE))


def _check_compatible(digests: tuple[str, ...], own: str) -> None:
    """Raise BundleError for a list that repeats a digest or has the embedder's own."""
    repeated = {digest for digest in digests if digests.count(digest) > 1}
    for digest, why in (*((digest, "given twice") for digest in repeated), (own, "the embedder's")):
        if digest in digests:
            raise BundleError(
                f"--compatible-with {digest[:12]}...: {why}; name each other embedder once"
            )
    if len(digests) > COMPATIBLE_MAX:
        raise BundleError(
            f"--compatible-with: {len(digests)} digests, at most {COMPATIBLE_MAX} are accepted"
        )


def _write_networks(
    folder: Path,
    model: MeasuredEmbedder,
    int8: MeasuredEmbedder | None,
    about: ModelDescription,
    digest: str,
) -> tuple[dict[str, BundledFile], Outputs]:
    """Write the embedders and parity.npz; return their entries and the FP32 outputs."""
    shutil.copyfile(model.embedder, folder / EMBEDDER)
    chips = portrait_chips()
    outputs = run_chips(open_engine(folder / EMBEDDER, threads=1), to_input(chips))
    np.savez_compressed(folder / PARITY, chips=chips, **outputs)  # type: ignore[arg-type]
    entries = {
        EMBEDDER: BundledFile(
            sha256=digest, origin="trained with this project", licence=about.licence
        ),
        PARITY: BundledFile(
            sha256=file_digest(folder / PARITY),
            origin="chips of two public-domain portraits and their outputs",
            licence=about.licence,
        ),
    }
    if int8 is not None:
        name = onnx_file(EMBEDDER_NETWORK, "int8")
        shutil.copyfile(int8.embedder, folder / name)
        origin = f"{EMBEDDER} by mfsa-quantize"
        entries[name] = converted_network(
            folder, name, origin, "int8", about.licence, reference=digest
        )
    return entries, outputs


def _copy_explanation(
    folder: Path, source: Path, outputs: Outputs, about: ModelDescription, digest: str
) -> BundledFile:
    """Copy the explanation; raises BundleError if it is of another embedder."""
    judged = read_digest(source)
    shutil.copyfile(source, folder / EXPLANATION)
    try:
        verdict = check_explanation(
            open_engine(folder / EXPLANATION, threads=1),
            portrait_chips(),
            outputs["embedding"],
            judged=judged,
            reference=digest,
        )
    except EngineError as error:
        raise BundleError(f"{source}: cannot explain scores: {error}") from error
    return BundledFile(
        sha256=judged,
        origin="mfsa-export --explanation",
        licence=about.licence,
        verdict=require_passed(str(source), verdict),
    )


def _write_card(folder: Path, manifest: Manifest, model: MeasuredEmbedder, limits: str) -> None:
    try:
        write_card(folder, manifest, limits)
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise BundleError(
            f"{model.accuracy}: not the output of mfsa-evaluate: {error} is missing; make it "
            f"again: {_evaluate_command(str(model.embedder), model.accuracy)}"
        ) from error


def _read_int8(
    model: MeasuredEmbedder, int8: MeasuredEmbedder, accuracy: dict[str, Any]
) -> Int8Embedder:
    """Read the figures of the INT8 embedder; raises BundleError if it loses too much."""
    _, calibration, int8_accuracy = int8.figures()
    _check_loss(model, int8, accuracy, int8_accuracy)
    return _int8_entry(int8.embedder, calibration, int8_accuracy)


def _int8_entry(path: Path, calibration: Calibration, accuracy: dict[str, Any]) -> Int8Embedder:
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    try:
        return Int8Embedder(
            calibration=calibration,
            accuracy=accuracy,
            chips=properties["int8_calibration"],
            ranges=properties["int8_ranges"],
            float_layers=tuple(filter(None, properties["int8_float_layers"].split(","))),
        )
    except KeyError as error:
        raise BundleError(f"{path}: not the output of mfsa-quantize: it lacks {error}") from error


def read_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); export it with mfsa-export"
        ) from error


def _check_loss(
    model: MeasuredEmbedder, int8: MeasuredEmbedder, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Raise BundleError if INT8 loses too much, or the loss was not measured."""
    if not is_comparable(before, after):
        both = f"fp32={model.embedder} int8={int8.embedder}"
        raise BundleError(
            f"{int8.embedder}: the loss by INT8 was not measured; measure both on the same "
            f"pairs: {_evaluate_command(both, model.accuracy)}; or pack without --int8"
        )
    if lost := accuracy_loss(before, after):
        raise BundleError(
            f"{int8.embedder}: {lost}; quantise again with --keep-ends-float or a higher "
            "--bound, or pack without --int8"
        )


def _read_calibration(path: Path, embedder: Path) -> Calibration:
    again = f"make it: {threshold_command(embedder, path)}"
    try:
        return parse_json(Calibration, path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); {again}") from error
    except ValueError as error:
        raise BundleError(f"{path}: not the output of mfsa-threshold: {error}; {again}") from error


def _read_accuracy(path: Path, embedder: Path, digest: str) -> dict[str, Any]:
    """Return the figures of the embedder with this digest from a file of one or more models."""
    again = f"make it: {_evaluate_command(str(embedder), path)}"
    try:
        figures = read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); {again}") from error
    found = figures.get("models", {"": figures}) if isinstance(figures, dict) else None
    if not isinstance(found, dict):
        raise BundleError(f"{path}: not the output of mfsa-evaluate; {again}")
    models = [part for part in found.values() if isinstance(part, dict)]
    named = [part for part in models if part.get("embedder") == digest]
    if not named and any("embedder" in part for part in models):
        raise BundleError(
            f"{path}: measured on another embedder than {embedder}; measure all forms in one run: "
            f"{_evaluate_command(f'fp32=EMBEDDER int8=INT8 (one of them {embedder})', path)}"
        )
    if not named or len(missing_protocols(named[0])) == len(PROTOCOLS):
        raise BundleError(f"{path}: not the output of mfsa-evaluate; {again}")
    return named[0]
