"""Parts of HTML pages: base template, embedded pictures and plots, colours of verdicts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import cv2
import jinja2
import matplotlib
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # at run time these modules write a list of fonts to the user's cache
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"grant": "#1a7f37", "pending": "#9a6700", "unknown": "#cf222e", "refused": "#57606a"}


def render(package: str, template: str, **fields: Any) -> str:
    """Render a template of a package that extends `base.html`; values are escaped."""
    loaders = [jinja2.PackageLoader(package, "."), jinja2.PackageLoader("edge", ".")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**fields)


def encode_picture(
    image: NDArray[np.uint8], zoom: float, form: Literal["png", "jpg"] = "png"
) -> str:
    """Return a picture (H,W,3) BGR as base64 of a PNG or JPEG, for a data URL."""
    sized = cv2.resize(
        image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    )
    _, written = cv2.imencode(f".{form}", sized)
    return base64.b64encode(written.tobytes()).decode()


def draw_boxes(
    image: NDArray[np.uint8], boxes: Iterable[tuple[Iterable[float], str]]
) -> NDArray[np.uint8]:
    """Return a copy with boxes (4,) xyxy in pixels, each in a colour such as `#1a7f37`."""
    copy: NDArray[np.uint8] = image.copy()
    for box_xyxy, colour in boxes:
        x0, y0, x1, y1 = (round(v) for v in box_xyxy)
        red, green, blue = bytes.fromhex(colour[1:])
        cv2.rectangle(copy, (x0, y0), (x1, y1), (blue, green, red), 2)
    return copy


def draw_scores(axes: Axes, decisions: Sequence[Mapping[str, Any]]) -> None:
    """Plot scores by verdict and their thresholds over time.

    Keys: at_s, score, threshold, verdict.
    """
    for layer, (verdict, colour) in enumerate(reversed(COLOURS.items()), 3):  # grants on top
        chosen = [d for d in decisions if d["verdict"] == verdict]
        if chosen:
            at_s, score = [d["at_s"] for d in chosen], [d["score"] for d in chosen]
            axes.plot(
                at_s,
                score,
                "o",
                ms=8 if verdict == "grant" else 5,
                color=colour,
                label=verdict,
                zorder=layer,
            )
    axes.plot(
        [d["at_s"] for d in decisions],
        [d["threshold"] for d in decisions],
        "_",
        ms=9,
        color="#1f2328",
        label="threshold",
    )


def to_svg(figure: Figure) -> str:
    """Return a plot as a reproducible SVG element."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "mfsa-edge"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]
