"""The model card of a bundle, written from its manifest, so that no figure in it is typed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from calibration.metrics import supported_gallery
from edge import masks
from edge.bundle import EMBEDDER, EMBEDDER_NETWORK, Manifest, OperatingPoint, onnx_file

CARD_FILE = "MODEL_CARD.md"

_CARD = """# Model card: {name}

An embedder of aligned 112x112 face chips for terminals at doors: embedding of {embedding} numbers, three attention maps
(unmasked face, mask, background), and whether a mask is worn. Network and losses: `docs/method.md`. Made by code {code_version}.

- **Size**: {parameters} parameters, {megabytes:.1f} MB as ONNX (FP32).
- **Trained on**: {data}.
- **Licence**: {licence}.
- It knows nothing of attacks by photos or screens.

{verification}{more}
## Thresholds of the terminal

All against all of {people:,} people, {apart} ({calibration_data}); upper bounds are 95 %, by bootstrap over people.

| probe | threshold | FMR (upper) | non-mated | FNMR (upper) | mated |
|---|---|---|---|---|---|
{points}

The target FMR stands for an FPIR of {fpir_target:.2%} at {aim:,} templates; **at the upper bound the data supports
{gallery_size:,} templates**.
{int8}
## Limits

- Verification of masked faces was measured on drawn masks.
- Error rates by group of people were not measured and will differ.{gaps}
{limits}"""


_VERIFICATION = """\
## Verification

{pairs:,} pairs of `{list}`{drawn}, one embedding per chip. Masks are drawn by the frozen exam `{masks}`,
by the renderer that training uses; rows marked *unseen* are of families that this project's recipes
never draw.

| probe against template | {folds}-fold accuracy | EER | TAR at FMR 1e-2 | TAR at FMR 1e-3 |
|---|---|---|---|---|
{rows}

At the threshold fixed on **unmasked** impostors at FMR 1e-3: FNMR unmasked {fnmr_unmasked:.1%},
masked **{fnmr_masked:.1%}** ({fnmr_masked_95[0]:.1%} to {fnmr_masked_95[1]:.1%}), with a masked-impostor FMR of
{fmr_masked:.2%} there.
Mask-worn is right on {right_on_clean:.1%} of clean and {right_on_drawn:.1%} of drawn masks.
"""

# Exams of mfsa-evaluate, and the options by which they are measured.
PROTOCOLS = {
    "pairs": "verification of pairs (mfsa-evaluate --pairs auto --chips CHIPS)",
    "places": "where the attention maps look (mfsa-evaluate --pairs auto --chips CHIPS)",
    "trust": "if a map may be shown as a reason (the same without --quick)",
    "people": "all against all, and searches (mfsa-evaluate --people CHIPS)",
    "real_masks": "real masks (mfsa-evaluate --real-masks CHIPS)",
}


def not_measured(accuracy: dict[str, Any]) -> tuple[str, ...]:
    """Return the exams without figures, with the options that measure them."""
    return tuple(words for exam, words in PROTOCOLS.items() if not accuracy.get(exam))


def write_card(folder: Path, manifest: Manifest, limits: str) -> None:
    """Write MODEL_CARD.md next to the manifest; raises KeyError if an exam lacks a figure."""
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
        verification=_verification(figures),
        more=_more(figures),
        gaps="".join(f"\n- Not measured: {words}." for words in manifest.not_measured),
        people=calibration.people,
        apart="kept apart from training"
        if calibration.kept_apart
        else "some of whom may have been trained on",
        calibration_data=calibration.data,
        points="\n".join(
            _point(name, p)
            for name, p in (("unmasked", calibration.unmasked), ("masked", calibration.masked))
        ),
        fpir_target=calibration.fpir_target,
        aim=supported_gallery(calibration.unmasked.target_fmr, calibration.fpir_target),
        gallery_size=calibration.gallery_size,
        int8=_int8(folder, manifest),
        limits=limits,
    )
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def _verification(figures: dict[str, Any]) -> str:
    """Return the section on the first list of pairs; empty if no list was measured."""
    if not figures.get("pairs"):
        return ""
    verified = next(iter(figures["pairs"].values()))
    people = f" ({verified['people']:,} people)" if "people" in verified else ""
    return _VERIFICATION.format(
        drawn=people,
        folds=verified.get("folds", 10),
        pairs=verified["pairs"],
        list=verified["list"],
        masks=verified["masks"],
        rows="\n".join(
            _row(name, verified[key]) for name, key in _CASES.items() if key in verified
        ),
        **verified["at_unmasked_threshold_fmr_1e-3"],
        **verified["mask_worn"],
    )


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
    "hand before the face against clean": "one_with:hand",
}


_INT8 = """
## INT8

`embedder-int8.onnx` ({megabytes:.2f} MB): ranges by {ranges}; left in float: {float_layers}. On {samples} portrait chips its
embeddings have a cosine of {min_cosine:.4f} at least and {mean_cosine:.4f} in the mean with the FP32 ones.

