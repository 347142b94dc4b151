"""Input conventions of encoders: colour order and normalisation, measured on portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tqdm import tqdm

from edge.chip import SIZE
from edge.errors import ConfigError

Array = NDArray[np.float32]
Run = Callable[[Array], Array]

# Value of a pixel v (0..255) in an encoder's input: (v - offset) / divisor, per channel.
_SCALES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "127.5": ((127.5,) * 3, (127.5,) * 3),
    "255": ((0.0,) * 3, (1.0,) * 3),
    "1": ((0.0,) * 3, (255.0,) * 3),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


@dataclass(frozen=True, slots=True)
class Convention:
    """Input of an encoder: `order` rgb or bgr, `scale` a key of the known normalisations."""

    order: str
    scale: str

    def __str__(self) -> str:
        return f"{self.order}-{self.scale}"

    @property
    def is_native(self) -> bool:
        """True if the encoder takes the input of this project as it is."""
        return self == NATIVE

    def matrix(self) -> tuple[Array, Array]:
        """Return (3,3) and (3,) that map this project's input, RGB in -1..1, to the encoder's."""
        offset, divisor = (np.array(v) for v in _SCALES[self.scale])
        rows = np.eye(3)[:: -1 if self.order == "bgr" else 1]
        scaled = np.diag(127.5 / divisor) @ rows
        return (
            np.asarray(scaled, np.float32),
            np.asarray((127.5 - offset) / divisor, np.float32),
        )

    def to_input(self, chip: NDArray[np.uint8]) -> Array:
        """Return the encoder's input (1,3,112,112) for a chip (112,112,3) uint8 BGR."""
        offset, divisor = (np.array(v)[:, None, None] for v in _SCALES[self.scale])
        ordered = chip[..., :: -1 if self.order == "rgb" else 1].transpose(2, 0, 1)
        return np.asarray((ordered - offset) / divisor, np.float32)[None]


NATIVE = Convention("rgb", "127.5")
CONVENTIONS = {str(c): c for c in (Convention(o, s) for o in ("rgb", "bgr") for s in _SCALES)}
# Smaller differences of the rates do not decide between two conventions.
_DECISIVE = 0.02
_FMR = 1e-2
# An encoder that finds fewer mated pairs does not recognise the faces with any convention.
_LEAST_RATE = 0.2
_BAR_DELAY_S = 5.0


def with_convention(model: onnx.ModelProto, convention: Convention) -> onnx.ModelProto:
    """Return a model that takes this project's input, by one 1x1 convolution at its start."""
    if convention.is_native:
        return model
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    source = graph.input[0].name
    weight, bias = convention.matrix()
    graph.initializer.extend(
        [
            numpy_helper.from_array(weight[:, :, None, None], "convention_weight"),
            numpy_helper.from_array(bias, "convention_bias"),
        ]
    )
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == source:
                node.input[i] = "converted_chip"
    graph.node.insert(
        0,
        helper.make_node(
            "Conv",
            [source, "convention_weight", "convention_bias"],
            ["converted_chip"],
            "convention",
            kernel_shape=[1, 1],
        ),
    )
    return made


@dataclass(frozen=True, eq=False)
class LabelledFaces:
    """Chips (112,112,3) uint8 BGR with the person of each; a few hundred are enough."""

    chips: list[NDArray[np.uint8]]
    person: NDArray[np.int64]


def portrait_views(chips: list[NDArray[np.uint8]]) -> LabelledFaces:
    """Return portraits as a camera would see them: plain, dark, bright, turned, small, yellow."""
    views: list[NDArray[np.uint8]] = []
    for chip in chips:
        turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 8, 1.04)
        small = cv2.resize(chip, (40, 40), interpolation=cv2.INTER_AREA)
        for view in (
            chip,
            chip * 0.5,
            chip * 1.5,
            cv2.warpAffine(chip, turn, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE),
            cv2.resize(small, (SIZE, SIZE)),
            chip * np.array([0.65, 0.95, 1.0]),
        ):
            views.append(np.clip(view, 0, 255).astype(np.uint8))
    return LabelledFaces(views, np.repeat(np.arange(len(chips)), len(views) // len(chips)))


@dataclass(frozen=True, slots=True)
class Measured:
    """Share of mated pairs above the threshold of FMR 1e-2 by convention, and the faces used."""

    rates: dict[str, float]
    faces: str

    @property
    def best(self) -> Convention:
        return CONVENTIONS[max(self.rates, key=lambda name: self.rates[name])]

    def rivals(self) -> list[str]:
        """Return the conventions that are about as good as the best one."""
        top = self.rates[str(self.best)]
        return [n for n, r in self.rates.items() if n != str(self.best) and top - r < _DECISIVE]

    @property
    def recognises(self) -> bool:
        """True if the encoder recognises the faces with some convention."""
        return self.rates[str(self.best)] >= _LEAST_RATE

    def ranked(self, used: Convention) -> str:
        """Return the rates of the four best conventions, and that of the used one."""
        names = sorted(self.rates, key=lambda name: -self.rates[name])
        shown = names[:4] if str(used) in names[:4] else [*names[:3], str(used)]
        return ", ".join(f"{name} {100 * self.rates[name]:.1f} %" for name in shown)

    def __str__(self) -> str:
        return self.ranked(self.best)


def measure_conventions(run: Run, faces: LabelledFaces, described: str) -> Measured:
    """Measure all conventions of an encoder, `run` (N,3,112,112) to (N,D), on faces."""
    same = faces.person[:, None] == faces.person[None]
    pairs = np.triu(np.ones_like(same), 1)
    rates = {}
    bar = tqdm(CONVENTIONS.items(), desc="input conventions", unit="convention", delay=_BAR_DELAY_S)
    for name, convention in bar:
        embedding = np.concatenate([run(convention.to_input(chip)) for chip in faces.chips])
        norm = np.linalg.norm(embedding, axis=1, keepdims=True)
        unit = embedding / np.where((norm > 0) & np.isfinite(norm), norm, 1)
        cosine = unit @ unit.T
        threshold = np.quantile(cosine[~same & pairs], 1 - _FMR)
        rates[name] = float((cosine[same & pairs] > threshold).mean())
    return Measured(rates, described)


def choose_convention(measured: Measured, asked: str | None, name: str) -> Convention:
    """Return the convention to use; raises ConfigError if it is uncertain or contradicted.

    An encoder that recognises too few of the faces is refused.
    """
    best = measured.best
    found = f"mated pairs found on {measured.faces}: {measured}"
    if not measured.recognises:
        asked_for = "" if asked else "; then name its input by --input if it is documented"
        raise ConfigError(
            f"{name}: the encoder does not recognise the faces with any input convention ({found}, "
            f"at least {100 * _LEAST_RATE:.0f} % are needed); check its weights, its input size "
            f"and the alignment and names of the chips{asked_for}"
        )
    if asked is not None:
        if measured.rates[str(best)] - measured.rates[asked] > _DECISIVE:
            raise ConfigError(
                f"{name}: --input {asked} recognises fewer faces than {best} ({found}); "
                f"use --input {best}"
            )
        return CONVENTIONS[asked]
    if rivals := measured.rivals():
        raise ConfigError(
            f"{name}: colour order or normalisation is uncertain ({found}); see the encoder's "
            f"documentation and add --input {best} or --input {' or --input '.join(rivals)}"
        )
    return best
