"""Reports of an evaluation: text, Markdown table, and an HTML page with pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from calibration import occluders
from calibration.det_plot import draw_det_curve, label_det_axes
from calibration.evaluation.faithfulness import FaithfulnessCurves
from calibration.scores import require_outputs
from edge import html, masks
from edge.audit.attention import overlay
from edge.chip import to_input
from edge.errors import PhotoError
from edge.portraits import COLLINS, HOPPER, load_chip
from edge.system.markdown import format_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from calibration.evaluation.results import ModelEvaluation

_NONE = "-"
_PROBES = {
    "clean": "bare probes",
    "masked": "masked probes",
    "places": "occluders in varying places",
}
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def _span(bounds: list[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def _at_threshold(fixed: dict[str, Any]) -> str:
    fnmr = f"{_percent(fixed['fnmr_masked'])} ({_span(fixed['fnmr_masked_95'])})"
    return f"{fnmr}, {_percent(fixed['fmr_masked'], 2)}"


def _searches(found: dict[str, Any]) -> str:
    if not found:
        return _NONE
    rates = f"{_percent(found['fnir'])} / {_percent(found['fnir_masked'])}"
    return f"{rates} (gallery {found['gallery']}, FPIR of masked {_percent(found['fpir_masked'])})"


def _ratios(row: dict[str, float | None]) -> str:
    return " / ".join(
        _number(row[f"unmasked_on_cover_to_skin{of}"], ".2f") for of in ("", "_whole_cells")
    )


def _gain(auc: dict[str, float | None]) -> str:
    return f"{_number(auc['per_image'], '.3f')}, {_number(auc['gain'], '+.3f')}"


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def _first_pairs(f: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(f["pairs"].values()))
    return found


def _verified(condition: str) -> Callable[[dict[str, Any]], str]:
    def cell(f: dict[str, Any]) -> str:
        row = _first_pairs(f)[condition]
        return f"{_percent(row['accuracy'], 2)} / {_percent(row['tar_at_fmr_0.001'])}"

    return cell


def _recall(f: dict[str, Any]) -> str:
    seen = f["real_masks"].get("mask_worn", {})
    if "recall_95" not in seen:
        return _NONE
    of = f"{seen['masked']} pictures of {seen['masked_people']} people"
    return (
        f"{_percent(seen['recall_at_1_percent_false_alarms'])} ({_span(seen['recall_95'])}) of {of}"
    )


def _known_masked(f: dict[str, Any]) -> str:
    row = f["real_masks"]["verification"].get("at_unmasked_threshold_fmr_0.01")
    if row is None:
        return _NONE
    return f"{_percent(row['fnmr'])}, {_percent(row['fmr'], 2)}"


# Rows of the summary: title, protocol and formatter.
SUMMARY: list[tuple[str, str, Callable[[dict[str, Any]], str]]] = [
    ("clean: 10-fold / TAR at FMR 1e-3", "pairs", _verified("clean")),
    ("one masked: 10-fold / TAR at FMR 1e-3", "pairs", _verified("one_masked")),
    ("both masked: 10-fold / TAR at FMR 1e-3", "pairs", _verified("both_masked")),
    (
        "masked probes at the unmasked threshold (FMR 1e-3): FNMR (95 %), FMR",
        "pairs",
        lambda f: _at_threshold(_first_pairs(f)["at_unmasked_threshold_fmr_1e-3"]),
    ),
    (
        "the same, all against all of other people",
        "people",
        lambda f: _at_threshold(f["people"]["at_unmasked_threshold"]),
    ),
    (
        "searches, FNIR at FPIR 1 %: unmasked / masked",
        "people",
        lambda f: _searches(f["people"]["identification"]),
    ),
    (
        "mask map: AUC for what hides the face in varying places, gain over the best constant map",
        "places",
        lambda f: _gain(f["places"]["in_places"]["mask_map_auc"]),
    ),
    (
        "unmasked map on the mask, relative to skin: all pixels / whole cells",
        "places",
        lambda f: _ratios(f["places"]["exam_masks"]),
    ),
    (
        "unmasked map, lower face relative to upper, clean",
        "places",
        lambda f: _number(f["places"]["clean"]["lower_to_upper"], ".2f"),
    ),
    ("real masks seen at 1 % false alarms (95 %)", "real_masks", _recall),
    (
        "real masks, people known at the unmasked threshold (FMR 1e-2): FNMR, FMR",
        "real_masks",
        _known_masked,
    ),
]


def _rows(done: list[ModelEvaluation]) -> list[tuple[str, list[str]]]:
    """Return the rows of the protocols that were run; a network without maps has fewer."""
    return [
        (title, [cell(m.figures) if exam in m.figures else _NONE for m in done])
        for title, exam, cell in SUMMARY
        if any(exam in model.figures for model in done)
    ]


def _notes(done: list[ModelEvaluation]) -> list[str]:
    """Return the notes that explain the summary."""
    figures, notes = done[0].figures, []
    if "pairs" in figures:
        notes.append(
            f"Pairs and maps: {next(iter(figures['pairs']))}. "
            f"Masks of the frozen protocol {masks.PROTOCOL}."
        )
    for exam, name in (("people", "All against all and searches"), ("real_masks", "Real masks")):
        if exam in figures:
            apart = (
                "people kept apart from training, who also choose the best checkpoint"
                if figures[exam]["kept_apart"]
                else "all people of the sources, including those of the training"
            )
            notes.append(f"{name}: {apart}.")
    return notes


def _sentences(comparisons: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each comparison with the first model."""
    return [
        f"{c['model']} less {c['less']} on {where}: "
        f"FNMR of masked probes {_percent(d['fnmr'][0])} to "
        f"{_percent(d['fnmr'][1])} (difference, 95 %: {_span(d['fnmr_difference_95'])} points), "
        f"FMR {_percent(d['fmr'][0], 2)} to {_percent(d['fmr'][1], 2)}: {d['words']}."
        for c in comparisons
        for where, d in c["masked"].items()
    ]


