"""Model card of a bundle, written from its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from calibration.metrics import supported_gallery
from edge import masks
from edge.bundle import (
    EMBEDDER,
    EMBEDDER_NETWORK,
    Calibration,
    Manifest,
    OperatingPoint,
    onnx_file,
)
from edge.bundle_use import USE_WORDS, assess_use
from edge.system.markdown import format_table

CARD_FILE = "MODEL_CARD.md"

_CARD = """\
# Model card: {name}

Embedder of aligned 112x112 face chips for access-control terminals. Outputs: an embedding of
{embedding} numbers, three attention maps (unmasked face, mask, background), a mask probability
and the expected similarity (cosine) to the embedding of the clear face.
Network and losses: `docs/method.md`. Code version: {code_version}.

- **Size**: {parameters} parameters, {megabytes:.1f} MB as ONNX (FP32).
- **Training data**: {data}.
- **Licence**: {licence}.
- **Use**: {use}.{compatible}
- No protection against presentation attacks such as photos or screens.

{verification}{more}
## Thresholds of the terminal

All against all of {people:,} people, {apart}.
Data: {calibration_data}.
Upper bounds are 95 %, by bootstrap over people.

{points}
{exams}\
Faces with an expected similarity below {least:.2f} are refused as hidden.
The target FMR stands for an FPIR of {fpir_target:.2%} at {aim:,} templates. **At the upper bound
the data supports {gallery_size:,} templates**.
{int8}
## Provenance

{provenance}
## Limits

- Verification of masked faces was measured on drawn masks.
- Error rates by group of people were not measured and will differ.{gaps}
{limits}"""


_VERIFICATION = """\
## Verification

{pairs:,} pairs of `{list}`{drawn}, one embedding per chip. Masks are drawn by the frozen protocol
`{masks}` with the renderer of the training. Rows marked *unseen* are of families that the recipes
of this project never draw.

{rows}
At the threshold for **unmasked** impostors at FMR 1e-3: FNMR unmasked {fnmr_unmasked:.1%},
FNMR masked **{fnmr_masked:.1%}** ({fnmr_masked_95[0]:.1%} to {fnmr_masked_95[1]:.1%}), FMR masked
{fmr_masked:.2%}. Mask detection is correct on {right_on_clean:.1%} of clean chips and
{right_on_drawn:.1%} of chips with drawn masks.
"""

# Protocols of mfsa-evaluate, and the options that measure them.
PROTOCOLS = {
    "pairs": "verification of pairs (mfsa-evaluate --pairs auto --chips CHIPS)",
    "places": "attention localization (mfsa-evaluate --pairs auto --chips CHIPS)",
    "trust": "faithfulness of the maps (the same without --quick)",
    "people": "all against all and searches (mfsa-evaluate --people CHIPS)",
    "real_masks": "real masks (mfsa-evaluate --real-masks CHIPS)",
}


def missing_protocols(accuracy: dict[str, Any]) -> tuple[str, ...]:
    """Return the protocols without figures, with the options that measure them."""
    return tuple(words for name, words in PROTOCOLS.items() if not accuracy.get(name))


def write_card(folder: Path, manifest: Manifest, limits: str) -> None:
    """Write MODEL_CARD.md next to the manifest; raises KeyError if a figure is missing."""
    properties = {p.key: p.value for p in onnx.load(folder / EMBEDDER).metadata_props}
    figures, calibration = manifest.accuracy, manifest.calibration
    text = _CARD.format(
        name=manifest.name,
        embedding=manifest.embedding,
        code_version=manifest.code_version,
        parameters=f"{int(properties['parameters']):,}"
        if "parameters" in properties
        else "an unknown number of",
        megabytes=(folder / EMBEDDER).stat().st_size / 1e6,
        data=manifest.data,
        licence=manifest.licence,
        use=USE_WORDS[assess_use(manifest).use],
        compatible=_compatible(manifest),
        provenance=_provenance(manifest),
        verification=_verification(figures),
        more=_more(figures),
        gaps="".join(f"\n- Not measured: {words}." for words in manifest.not_measured),
        people=calibration.people,
        apart="kept apart from training"
        if calibration.kept_apart
        else "some of them possibly used for training",
        calibration_data=calibration.data,
        points=format_table(
            _POINT_COLUMNS,
            [
                _point("unmasked", calibration.unmasked),
                _point("masked", calibration.masked),
                _point("unmasked, 1:1", calibration.verification.unmasked),
                _point("masked, 1:1", calibration.verification.masked),
            ],
        ),
        exams=_masked_exams(calibration),
        fpir_target=calibration.fpir_target,
        aim=supported_gallery(calibration.unmasked.target_fmr, calibration.fpir_target),
        gallery_size=calibration.gallery_size,
        least=calibration.min_expected_similarity,
        int8=_int8(folder, manifest),
        limits=limits,
    )
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def _compatible(manifest: Manifest) -> str:
    if not manifest.compatible_with:
        return ""
    models = ", ".join(f"`{digest[:12]}`" for digest in manifest.compatible_with)
    return f"\n- **Also accepts templates of** the embedders {models}."


def _provenance(manifest: Manifest) -> str:
    """Return the table of the provenance list."""
    if not manifest.provenance:
        return "Licence and origin of weights and data are unknown: no provenance list was given.\n"
    rows = [
        tuple(
            text.replace("|", "\\|")
            for text in (
                entry.name,
                entry.role,
                entry.licence if entry.terms is None else f"{entry.licence}: {entry.terms}",
                str(entry.origin),
                entry.use,
                "" if entry.sha256 is None else f"`{entry.sha256[:12]}`",
            )
        )
        for entry in manifest.provenance
    ]
    return f"{format_table(_PROVENANCE_COLUMNS, rows)}\n{_CONVERTED}"


def _verification(figures: dict[str, Any]) -> str:
    """Return the section on the first list of pairs; empty if no list was measured."""
    if not figures.get("pairs"):
        return ""
    verified = next(iter(figures["pairs"].values()))
    folds = verified.get("folds", 10)
    people = f" ({verified['people']:,} people)" if "people" in verified else ""
    return _VERIFICATION.format(
        drawn=people,
        pairs=verified["pairs"],
        list=verified["list"],
        masks=verified["masks"],
        rows=format_table(
            _pair_columns(folds),
            [_row(name, verified[key]) for name, key in _CASES.items() if key in verified],
        ),
        **verified["at_unmasked_threshold_fmr_1e-3"],
        **verified["mask_worn"],
    )


_TRUST = {"masked": "masked probes", "places": "occluders in varying places"}
_CASES = {
    "clean against clean": "clean",
    "masked against clean (the door)": "one_masked",
    "masked against masked": "both_masked",
    "masked, landmarks found again": "one_masked_found_again",
    **{
        f"masked ({family}, *unseen*) against clean": f"one_masked:{family}"
        for family in masks.HELD_OUT
    },
    "sunglasses against clean": "one_with:sunglasses",
    "hand in front of the face against clean": "one_with:hand",
}


_INT8 = """
## INT8

