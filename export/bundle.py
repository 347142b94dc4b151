"""`mfsa-bundle`: puts a model bundle together, completes it with the detector, and checks one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import ValidationError

from calibration.int8.probe_session import session_with_outputs
from edge.bundle import (
    DETECTOR_SIZES,
    EMBEDDER,
    EMBEDDER_NETWORK,
    EMBEDDER_PRELU,
    LIVENESS,
    MANIFEST,
    PARITY,
    SCENE,
    SCHEMA,
    BundledFile,
    BundledLiveness,
    Calibration,
    Int8Embedder,
    Manifest,
    ParityResult,
    check_files,
    detector_network,
    file_digest,
    onnx_file,
    open_bundle,
    prelu_form,
    read_manifest,
)
from edge.bundle_files import read_file
from edge.chip import PREPROCESSING, to_input
from edge.config.recognition import DetectorConfig as DetectorDefaults
from edge.engine import open_engine
from edge.errors import BundleError, EngineError
from edge.face.detect import FaceDetector
from edge.face.liveness import LivenessFrame
from edge.face.liveness.passive import PassiveLiveness
from edge.parsing import parse_json
from edge.system.strict_json import read_json
from edge.values import Face, Pose, Precision
from export import detector
from export.model_card import CARD_FILE as CARD
from export.model_card import PROTOCOLS, not_measured, write_card
from export.onnx_transforms import to_fp16, widen_to_fp32
from export.parity import (
    accuracy_loss,
    check_detector,
    check_embedder,
    check_parity,
    comparable,
    detect_faces,
    load_parity,
    portrait_chips,
    portrait_scene,
    run_chips,
)
from export.version import code_version

LICENCE = "LICENSE"


def reference_bundle() -> Path:
    """The reference bundle that ships with the package: our own weights, without the detector."""
    return Path(str(files("edge"))) / "models" / "reference"


@dataclass(frozen=True)
class ModelDescription:
    """What people say of a model, beside what is measured."""

    name: str
    data: str  # what it was trained on
    licence: str  # of the weights, in a line
    limits: str = ""  # further paragraphs for the model card


@dataclass(frozen=True)
class MeasuredEmbedder:
    """An embedder in one precision and the files that tell what was measured of it."""

    embedder: Path
    thresholds: Path
    accuracy: Path

    def figures(self) -> tuple[str, Calibration, dict[str, Any]]:
        """Return the embedder's digest and figures; raises BundleError with the missing step."""
        digest = _digest(self.embedder)
        calibration = _read_calibration(self.thresholds, self.embedder)
        if calibration.embedder != digest:
            raise BundleError(
                f"{self.thresholds}: measured on another embedder than {self.embedder}; "
                f"measure this one: {threshold_command(self.embedder, self.thresholds)}"
            )
        return digest, calibration, _read_accuracy(self.accuracy, self.embedder, digest)


def threshold_command(embedder: Path, out: Path | str) -> str:
    return f"mfsa-threshold --embedder {embedder} --chips CHIPS --out {out}"


def _evaluate_command(models: str, out: Path) -> str:
    return f"mfsa-evaluate {models} --pairs auto --chips CHIPS --people CHIPS --json {out}"


def pack_bundle(
    out: Path,
    model: MeasuredEmbedder,
    about: ModelDescription,
    int8: MeasuredEmbedder | None = None,
) -> None:
    """Make a bundle without detector from a trained embedder and what was measured of it, whole or not at all.

    Raises BundleError, also where a figure was measured on another embedder, or the gate refuses the INT8 form.
    """
    digest, calibration, accuracy = model.figures()
    quantised = int8.figures() if int8 is not None else None
    if int8 is not None and quantised is not None:
        _check_loss(model, int8, accuracy, quantised[2])
    made_by = code_version()
    with _atomic_folder(out) as fresh:
        shutil.copyfile(model.embedder, fresh / EMBEDDER)
        chips = portrait_chips()
        outputs = run_chips(open_engine(fresh / EMBEDDER, threads=1), to_input(chips))
        np.savez_compressed(fresh / PARITY, chips=chips, **outputs)  # type: ignore[arg-type]
        files = {
            EMBEDDER: BundledFile(
                sha256=digest, origin="trained with this project", licence=about.licence
            ),
            PARITY: BundledFile(
                sha256=file_digest(fresh / PARITY),
                origin="chips of two public-domain portraits and their outputs",
                licence=about.licence,
            ),
        }
        if (whole := prelu_form(model.embedder)).is_file():
            shutil.copyfile(whole, fresh / EMBEDDER_PRELU)
            files[EMBEDDER_PRELU] = _form(
                fresh,
                EMBEDDER_PRELU,
                "trained with this project, PReLU whole",
                "fp32",
                about.licence,
                reference=digest,
            )
        if int8 is not None:
            name = onnx_file(EMBEDDER_NETWORK, "int8")
            shutil.copyfile(int8.embedder, fresh / name)
            files[name] = _form(
                fresh, name, f"{EMBEDDER} by mfsa-quantize", "int8", about.licence, reference=digest
            )
        manifest = Manifest(
            schema_version=SCHEMA,
            name=about.name,
            preprocessing=PREPROCESSING,
            embedding=int(outputs["embedding"].shape[1]),
            attention=outputs["attention"].shape[1:],
            calibration=calibration,
            accuracy=accuracy,
            not_measured=not_measured(accuracy),
            int8=_quantised(int8.embedder, *quantised[1:])
            if int8 is not None and quantised is not None
            else None,
            data=about.data,
            licence=about.licence,
            code_version=made_by,
            files=files,
        )
        _write_manifest(fresh, manifest)
        try:
            write_card(fresh, manifest, about.limits)
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise BundleError(
                f"{model.accuracy}: not the output of mfsa-evaluate: {error} is missing; "
                "make it again: "
                f"{_evaluate_command(str(model.embedder), model.accuracy)}"
            ) from error
        if (out / LICENCE).exists():
            (fresh / LICENCE).write_bytes(read_file(out / LICENCE))


