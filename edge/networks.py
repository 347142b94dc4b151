"""The two networks of a terminal, in the engine and precision that its config names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.bundle import EMBEDDER_NETWORK, LIVENESS, Bundle, Calibration, detector_network, open_bundle, plan_file
from edge.chip import PREPROCESSING
from edge.config import Terminal
from edge.config.access import LayeredLiveness
from edge.config.sensing import AutoEngine, OrtEngine
from edge.engine import Engine, open_engine
from edge.engine.sidecar import Wanted
from edge.engine.trt import open_plan
from edge.errors import ConfigError, EngineError
from edge.face.detect import Detector
from edge.face.embed import Embedder
from edge.values import Precision

log = logging.getLogger(__name__)

Wrap = Callable[[Engine], Engine]


@dataclass(frozen=True, eq=False)
class Networks:
    """What a terminal recognises faces with."""

    bundle: Bundle
    detector: Detector
    embedder: Embedder
    engine: str  # ort or trt
    precision: Precision  # of the embedder
    fallback: str = ""  # why it is not the engine that was asked for first
    passive: Engine | None = None  # of the liveness layer of this name, where the config wants it

    @property
    def calibration(self) -> Calibration:
        """The thresholds measured with this precision."""
        return self.bundle.calibration(self.precision)

    def close(self) -> None:
        """Give back what the engines hold; a GPU's memory is not freed by itself in time."""
        for part in (self.detector, self.embedder, self.passive):
            if part is not None:
                part.close()

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}" + (f" (instead of trt: {self.fallback})" if self.fallback else "")


def open_networks(config: Terminal, wrap: Wrap = lambda engine: engine) -> Networks:
    """The checked bundle of a config and its networks; `wrap` may put something around each engine, first the detector's.

    Raises BundleError or EngineError. ONNX Runtime takes the place of TensorRT only where the config allows it.
    """
    bundle, engine = open_bundle(config.bundle, PREPROCESSING), config.engine
    if isinstance(engine, OrtEngine):
        return _with_ort(config, bundle, engine.precision, engine.threads, wrap)
    try:
        return _with_trt(config, bundle, engine.precision, wrap)
    except EngineError as error:
        if not isinstance(engine, AutoEngine) or not engine.allow_ort:
            raise
        log.warning("TensorRT cannot be used, ONNX Runtime takes its place: %s", error)
        return _with_ort(config, bundle, "fp32", engine.threads, wrap, fallback=str(error))


def _with_ort(config: Terminal, bundle: Bundle, precision: Precision, threads: int, wrap: Wrap, *, fallback: str = "") -> Networks:
    bundle.calibration(precision)  # no embedder without thresholds of its own
    detector = wrap(open_engine(bundle.onnx_path(detector_network(config.detector.size), "fp32"), threads=threads))
    embedder = wrap(open_engine(bundle.onnx_path(EMBEDDER_NETWORK, precision), threads=threads))
    return _networks(config, bundle, detector, embedder, "ort", precision, fallback)


def _with_trt(config: Terminal, bundle: Bundle, precision: Precision, wrap: Wrap) -> Networks:
    bundle.calibration(precision)  # no embedder without thresholds of its own
    detector_name = detector_network(config.detector.size)
    plans: tuple[tuple[str, Precision], ...] = (
        (detector_name, "fp16" if precision == "int8" else precision),
        (EMBEDDER_NETWORK, precision),
    )
    engines: list[Engine] = []
    try:
        for network, form in plans:
            calibrated = bundle.calibration(form).embedder if network == EMBEDDER_NETWORK else ""
            wanted = Wanted(network, form, bundle.digest(network), bundle.sources(network, form), calibrated)
            engines.append(open_plan(bundle.path / plan_file(network, form), wanted))
    except EngineError:
        for engine in engines:
            engine.close()
        raise
    return _networks(config, bundle, wrap(engines[0]), wrap(engines[1]), "trt", precision, "")


def _networks(
    config: Terminal, bundle: Bundle, detector: Engine, embedder: Engine, engine: str, precision: Precision, fallback: str
) -> Networks:
    return Networks(
        bundle,
        Detector(detector, config.detector.size, config.detector.min_score),
        Embedder(embedder),
        engine,
        precision,
        fallback,
        _passive(config, bundle),
    )


def _passive(config: Terminal, bundle: Bundle) -> Engine | None:
    """The bundle's liveness network in ONNX Runtime, where the config wants it; raises ConfigError where there is none."""
    if not isinstance(config.liveness, LayeredLiveness) or not config.liveness.passive:
        return None
    if bundle.manifest.liveness is None:
        raise ConfigError(
            f"liveness.passive: {bundle.path} holds no {LIVENESS}; add one with mfsa-bundle make --liveness, or leave it out"
        )
    return open_engine(bundle.path / LIVENESS, threads=1)
