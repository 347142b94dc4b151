"""Report of a quantisation, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.errors import ConfigError

_SHOWN = 12  # layers in the text


@dataclass(frozen=True)
class QuantizationReport:
    """Measured cosines with the FP32 embeddings, on chips that did not set the ranges."""

    bound: float
    calibration_chips: int
    measured_chips: int
    calibration_digest: str
    methods: Mapping[str, Mapping[str, float]]
    method: str
    # Mean of 1 - cosine with only this layer in int8, highest first.
    sensitivity: Mapping[str, float]
    steps: list[Mapping[str, float | str]]  # after each layer that fell back to float
    float_layers: list[str]
    gates: list[str]  # float by design

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def text(self) -> str:
        """Return tables for a terminal."""
        lines = [
            f"{self.calibration_chips} chips set the ranges, "
            f"{self.measured_chips} others measure them",
            "",
        ]
        lines.append(
            f"{'ranges by':12} {'clean mean':>10} {'min':>8} {'masked mean':>12} {'min':>8} "
            f"{'portraits min':>14}"
        )
        for name, row in self.methods.items():
            mark = "  <- chosen" if name == self.method else ""
            clean, masked = (
                (row[f"mean_{kind}"], row[f"min_{kind}"]) for kind in ("clean", "masked")
            )
            lines.append(
                f"{name:12} {clean[0]:10.5f} {clean[1]:8.4f} {masked[0]:12.5f} {masked[1]:8.4f} "
                f"{row['min_portraits']:14.4f}{mark}"
            )
        shown = dict(list(self.sensitivity.items())[:_SHOWN])
        lines += [
            "",
            f"cost of a layer alone (1 - cosine), the {len(shown)} most sensitive of "
            f"{len(self.sensitivity)}:",
        ]
        most = max(shown.values(), default=0) or 1
        lines += [
            f"  {cost:.6f} {'#' * round(30 * cost / most):30} {short_layer_name(name)}"
            for name, cost in shown.items()
        ]
        last = self.steps[-1]
        gates = ", ".join(map(short_layer_name, self.gates)) or "none"
        fallen = ", ".join(short_layer_name(name) for name in self.float_layers) or "none"
        lines += [
            "",
            f"left in float to hold {self.bound}: {fallen}; in float by design: {gates}",
        ]
        lines.append(
            f"least cosine: clean {last['min_clean']:.4f}, masked {last['min_masked']:.4f}, "
            f"built-in portraits {last['min_portraits']:.4f}; "
            f"mean: clean {last['mean_clean']:.5f}, masked {last['mean_masked']:.5f}"
        )
        return "\n".join(lines)


def short_layer_name(layer: str) -> str:
    """Return a node name without repeated parts of the exporter."""
    parts = [
        part for part in layer.strip("/").split("/") if part not in ("network", "body", "Conv")
    ]
    return "/".join(
        part
        for i, part in enumerate(parts)
        if i == len(parts) - 1 or not parts[i + 1].startswith(part)
    )


def write_plot(report: QuantizationReport, path: Path) -> None:
    """Write a bar chart of all layers by cost; raises ConfigError if it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.2 * len(report.sensitivity) + 1.4), layout="constrained")
    axes = figure.subplots()
    names = list(report.sensitivity)[::-1]
    colours = ["#c0504d" if name in report.float_layers else "#4f81bd" for name in names]
    axes.barh(
        [short_layer_name(name) for name in names],
        [report.sensitivity[name] for name in names],
        color=colours,
    )
    axes.set_xscale("log")
    axes.margins(y=0.005)
    axes.set_xlabel("1 - cosine with this layer alone in int8 (red: left in float)")
    axes.tick_params(axis="y", labelsize=7)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: the plot cannot be written: {error}; name a .png file"
        ) from error