def text(done: list[ModelEvaluation], comparisons: list[dict[str, Any]]) -> str:
    lines = []
    for title, cells in _rows(done):
        lines.append(title)
        lines += [
            f"    {cell}" + (f"   {model.title}" if len(done) > 1 else "")
            for model, cell in zip(done, cells, strict=True)
        ]
    lines += [
        f"{model.title}: {curves.figures['verdict']}"
        for model in done
        for curves in model.trust[-1:]
    ]
    return "\n".join([*lines, *_sentences(comparisons), *_notes(done)])


def markdown(done: list[ModelEvaluation], comparisons: list[dict[str, Any]]) -> str:
    columns = ("figure", *(model.title for model in done))
    table = format_table(columns, [(title, *cells) for title, cells in _rows(done)])
    notes = [
        textwrap.fill(f"- {sentence}", 100, subsequent_indent="  ", break_on_hyphens=False)
        for sentence in (*_sentences(comparisons), *_notes(done))
    ]
    title = f"# {', '.join(model.title for model in done)}: figures of mfsa-evaluate"
    return "\n".join([title, "", table, *notes]) + "\n"


def render_page(
    done: list[ModelEvaluation], comparisons: list[dict[str, Any]], *, show_faces: bool
) -> str:
    """Return an HTML page without external files."""
    return html.render(
        "calibration.evaluation",
        "report.html",
        models=[model.title for model in done],
        rows=_rows(done),
        sentences=[*_sentences(comparisons), *_notes(done)],
        protocol=masks.PROTOCOL,
        held_out=", ".join(masks.HELD_OUT),
        det=[_plot(partial(_det, done, k)) for k in range(len(done[0].pair_scores))],
        conditions=_conditions(done),
        maps=[(model.title, _maps(model)) for model in done if model.has_maps],
        faces=[(model.title, _faces(model)) for model in done if model.has_maps]
        if show_faces and done[0].pair_scores
        else [],
        places=[
            (model.title, model.figures["places"]) for model in done if "places" in model.figures
        ],
        trust=[
            (
                f"{model.title}, {_PROBES[curves.figures['probes']]}",
                _plot(partial(_curves, curves), 2),
                curves.figures,
            )
            for model in done
            for curves in model.trust
        ],
        real=[
            (model.title, model.figures["real_masks"]["mask_worn"])
            for model in done
            if "mask_worn" in model.figures.get("real_masks", {})
        ],
        said=[
            (model.title, _first_pairs(model.figures)["mask_worn"]["said_under"])
            for model in done
            if "pairs" in model.figures and "mask_worn" in _first_pairs(model.figures)
        ],
        reliability=[
            (model.title, _first_pairs(model.figures)["expected_similarity"])
            for model in done
            if "pairs" in model.figures and "expected_similarity" in _first_pairs(model.figures)
        ],
        percent=_percent,
    )


