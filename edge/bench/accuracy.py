"""Accuracy of a network by precision, from the bundle, shown next to its speed."""

from __future__ import annotations

from typing import Any

from edge.bench.quantities import Accuracy
from edge.bundle import EMBEDDER_NETWORK, Bundle, ParityResult, onnx_file, plan_file
from edge.engine.sidecar import read_sidecar
from edge.recogniser.networks import TerminalNetworks
from edge.values import Precision


def accuracy_in_use(networks: TerminalNetworks) -> Accuracy:
    """Return the accuracy of the configured embedder.

    Raises EngineError if a sidecar is unreadable.
    """
    bundle, precision = networks.bundle, networks.precision
    plan = bundle.path / plan_file(EMBEDDER_NETWORK, precision)
    verdict = read_sidecar(plan).verdict if networks.engine == "trt" else None
    return accuracy_of(bundle, EMBEDDER_NETWORK, precision, verdict)


def accuracy_of(
    bundle: Bundle, network: str, precision: Precision, verdict: ParityResult | None = None
) -> Accuracy:
    """Return the accuracy of an ONNX file of the bundle, or of a plan with its own `verdict`."""
    if verdict is None and precision != "fp32":
        entry = bundle.manifest.files.get(onnx_file(network, precision))
        verdict = entry.verdict if entry else None
    tar, of = _masked_tar(bundle, precision) if network == EMBEDDER_NETWORK else (None, None)
    return Accuracy(
        parity=_words(verdict, precision),
        parity_passed=precision == "fp32" if verdict is None else verdict.passed,
        masked_tar=tar,
        masked_tar_of=of,
    )


def _words(verdict: ParityResult | None, precision: Precision) -> str:
    if verdict is None:
        return (
            "the FP32 reference itself"
            if precision == "fp32"
            else "never compared with the FP32 network"
        )
    if not verdict.passed:
        return f"refused: {verdict.reason}"
    for figure in ("min_cosine", "min_iou"):
        if figure in verdict.figures:
            bound = (
                f" (at least {verdict.figures[f'{figure}_bound']:g})"
                if f"{figure}_bound" in verdict.figures
                else ""
            )
            return f"passed: {figure.replace('_', ' ')} {verdict.figures[figure]:.4f}{bound}"
    return "passed"


def _masked_tar(bundle: Bundle, precision: Precision) -> tuple[float | None, str | None]:
    """Return TAR at FMR 1e-3 (masked probe, unmasked template), and the protocol."""
    measured = (
        bundle.manifest.int8.accuracy
        if precision == "int8" and bundle.manifest.int8
        else bundle.manifest.accuracy
    )
    pairs: dict[str, Any] = measured.get("pairs", {})
    for name, figures in pairs.items():
        tar = figures.get("one_masked", {}).get("tar_at_fmr_0.001")
        if tar is not None:
            own = precision if precision != "fp16" else "fp32, from which fp16 differs by rounding"
            return float(tar), f"{own}, {name}"
    return None, None