| probe against template | accuracy, less FP32's | TAR at FMR 1e-3, less FP32's |
|---|---|---|
{rows}

Its own thresholds: unmasked {unmasked:.4f}, masked {masked:.4f}; supports {gallery_size:,} templates.
"""


def _int8(folder: Path, manifest: Manifest) -> str:
    """What was measured of the INT8 form, beside FP32; empty where there is none."""
    entry = manifest.files.get(onnx_file(EMBEDDER_NETWORK, "int8"))
    if manifest.int8 is None or entry is None or entry.verdict is None:
        return ""
    before, after = (
        next(iter(figures["pairs"].values()))
        for figures in (manifest.accuracy, manifest.int8.accuracy)
    )
    rows = [
        f"| {name} | {after[key]['accuracy']:.2%} ({after[key]['accuracy'] - before[key]['accuracy']:+.2%}) "
        f"| {after[key]['tar_at_fmr_0.001']:.1%} ({after[key]['tar_at_fmr_0.001'] - before[key]['tar_at_fmr_0.001']:+.1%}) |"
        for name, key in _CASES.items()
        if key in before and key in after
    ]
    calibration = manifest.int8.calibration
    return _INT8.format(
        megabytes=(folder / onnx_file(EMBEDDER_NETWORK, "int8")).stat().st_size / 1e6,
        ranges=manifest.int8.ranges,
        float_layers=", ".join(manifest.int8.float_layers) or "none beyond the gates",
        samples=entry.verdict.samples,
        min_cosine=entry.verdict.figures["min_cosine"],
        mean_cosine=entry.verdict.figures["mean_cosine"],
        rows="\n".join(rows),
        unmasked=calibration.unmasked.threshold,
        masked=calibration.masked.threshold,
        gallery_size=calibration.gallery_size,
    )


def _apart(exam: dict[str, Any]) -> str:
    return (
        "kept apart from training"
        if exam["kept_apart"]
        else "some of whom may have been trained on"
    )


def _more(figures: dict[str, Any]) -> str:
    """Sentences for the exams that were sat, each with what it was measured on."""
    told = []
    if "recall_95" in figures.get("real_masks", {}).get("mask_worn", {}):
        seen, known = (figures["real_masks"][exam] for exam in ("mask_worn", "verification"))
        told.append(
            f"**Real masks** ({seen['masked']} pictures of {seen['masked_people']} people, {_apart(figures['real_masks'])}): "
            f"{seen['recall_at_1_percent_false_alarms']:.1%} are seen at 1 % false alarms "
            f"({seen['recall_95'][0]:.0%} to {seen['recall_95'][1]:.0%})."
        )
        if row := known.get("at_unmasked_threshold_fmr_0.01"):
            told.append(
                f"**People in real masks** at the threshold fixed on the unmasked at FMR 1e-2: FNMR {row['fnmr']:.1%}, "
                f"FMR {row['fmr']:.1%} (labels of that data are noisy)."
            )
    if (figures.get("people") or {}).get("identification"):
        found = figures["people"]["identification"]
        told.append(
            f"**Searches** among {found['gallery']} enrolled people, {_apart(figures['people'])}, at an FPIR of "
            f"{found['fpir']:.0%}: FNIR {found['fnir']:.1%} unmasked, {found['fnir_masked']:.1%} masked."
        )
    if figures.get("places"):
        where, auc = figures["places"], figures["places"]["in_places"]["mask_map_auc"]
        ratio = where["exam_masks"]["unmasked_on_cover_to_skin"]
        told.append(
            f"**Maps**, against the pixel truth: what hides the face in varying places is found by A_m with an AUC of "
            f"{auc['per_image']:.3f} a picture (best constant map {auc['best_constant_map']:.3f}); A_u on a mask is {ratio:.2f} of "
            f"its value on skin, on the clean lower face {where['clean']['lower_to_upper']:.2f} of that on the upper."
        )
    if figures.get("trust"):
        told.append("**As a reason** (masked probes): " + figures["trust"]["masked"]["verdict"])
    return "\n".join(f"\n{sentence}" for sentence in told)


def _row(name: str, f: dict[str, Any]) -> str:
    accuracy = f"{f['accuracy']:.2%} ± {f['accuracy_std']:.2%}"
    return f"| {name} | {accuracy} | {f['eer']:.2%} | {f['tar_at_fmr_0.01']:.1%} | {f['tar_at_fmr_0.001']:.1%} |"


def _point(name: str, p: OperatingPoint) -> str:
    rates = f"{p.fmr:.1e} ({p.fmr_upper:.1e}) | {p.comparisons:,} | {p.fnmr:.1%} ({p.fnmr_upper:.1%}) | {p.mated:,}"
    return f"| {name} | {p.threshold:.4f} | {rates} |"