`embedder-int8.onnx` ({megabytes:.2f} MB): ranges by {ranges}; layers in float:
{float_layers}.
On {samples} portrait chips the cosine with the FP32 embeddings is at least {min_cosine:.4f}, in the
mean {mean_cosine:.4f}.

{rows}
Thresholds of INT8: unmasked {unmasked:.4f}, masked {masked:.4f}, expected similarity {least:.2f};
supports {gallery_size:,} templates.
"""
_PROVENANCE_COLUMNS = ("name", "role", "licence", "origin", "use", "sha256")
_CONVERTED = """\
Files in other precisions have the licence of the network that they were made from. The detector is
listed in the manifest of the complete bundle.
"""
_POINT_COLUMNS = ("probe", "threshold", "FMR (upper)", "non-mated", "FNMR (upper)", "mated")
_EXAM_COLUMNS = (
    "impostors",
    "fixes",
    "own threshold at FMR",
    "FMR (upper)",
    "times the target",
    "non-mated",
    "pictures / people",
)
_INT8_COLUMNS = (
    "probe against template",
    "accuracy, difference to FP32",
    "TAR at FMR 1e-3, difference to FP32",
)


def _pair_columns(folds: int) -> tuple[str, ...]:
    return (
        "probe against template",
        f"{folds}-fold accuracy",
        "EER",
        "TAR at FMR 1e-2",
        "TAR at FMR 1e-3",
    )


def _int8(folder: Path, manifest: Manifest) -> str:
    """Return the section on the INT8 embedder, compared with FP32; empty without one."""
    entry = manifest.files.get(onnx_file(EMBEDDER_NETWORK, "int8"))
    if manifest.int8 is None or entry is None or entry.verdict is None:
        return ""
    before, after = (
        next(iter(figures["pairs"].values()))
        for figures in (manifest.accuracy, manifest.int8.accuracy)
    )
    rows = [
        (
            name,
            _with_difference(before[key]["accuracy"], after[key]["accuracy"], 2),
            _with_difference(before[key]["tar_at_fmr_0.001"], after[key]["tar_at_fmr_0.001"], 1),
        )
        for name, key in _CASES.items()
        if key in before and key in after
    ]
    calibration = manifest.int8.calibration
    return _INT8.format(
        megabytes=(folder / onnx_file(EMBEDDER_NETWORK, "int8")).stat().st_size / 1e6,
        ranges=manifest.int8.ranges,
        float_layers=",\n".join(f"`{name}`" for name in manifest.int8.float_layers)
        or "none except the gates",
        samples=entry.verdict.samples,
        min_cosine=entry.verdict.figures["min_cosine"],
        mean_cosine=entry.verdict.figures["mean_cosine"],
        rows=format_table(_INT8_COLUMNS, rows),
        unmasked=calibration.unmasked.threshold,
        masked=calibration.masked.threshold,
        gallery_size=calibration.gallery_size,
        least=calibration.min_expected_similarity,
    )


def _with_difference(before: float, after: float, digits: int) -> str:
    return f"{after:.{digits}%} ({after - before:+.{digits}%})"


def _apart(figures: dict[str, Any]) -> str:
    return (
        "kept apart from training"
        if figures["kept_apart"]
        else "some of them possibly used for training"
    )


def _more(figures: dict[str, Any]) -> str:
    """Return the list of the other protocols' results."""
    items = [*_real_masks(figures), *_searches(figures), *_maps(figures)]
    return "".join(f"\n- {item}" for item in items) + ("\n" if items else "")