def _quantised(path: Path, calibration: Calibration, accuracy: dict[str, Any]) -> Int8Embedder:
    told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    try:
        return Int8Embedder(
            calibration=calibration,
            accuracy=accuracy,
            chips=told["int8_calibration"],
            ranges=told["int8_ranges"],
            float_layers=tuple(filter(None, told["int8_float_layers"].split(","))),
        )
    except KeyError as error:
        raise BundleError(f"{path}: not the output of mfsa-quantize: it lacks {error}") from error


def _digest(path: Path) -> str:
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
    if not comparable(before, after):
        both = f"fp32={model.embedder} int8={int8.embedder}"
        raise BundleError(
            f"{int8.embedder}: what INT8 loses was not measured; measure both forms on the same "
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
    if not named or len(not_measured(named[0])) == len(PROTOCOLS):
        raise BundleError(f"{path}: not the output of mfsa-evaluate; {again}")
    return named[0]


def _form(
    folder: Path, name: str, origin: str, precision: Precision, licence: str, *, reference: str
) -> BundledFile:
    """The manifest's entry of an embedder in another precision, with the gate's verdict; raises BundleError where it is refused.

    INT8 with half-precision scales is for TensorRT alone: its numbers are judged in FP32 arithmetic.
    """
    chips, expected = load_parity(folder)
    digest = file_digest(folder / name)
    model = onnx.load(folder / name)
    with session_with_outputs(
        widen_to_fp32(model)
        if name == onnx_file(EMBEDDER_NETWORK, "int8", fp16_scales=True)
        else model
    ) as engine:
        verdict = check_embedder(
            engine, chips, expected, precision, judged=digest, reference=reference
        )
    return BundledFile(
        sha256=digest, origin=origin, licence=licence, verdict=_passed(name, verdict)
    )


def _passed(name: str, verdict: ParityResult) -> ParityResult:
    if not verdict.passed:
        raise BundleError(f"{name}: the parity gate refuses it: {verdict.reason}")
    return verdict


@contextmanager
def _atomic_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` when the block has ended well.

    Raises BundleError where `out` is something else than a bundle: that is nobody's to replace.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out}: is there and is no bundle; name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        yield fresh
        old = Path(scratch) / "old"
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise


@dataclass(frozen=True)
class LivenessNetwork:
    """A liveness network that somebody brings: none is shipped."""

    file: Path
    threshold: float
    licence: str


def make_bundle(
    out: Path, base: Path, *, replace: bool, passive: LivenessNetwork | None = None
) -> str:
    """Make a complete bundle: `base`, the detector from its package, half-precision forms of all networks, and maybe a liveness
    network.

    Whole or not at all; what `check` says of it. Raises BundleError.
    """
    if out.exists() and not replace:
        raise BundleError(f"{out} exists: add --replace to make it anew, or name another folder")
    manifest = read_manifest(base)
    check_files(base, manifest)
    with _atomic_folder(out) as fresh:
        for name in (*manifest.files, LICENCE, CARD):
            if name in manifest.files or (base / name).exists():
                (fresh / name).write_bytes(read_file(base / name))
        entries = {**manifest.files, **_detectors(fresh)}
        embedder = onnx.load(fresh / (EMBEDDER_PRELU if EMBEDDER_PRELU in entries else EMBEDDER))
        forms: list[tuple[str, Precision, onnx.ModelProto]] = [
            (onnx_file(EMBEDDER_NETWORK, "fp16"), "fp16", embedder)
        ]
        if manifest.int8 is not None:
            quantised = onnx.load(fresh / onnx_file(EMBEDDER_NETWORK, "int8"))
            forms.append((onnx_file(EMBEDDER_NETWORK, "int8", fp16_scales=True), "int8", quantised))
        for name, precision, source in forms:
            onnx.save(to_fp16(source), fresh / name)
            origin = (
                f"{EMBEDDER} in half precision"
                if precision == "fp16"
                else "the INT8 embedder, the rest in half precision"
            )
            entries[name] = _form(
                fresh, name, origin, precision, manifest.licence, reference=entries[EMBEDDER].sha256
            )
        liveness = manifest.liveness
        if passive is not None:
            liveness, entries[LIVENESS] = _passive(fresh, passive)
        _write_manifest(fresh, manifest.model_copy(update={"files": entries, "liveness": liveness}))
        return check_bundle(fresh)


def _passive(folder: Path, passive: LivenessNetwork) -> tuple[BundledLiveness, BundledFile]:
    """Raises BundleError where the network does not run or is not of the form that the layer `passive` wants."""
    _digest(passive.file)
    nobody = Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
    try:
        layer = PassiveLiveness(open_engine(passive.file, threads=1), passive.threshold)
        layer.observe(
            LivenessFrame(0.0, portrait_scene(), nobody, portrait_chips()[0], Pose(0, 0, 0))
        )
        told = BundledLiveness(threshold=passive.threshold)
    except (EngineError, ValidationError) as error:
        raise BundleError(
            f"{passive.file}: cannot be the bundle's liveness network: {error}"
        ) from error
    shutil.copyfile(passive.file, folder / LIVENESS)
    return told, BundledFile(
        sha256=file_digest(folder / LIVENESS), origin=passive.file.name, licence=passive.licence
    )


def _detectors(folder: Path) -> dict[str, BundledFile]:
    """Write the detectors, their half-precision forms and the scene that tells whether an engine finds the same faces."""
    original, scene = detector.source(), portrait_scene()
    entries: dict[str, BundledFile] = {}
    found: dict[str, NDArray[np.float32]] = {}
    for size in DETECTOR_SIZES:
        network, origin = (
            detector_network(size),
            f"{detector.ORIGIN}, sha256 {detector.SHA256}, fixed to {size}",
        )
        name, half = onnx_file(network), onnx_file(network, "fp16")
        (folder / name).write_bytes(detector.fixed_shape(original, size))
        onnx.save(to_fp16(onnx.load(folder / name)), folder / half)
        entries[name] = BundledFile(
            sha256=file_digest(folder / name), origin=origin, licence=detector.LICENCE
        )
        found[network] = detect_faces(_open_detector(folder / name, size), scene)
        verdict = check_detector(
            _open_detector(folder / half, size), scene, found[network], "fp16",
            judged=file_digest(folder / half), reference=entries[name].sha256,
        )  # fmt: skip
        entries[half] = BundledFile(
            sha256=verdict.judged,
            origin=f"{origin}, in half precision",
            licence=detector.LICENCE,
            verdict=_passed(half, verdict),
        )
    np.savez_compressed(folder / SCENE, scene=scene, **found)  # type: ignore[arg-type]
    entries[SCENE] = BundledFile(
        sha256=file_digest(folder / SCENE),
        origin="two public-domain portraits and what the detectors find",
        licence="public domain",
    )
    (folder / "LICENSE.detector").write_text(detector.licence_text(), encoding="utf-8")
    return entries


def _open_detector(path: Path, size: str) -> FaceDetector:
    return FaceDetector({size: open_engine(path, threads=1)}, DetectorDefaults().min_score)


def check_bundle(path: Path) -> str:
    """Digests, and the embedder against its own parity chips; one line for people. Raises BundleError."""
    bundle = open_bundle(path, PREPROCESSING)
    chips, expected = load_parity(path)
    parity = check_parity(path / EMBEDDER, chips, expected)
    if not parity.ok:
        raise BundleError(f"{path}: the embedder does not reproduce its own outputs here: {parity}")
    forms = [
        name
        for name, entry in bundle.manifest.files.items()
        if entry.verdict is not None and entry.verdict.passed
    ]
    return f"{bundle.manifest.name}: digests match, {parity}; forms that passed the gate: {', '.join(forms) or 'none'}"


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