def _plot(draw: Callable[[Any], None], columns: int = 1) -> str:
    """Return an SVG drawn on one axes, or on a row of them."""
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(5.4 * columns, 3.6), layout="constrained")
        axes = figure.subplots(1, columns)
        draw(axes if columns == 1 else list(axes))
        return html.to_svg(figure)


def _det(done: list[ModelEvaluation], which: int, axes: Axes) -> None:
    """Draw the DET curves of all models on one set of pairs."""
    for colour, model in zip(_COLOURS * 9, done, strict=False):
        scores = model.pair_scores[which]
        mated = scores.pairs.mated
        for condition, line in (("clean", "-"), ("one_masked", "--")):
            values = scores.by_condition[condition]
            label = f"{model.title}, {condition.replace('_', ' ')}"
            style = {"linestyle": line, "color": colour, "lw": 1.4, "label": label}
            draw_det_curve(axes, values[mated], values[~mated], **style)
    label_det_axes(axes, done[0].pair_scores[which].pairs.title)


def _curves(curves: FaithfulnessCurves, axes: list[Axes]) -> None:
    for place, (title, lines) in zip(
        axes,
        (
            ("hide cells, most important first", curves.deletion),
            ("reveal cells, most important first", curves.insertion),
        ),
        strict=True,
    ):
        for colour, (order, line) in zip(_COLOURS, lines.items(), strict=False):
            place.plot(
                np.linspace(0, 100, len(line)),
                line,
                color=colour,
                label={
                    "map": "order of the map A_u",
                    "constant": "the mean map of other faces",
                    "random": "random order",
                    "occlusion": "occlusion sensitivity",
                    "split": "contributions to the score",
                    "constant split": "the mean contributions of other faces",
                }[order],
            )
        place.set(title=title, xlabel="share of the chip, %", ylabel="score against the template")
        place.grid(alpha=0.25)
    axes[0].legend(fontsize=8)


def _conditions(done: list[ModelEvaluation]) -> list[dict[str, Any]]:
    """Return a table of conditions for each set of pairs, with a cell for each model."""
    tables = []
    for which, first in enumerate(done[0].pair_scores):
        figures = [list(model.figures["pairs"].values())[which] for model in done]
        names = [
            name
            for name, row in figures[0].items()
            if isinstance(row, dict) and "fnmr_at_unmasked_threshold" in row
        ]
        rows = [(name.replace("_", " "), [f[name] for f in figures]) for name in names]
        again = figures[0].get("faces_found_again")
        tables.append({"title": first.pairs.title, "rows": rows, "found_again": again})
    return tables


def _overlays(model: ModelEvaluation, chips: list[NDArray[np.uint8]]) -> list[str]:
    outputs = require_outputs(model.engine.run(to_input(np.stack(chips))), "attention")
    return [
        html.encode_picture(overlay(chip, maps), 1)
        for chip, maps in zip(chips, outputs["attention"], strict=True)
    ]


def _maps(model: ModelEvaluation) -> list[str]:
    """Return overlays of the portraits, bare and hidden; empty if they are not installed."""
    chips = []
    try:
        for portrait in (COLLINS, HOPPER):
            chip = load_chip(portrait)
            rng = np.random.default_rng(3)
            chips.append(chip)
            chips += [
                masks.draw(chip, masks.random_style(rng, (family,)))[0] for family in masks.FAMILIES
            ]
            chips += [occluders.draw(chip, kind, rng)[0] for kind in occluders.KINDS]
    except PhotoError:
        return []
    return _overlays(model, chips)


def _faces(model: ModelEvaluation) -> list[str]:
    chosen = model.pair_scores[0].pairs
    bare = [chosen.chip(i) for i in range(0, len(chosen.names), max(1, len(chosen.names) // 8))][:8]
    worn = [occluders.draw_in_place(chip, str(i))[0] for i, chip in enumerate(bare)]
    return _overlays(model, [chip for both in zip(bare, worn, strict=True) for chip in both])
