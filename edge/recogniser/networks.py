"""Networks of a terminal, in the engine and precision of its configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge.bundle import (
    DETECTOR_SIZES,
    EMBEDDER_NETWORK,
    EXPLANATION,
    LIVENESS,
    Bundle,
    Calibration,
    detector_network,
    open_bundle,
    plan_file,
)
from edge.chip import PREPROCESSING, SIZE
from edge.config import TerminalConfig
from edge.config.policy import LayeredLivenessConfig
from edge.config.recognition import AutoEngineConfig, DetectorConfig, OrtEngineConfig
from edge.engine import Engine, open_engine
from edge.engine.sidecar import PlanRequirements
from edge.engine.trt import open_plan
from edge.errors import ConfigError, EngineError
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.face.explanation import Explainer
from edge.values import Precision

log = logging.getLogger(__name__)

EngineWrapper = Callable[[Engine, str], Engine]
DETECTOR, EMBEDDER = "detector", "embedder"


@dataclass(frozen=True, eq=False)
class TerminalNetworks:
    """Networks that a terminal recognises faces with."""

    bundle: Bundle
    detector: FaceDetector
    embedder: Embedder
    engine: str  # ort or trt
    precision: Precision  # of the embedder
    fallback: str = ""  # why the preferred engine is not used
    passive: Engine | None = None  # network of the liveness layer `passive`, if configured

    @property
    def calibration(self) -> Calibration:
        """The thresholds measured with this precision."""
        return self.bundle.calibration(self.precision)

    def close(self) -> None:
        """Release the engines; the memory of a GPU is not released in time otherwise."""
        for part in (self.detector, self.embedder, self.passive):
            if part is not None:
                part.close()

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}" + (
            f" (instead of trt: {self.fallback})" if self.fallback else ""
        )


def open_networks(
    config: TerminalConfig, wrap: EngineWrapper = lambda engine, role: engine
) -> TerminalNetworks:
    """Open the networks of a config's bundle; `wrap` may wrap each engine, by its role.

    ONNX Runtime replaces TensorRT only if the config allows it. Raises BundleError, EngineError.
    """
    bundle, engine = open_bundle(config.bundle, PREPROCESSING), config.engine
    if isinstance(engine, OrtEngineConfig):
        return _with_ort(config, bundle, engine.precision, engine.threads, wrap)
    try:
        return _with_trt(config, bundle, engine.precision, wrap)
    except EngineError as error:
        if not isinstance(engine, AutoEngineConfig) or not engine.allow_ort:
            raise
        log.warning("TensorRT cannot be used, ONNX Runtime is used instead: %s", error)
        return _with_ort(config, bundle, "fp32", engine.threads, wrap, fallback=str(error))


def _with_ort(
    config: TerminalConfig,
    bundle: Bundle,
    precision: Precision,
    threads: int,
    wrap: EngineWrapper,
    *,
    fallback: str = "",
) -> TerminalNetworks:
    bundle.calibration(precision)  # raises if this precision has no thresholds
    detectors = {
        size: wrap(
            open_engine(bundle.onnx_path(detector_network(size), "fp32"), threads=threads), DETECTOR
        )
        for size in _sizes(config.detector)
    }
    embedder = wrap(
        open_engine(bundle.onnx_path(EMBEDDER_NETWORK, precision), threads=threads), EMBEDDER
    )
    return _networks(config, bundle, detectors, embedder, "ort", precision, fallback)


def _with_trt(
    config: TerminalConfig, bundle: Bundle, precision: Precision, wrap: EngineWrapper
) -> TerminalNetworks:
    bundle.calibration(precision)  # raises if this precision has no thresholds
    sizes = _sizes(config.detector)
    plans: list[tuple[str, Precision]] = [
        (detector_network(size), "fp16" if precision == "int8" else precision) for size in sizes
    ]
    engines: list[Engine] = []
    try:
        for network, form in [*plans, (EMBEDDER_NETWORK, precision)]:
            calibrated = bundle.calibration(form).embedder if network == EMBEDDER_NETWORK else ""
            wanted = PlanRequirements(
                network,
                form,
                bundle.digest(network),
                bundle.plan_sources(network, form),
                calibrated,
            )
            engines.append(open_plan(bundle.path / plan_file(network, form), wanted))
    except EngineError:
        for engine in engines:
            engine.close()
        raise
    detectors = {
        size: wrap(engine, DETECTOR) for size, engine in zip(sizes, engines[:-1], strict=True)
    }
    return _networks(config, bundle, detectors, wrap(engines[-1], EMBEDDER), "trt", precision, "")


def _sizes(config: DetectorConfig) -> tuple[str, ...]:
    """Return the input sizes that are needed; the smallest is also for close searches."""
    smallest = DETECTOR_SIZES[-1]
    return (
        DETECTOR_SIZES
        if config.input_size == "auto"
        else tuple(dict.fromkeys((config.input_size, smallest)))
    )


def _networks(
    config: TerminalConfig,
    bundle: Bundle,
    detectors: Mapping[str, Engine],
    embedder: Engine,
    engine: str,
    precision: Precision,
    fallback: str,
) -> TerminalNetworks:
    checked = Embedder(embedder)
    _check_outputs(bundle, checked)
    return TerminalNetworks(
        bundle,
        FaceDetector(
            detectors,
            config.detector.min_score,
            weak_score=min(config.detector.min_score, config.detector.min_score_tracked),
            full_frame_size=None
            if config.detector.input_size == "auto"
            else config.detector.input_size,
        ),
        checked,
        engine,
        precision,
        fallback,
        _passive(config, bundle),
    )


def _check_outputs(bundle: Bundle, embedder: Embedder) -> None:
    """Raise EngineError if the embedder's outputs have other shapes than in the manifest."""
    probe = embedder.embed(np.full((1, SIZE, SIZE, 3), 128, np.uint8))[0]
    found = (*probe.embedding.shape, *probe.attention.shape)
    wanted = (bundle.manifest.embedding, *bundle.manifest.attention)
    if found != wanted:
        raise EngineError(
            f"{bundle.path}: embedding and attention of the embedder have the shape {found}, "
            f"expected {wanted} by the manifest; make the bundle again with mfsa-bundle"
        )


def _passive(config: TerminalConfig, bundle: Bundle) -> Engine | None:
    """Open the bundle's liveness network, if configured; raises ConfigError if there is none."""
    if not isinstance(config.liveness, LayeredLivenessConfig) or not config.liveness.passive:
        return None
    if bundle.manifest.liveness is None:
        raise ConfigError(
            f"liveness.passive: {bundle.path} holds no {LIVENESS}; add one with mfsa-bundle make "
            "--liveness, or leave it out"
        )
    return open_engine(bundle.path / LIVENESS, threads=1)


def open_explainer(bundle: Bundle) -> Explainer | None:
    """Open the bundle's explanation, None if it has none.

    It runs in FP32 by ONNX Runtime, whatever the engine. Raises EngineError.
    """
    if EXPLANATION not in bundle.manifest.files:
        return None
    path = bundle.checked_path(EXPLANATION, EMBEDDER_NETWORK)
    return Explainer(open_engine(path, threads=1))