def _real_masks(figures: dict[str, Any]) -> Iterator[str]:
    if "recall_95" not in figures.get("real_masks", {}).get("mask_worn", {}):
        return
    seen, known = (figures["real_masks"][part] for part in ("mask_worn", "verification"))
    yield (
        f"**Real masks** ({seen['masked']} pictures of {seen['masked_people']} people, "
        f"{_apart(figures['real_masks'])}):\n"
        f"  recall {seen['recall_at_1_percent_false_alarms']:.1%} at 1 % false alarms "
        f"({seen['recall_95'][0]:.0%} to {seen['recall_95'][1]:.0%})."
    )
    if row := known.get("at_unmasked_threshold_fmr_0.01"):
        yield (
            "**People with real masks** at the threshold for unmasked impostors at FMR 1e-2:\n"
            f"  FNMR {row['fnmr']:.1%}, FMR {row['fmr']:.1%} (the labels of this data are noisy)."
        )


def _searches(figures: dict[str, Any]) -> Iterator[str]:
    found = (figures.get("people") or {}).get("identification")
    if found:
        yield (
            f"**Searches** among {found['gallery']} enrolled people, "
            f"{_apart(figures['people'])}, at an FPIR of {found['fpir']:.0%}:\n"
            f"  FNIR {found['fnir']:.1%} unmasked, {found['fnir_masked']:.1%} masked."
        )


def _maps(figures: dict[str, Any]) -> Iterator[str]:
    if figures.get("places"):
        where, auc = figures["places"], figures["places"]["in_places"]["mask_map_auc"]
        ratio = where["exam_masks"]["unmasked_on_cover_to_skin"]
        yield (
            f"**Maps** against the drawn coverage: A_m localizes occluders with an AUC of "
            f"{auc['per_image']:.3f} per picture\n"
            f"  (best constant map {auc['best_constant_map']:.3f}). "
            f"A_u on a mask is {ratio:.2f} of "
            f"its value on skin; on the clean lower\n"
            f"  face it is {where['clean']['lower_to_upper']:.2f} of its value on the upper face."
        )
    for probes, words in _TRUST.items():
        if found := (figures.get("trust") or {}).get(probes):
            yield f"**Faithfulness** ({words}): {found['verdict']}"


def _row(name: str, f: dict[str, Any]) -> tuple[str, ...]:
    accuracy = f"{f['accuracy']:.2%} ± {f['accuracy_std']:.2%}"
    tar = (f"{f['tar_at_fmr_0.01']:.1%}", f"{f['tar_at_fmr_0.001']:.1%}")
    return (name, accuracy, f"{f['eer']:.2%}", *tar)


def _masked_exams(calibration: Calibration) -> str:
    """Return the table of masked impostors; empty if only drawn masks were measured."""
    if not calibration.masked_exams:
        return ""
    rows = [
        (
            exam.impostors,
            "yes" if exam.fixes else "no",
            f"{exam.threshold:.4f} at {exam.target_fmr:.1e}",
            f"{exam.fmr:.1e} ({exam.fmr_upper:.1e})",
            f"{exam.fmr / calibration.masked.target_fmr:.2g}",
            f"{exam.comparisons:,}",
            f"{exam.pictures:,} / {exam.people:,}",
        )
        for exam in calibration.masked_exams
    ]
    return (
        "\nMasked impostors at the masked threshold, which is fixed by: "
        f"**{calibration.masked_fixed_by}**.\n"
        "A threshold for more than the target FMR: the data has too few comparisons for the "
        f"target.\n\n{format_table(_EXAM_COLUMNS, rows)}\n"
    )


def _point(name: str, p: OperatingPoint) -> tuple[str, ...]:
    return (
        name,
        f"{p.threshold:.4f}",
        f"{p.fmr:.1e} ({p.fmr_upper:.1e})",
        f"{p.comparisons:,}",
        f"{p.fnmr:.1%} ({p.fnmr_upper:.1%})",
        f"{p.mated:,}",
    )
