"""Complete a packed bundle with the detector and half-precision networks, and check bundles."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import ValidationError

from calibration.prelu import has_prelu, join_prelu
from edge.bundle import (
    DETECTOR_SIZES,
    EMBEDDER,
    EMBEDDER_NETWORK,
    EMBEDDER_PRELU,
    LIVENESS,
    SCENE,
    BundledFile,
    BundledLiveness,
    Manifest,
    check_files,
    detector_network,
    file_digest,
    onnx_file,
    open_bundle,
    read_manifest,
)
from edge.bundle_files import read_file
from edge.bundle_use import assess_use, check_commercial
from edge.chip import PREPROCESSING
from edge.config.recognition import DetectorConfig
from edge.engine import open_engine
from edge.errors import BundleError, EngineError
from edge.face.detect import FaceDetector, open_detector
from edge.face.liveness import LivenessFrame
from edge.face.liveness.passive import PassiveLiveness
from edge.provenance import UNKNOWN_LICENCE, ProvenanceEntry
from edge.values import Face, Pose, Precision
from export import detector
from export.bundle_writer import (
    LICENCE,
    atomic_folder,
    converted_network,
    require_passed,
    write_manifest,
)
from export.detector_parity import check_detector, detect_faces
from export.model_card import CARD_FILE as CARD
from export.onnx_transforms import to_fp16
from export.packing import read_digest
from export.parity import check_parity
from export.parity_data import load_parity, portrait_chips, portrait_scene
from export.provenance_file import read_provenance


def reference_bundle() -> Path:
    """Return the folder of the reference bundle in this package, which lacks the detector."""
    return Path(str(files("edge"))) / "models" / "reference"


@dataclass(frozen=True)
class LivenessNetwork:
    """Liveness network of another party; none is shipped."""

    file: Path
    threshold: float
    licence: str
    provenance: Path | None = None  # YAML file; None: unknown


def make_bundle(
    out: Path,
    base: Path,
    *,
    replace: bool,
    passive: LivenessNetwork | None = None,
    commercial: bool = False,
) -> str:
    """Make a complete bundle atomically from `base` and return the lines of `check_bundle`.

    Adds the detector from its package, half-precision networks, and an optional liveness network.
    `commercial`: refuse a bundle whose provenance list does not permit commercial use. Raises
    BundleError.
    """
    if out.exists() and not replace:
        raise BundleError(f"{out} exists; add --replace, or name another folder")
    manifest = read_manifest(base)
    check_files(base, manifest)
    manifest = manifest.model_copy(update={"provenance": _provenance(manifest, passive)})
    if commercial:
        check_commercial(out, manifest)
    with atomic_folder(out) as fresh:
        for name in (*manifest.files, LICENCE, CARD):
            if name in manifest.files or (base / name).exists():
                (fresh / name).write_bytes(read_file(base / name))
        entries = {**manifest.files, **_detectors(fresh)}
        for form in _embedder_forms(fresh, has_int8=manifest.int8 is not None):
            onnx.save(form.model, fresh / form.name)
            entries[form.name] = converted_network(
                fresh,
                form.name,
                form.origin,
                form.precision,
                manifest.licence,
                reference=entries[EMBEDDER].sha256,
            )
        liveness = manifest.liveness
        if passive is not None:
            liveness, entries[LIVENESS] = _passive(fresh, passive)
        write_manifest(fresh, manifest.model_copy(update={"files": entries, "liveness": liveness}))
        return check_bundle(fresh)


@dataclass(frozen=True)
class _Form:
    """Embedder in another form, made from the files of a model."""

    name: str
    precision: Precision
    model: onnx.ModelProto
    origin: str


def _embedder_forms(folder: Path, *, has_int8: bool) -> Iterator[_Form]:
    embedder = join_prelu(onnx.load(folder / EMBEDDER))
    if has_prelu(embedder):
        yield _Form(EMBEDDER_PRELU, "fp32", embedder, f"{EMBEDDER} with PReLU nodes")
    half = onnx_file(EMBEDDER_NETWORK, "fp16")
    yield _Form(half, "fp16", to_fp16(embedder), f"{EMBEDDER} in half precision")
    if has_int8:
        quantised = onnx.load(folder / onnx_file(EMBEDDER_NETWORK, "int8"))
        mixed = onnx_file(EMBEDDER_NETWORK, "int8", fp16_scales=True)
        origin = "the INT8 embedder, the rest in half precision"
        yield _Form(mixed, "int8", to_fp16(quantised), origin)


def _provenance(manifest: Manifest, passive: LivenessNetwork | None) -> tuple[ProvenanceEntry, ...]:
    """Return the provenance list with the networks that are added."""
    added = [detector.PROVENANCE]
    if passive is not None:
        added += _liveness_provenance(passive, read_digest(passive.file))
    roles = {entry.role for entry in added} & {"detector", "liveness"}
    kept = [entry for entry in manifest.provenance if entry.role not in roles]
    return (*kept, *added)


def _liveness_provenance(passive: LivenessNetwork, digest: str) -> Sequence[ProvenanceEntry]:
    if passive.provenance is not None:
        return read_provenance(passive.provenance, digest, role="liveness")
    entry = ProvenanceEntry(
        name=LIVENESS, role="liveness", licence=UNKNOWN_LICENCE, sha256=digest, use="unknown"
    )
    return [entry]


def _passive(folder: Path, passive: LivenessNetwork) -> tuple[BundledLiveness, BundledFile]:
    """Copy the liveness network; raises BundleError if the layer `passive` cannot run it."""
    read_digest(passive.file)
    nobody = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
    try:
        layer = PassiveLiveness(open_engine(passive.file, threads=1), passive.threshold)
        layer.observe(
            LivenessFrame(0.0, portrait_scene(), nobody, portrait_chips()[0], Pose(0, 0, 0))
        )
        liveness = BundledLiveness(threshold=passive.threshold)
    except (EngineError, ValidationError) as error:
        raise BundleError(
            f"{passive.file}: cannot be the bundle's liveness network: {error}"
        ) from error
    shutil.copyfile(passive.file, folder / LIVENESS)
    return liveness, BundledFile(
        sha256=file_digest(folder / LIVENESS), origin=passive.file.name, licence=passive.licence
    )


def _detectors(folder: Path) -> dict[str, BundledFile]:
    """Write the detectors in FP32 and FP16, and the scene for their parity check."""
    original, scene = detector.read_detector(), portrait_scene()
    entries: dict[str, BundledFile] = {}
    found: dict[str, NDArray[np.float32]] = {}
    for size in DETECTOR_SIZES:
        network, origin = (
            detector_network(size),
            f"{detector.ORIGIN}, sha256 {detector.SHA256}, fixed to {size}",
        )
        name, half = onnx_file(network), onnx_file(network, "fp16")
        (folder / name).write_bytes(detector.fix_input_shape(original, size))
        onnx.save(to_fp16(onnx.load(folder / name)), folder / half)
        entries[name] = BundledFile(
            sha256=file_digest(folder / name), origin=origin, licence=detector.LICENCE
        )
        found[network] = detect_faces(_open_network(size, folder / name), scene)
        verdict = check_detector(
            _open_network(size, folder / half), scene, found[network], "fp16",
            judged=file_digest(folder / half), reference=entries[name].sha256,
        )  # fmt: skip
        entries[half] = BundledFile(
            sha256=verdict.judged,
            origin=f"{origin}, in half precision",
            licence=detector.LICENCE,
            verdict=require_passed(half, verdict),
        )
    np.savez_compressed(folder / SCENE, scene=scene, **found)  # type: ignore[arg-type]
    entries[SCENE] = BundledFile(
        sha256=file_digest(folder / SCENE),
        origin="two public-domain portraits and what the detectors find",
        licence="public domain",
    )
    (folder / "LICENSE.detector").write_text(detector.licence_text(), encoding="utf-8")
    return entries


def _open_network(size: str, model: Path) -> FaceDetector:
    return open_detector({size: model}, min_score=DetectorConfig().min_score, threads=1)


def check_bundle(path: Path, *, commercial: bool = False) -> str:
    """Check digests and the embedder against its parity chips; return two lines for people.

    The second line is the permitted use; `commercial`: refuse a bundle without commercial use.
    Raises BundleError.
    """
    bundle = open_bundle(path, PREPROCESSING)
    if commercial:
        check_commercial(path, bundle.manifest)
    chips, expected = load_parity(path)
    parity = check_parity(path / EMBEDDER, chips, expected)
    if not parity.is_rounding_only:
        raise BundleError(
            f"{path}: the embedder does not reproduce its outputs on this machine: {parity}; "
            "make the bundle again"
        )
    forms = [
        name
        for name, entry in bundle.manifest.files.items()
        if entry.verdict is not None and entry.verdict.passed
    ]
    passed = ", ".join(forms) or "none"
    return (
        f"{bundle.manifest.name}: digests match, {parity}; files that passed the gate: {passed}\n"
        f"use: {assess_use(bundle.manifest)}"
    )
