"""Quantise an embedder to INT8; ranges and float layers are chosen by measured cosine."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm

from calibration.chips import ChipFolder
from calibration.faces import check_folder, portrait_views
from calibration.int8.graph import QuantizationPlan, insert_qdq, plan_quantization
from calibration.int8.probe_session import session_with_outputs
from calibration.int8.ranges import METHODS, Histogram, minmax
from calibration.int8.report import QuantizationReport
from calibration.scores import embed_chips
from edge import masks
from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError

FEWEST_CHIPS = 16
PORTRAIT_BOUND = 0.98  # bound of the parity gate, which also compares the portraits
_BATCH = 16
SENSITIVITY_CHIPS = 64
CLEAN, MASKED, PORTRAITS = "clean", "masked", "portraits"

Chips = NDArray[np.uint8]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ChipVariants:
    """The same faces, bare and masked (N,112,112,3)."""

    by_kind: Mapping[str, Chips]

    @classmethod
    def read(cls, folder: ChipFolder, rows: Iterable[int]) -> ChipVariants:
        chosen = list(rows)
        bare = [folder.chip(i) for i in chosen]
        worn = [
            masks.draw_protocol(chip, folder.names[i])[0]
            for chip, i in zip(bare, chosen, strict=True)
        ]
        return cls({CLEAN: np.stack(bare), MASKED: np.stack(worn)})

    def spread(self, count: int) -> list[int]:
        """Return `count` evenly spaced rows."""
        rows = np.linspace(0, len(self.by_kind[CLEAN]) - 1, count).astype(int)
        return [int(row) for row in np.unique(rows)]

    def only(self, rows: list[int]) -> ChipVariants:
        return ChipVariants({kind: chips[rows] for kind, chips in self.by_kind.items()})

    def batches(self) -> Iterator[Vectors]:
        """Yield network inputs, bare and masked in turn."""
        stacked = np.stack(list(self.by_kind.values()), axis=1).reshape(
            -1, *self.by_kind[CLEAN].shape[1:]
        )
        for start in range(0, len(stacked), _BATCH):
            yield to_input(stacked[start : start + _BATCH])

    def embed(self, engine: Engine, *, what: str = "") -> dict[str, Vectors]:
        """Return unit-norm embeddings (N,D) by kind."""
        return {
            kind: embed_chips(
                engine,
                len(chips),
                chips.__getitem__,
                what=f"{what}, {kind}",
                quiet=not what,
            )["embedding"]
            for kind, chips in self.by_kind.items()
        }


@dataclass(frozen=True)
class Fidelity:
    """Cosines of the embeddings of two networks, by kind of chip."""

    mean: Mapping[str, float]
    least: Mapping[str, float]

    @classmethod
    def measure(cls, found: Mapping[str, Vectors], wanted: Mapping[str, Vectors]) -> Fidelity:
        cosines = {kind: (found[kind] * wanted[kind]).sum(axis=1) for kind in wanted}
        return cls(
            {k: float(c.mean()) for k, c in cosines.items()},
            {k: float(c.min()) for k, c in cosines.items()},
        )

    @property
    def loss(self) -> float:
        """Mean of 1 - cosine of bare and masked chips, without the few portraits."""
        return 1 - sum(self.mean[kind] for kind in (CLEAN, MASKED)) / 2

    def is_within(self, bound: float) -> bool:
        """Return True if the least cosines reach the bound, for portraits at most the gate's."""
        bounds = {PORTRAITS: min(bound, PORTRAIT_BOUND)}
        return all(least >= bounds.get(kind, bound) for kind, least in self.least.items())

    def as_dict(self) -> dict[str, float]:
        return {
            f"{name}_{kind}": round(v, 6)
            for name, part in (("mean", self.mean), ("min", self.least))
            for kind, v in part.items()
        }

    def __str__(self) -> str:
        return ", ".join(
            f"{kind} mean {self.mean[kind]:.5f} min {self.least[kind]:.4f}" for kind in self.mean
        )


def collect_histograms(
    model: onnx.ModelProto, tensors: Collection[str], batches: Iterable[Vectors]
) -> dict[str, Histogram]:
    """Collect histograms of tensor magnitudes while the network runs; raises EngineError."""
    inputs = {value.name for value in model.graph.input}
    histograms = {name: Histogram() for name in tensors}
    with session_with_outputs(model, [name for name in tensors if name not in inputs]) as engine:
        for batch in batches:
            values = engine.run(batch) | dict.fromkeys(inputs, batch)
            for name, histogram in histograms.items():
                try:
                    histogram.add(values[name])
                except ValueError as error:
                    raise EngineError(f"{name}: {error}; the network is broken") from error
    return histograms


class QuantizationSearch:
    """Search of a Q/DQ graph, measured on chips that did not set the ranges."""

    def __init__(
        self, model: onnx.ModelProto, plan: QuantizationPlan, measured_on: ChipVariants
    ) -> None:
        self.places = plan
        self._model = model
        self._views = measured_on
        self._portraits = ChipVariants({PORTRAITS: portrait_views()})
        with session_with_outputs(model) as engine:
            self._wanted = measured_on.embed(engine, what="FP32")
            self._wanted_portraits = self._portraits.embed(engine)

    def fidelity(
        self, ranges: Mapping[str, float], in_float: Collection[str], chips: int | None = None
    ) -> Fidelity:
        """Measure a mix of int8 and float on all chips and portraits, or on `chips` chips."""
        rows = self._views.spread(chips or len(self._views.by_kind[CLEAN]))
        views, wanted = (
            self._views.only(rows),
            {kind: vectors[rows] for kind, vectors in self._wanted.items()},
        )
        with session_with_outputs(insert_qdq(self._model, ranges, in_float)) as engine:
            found = views.embed(engine)
            if chips is None:
                found |= self._portraits.embed(engine)
                wanted = wanted | self._wanted_portraits
            return Fidelity.measure(found, wanted)

    def compare_methods(
        self, histograms: Mapping[str, Histogram], in_float: Collection[str]
    ) -> dict[str, Fidelity]:
        """Measure each method for ranges."""
        return {
            method: self.fidelity(select_ranges(method, histograms), in_float)
            for method in tqdm(METHODS, desc="ways to choose ranges", disable=None)
        }

    def sensitivity(self, ranges: Mapping[str, float]) -> dict[str, float]:
        """Return the cost of each layer alone in int8, highest first: mean of 1 - cosine."""
        names = self.places.node_names
        cost = {
            name: self.fidelity(ranges, [n for n in names if n != name], SENSITIVITY_CHIPS).loss
            for name in tqdm(names, desc="sensitivity", unit="layer", disable=None)
        }
        return dict(sorted(cost.items(), key=lambda item: -item[1]))

    def fall_back(
        self, ranges: Mapping[str, float], costs: Mapping[str, float], kept: list[str], bound: float
    ) -> list[FallbackStep]:
        """Return layers to float by cost until the least cosine reaches the bound.

        Return all steps.
        Raises EngineError if the bound is not reached.
        """
        in_float = list(kept)
        steps = [FallbackStep(None, self.fidelity(ranges, in_float))]
        waiting = [name for name in costs if name not in in_float]
        with tqdm(desc="layers back to float", unit="layer", disable=None) as bar:
            while not steps[-1].fidelity.is_within(bound):
                if len(waiting) <= 1:
                    raise EngineError(
                        f"no mix of int8 and float keeps a cosine of {bound}: "
                        f"{steps[-1].fidelity}; "
                        "train the network longer, or ask for less with --bound"
                    )
                in_float.append(waiting.pop(0))
                steps.append(FallbackStep(in_float[-1], self.fidelity(ranges, in_float)))
                bar.update()
        return steps


@dataclass(frozen=True)
class FallbackStep:
    """Result after one more layer was left in float."""

    layer: str | None
    fidelity: Fidelity


def select_ranges(method: str, histograms: Mapping[str, Histogram]) -> dict[str, float]:
    """Return the range of each tensor; one vector per chip is never clipped.

    In a feature map a clipped value is one of thousands, which are averaged later. In the vector
    behind the global convolution few faces have large values at many positions: rare over all
    chips, but a large part of the embeddings of those people.
    """
    return {
        name: METHODS[method](histogram) if histogram.is_map else minmax(histogram)
        for name, histogram in histograms.items()
    }


def quantize(
    model: onnx.ModelProto,
    folder: ChipFolder,
    *,
    max_chips: int,
    bound: float,
    keep_ends_float: bool,
) -> tuple[onnx.ModelProto, QuantizationReport]:
    """Return the INT8 network and the report.

    Raises ConfigError for too few or invalid chips, EngineError if the bound is not reached.
    """
    rows = np.unique(np.linspace(0, len(folder) - 1, min(max_chips, len(folder))).astype(int))
    check_folder(folder, "--chips", FEWEST_CHIPS)
    places = plan_quantization(model)
    seen, kept_apart = ChipVariants.read(folder, rows[::2]), ChipVariants.read(folder, rows[1::2])
    batches = list(seen.batches())
    histograms = collect_histograms(
        model, places.activations(), tqdm(batches, desc="ranges", unit="batch", disable=None)
    )
    ends = [places.layers[0].name, places.layers[-1].name] if keep_ends_float else []
    search = QuantizationSearch(model, places, kept_apart)
    methods = search.compare_methods(histograms, ends)
    method = min(methods, key=lambda name: methods[name].loss)
    ranges = select_ranges(method, histograms)
    costs = search.sensitivity(ranges)
    steps = search.fall_back(ranges, costs, ends, bound)
    in_float = [*ends, *(step.layer for step in steps if step.layer is not None)]
    report = QuantizationReport(
        bound=bound,
        calibration_chips=len(seen.by_kind[CLEAN]) * 2,
        measured_chips=len(kept_apart.by_kind[CLEAN]) * 2,
        calibration_digest=_digest(folder, rows[::2]),
        methods={name: fidelity.as_dict() for name, fidelity in methods.items()},
        method=method,
        sensitivity={name: round(cost, 8) for name, cost in costs.items()},
        steps=[{"float": step.layer or "", **step.fidelity.as_dict()} for step in steps],
        float_layers=in_float,
        gates=list(places.gates),
    )
    return insert_qdq(model, ranges, in_float), report


def _digest(folder: ChipFolder, rows: NDArray[np.int64]) -> str:
    digest = hashlib.sha256()
    for i in rows:
        digest.update(hashlib.sha256(folder.encoded[i]).digest())
    return digest.hexdigest()
