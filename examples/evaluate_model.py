"""Measure an embedder on aligned chips: error rates without masks and with drawn masks.

python examples/evaluate_model.py --model build/bundle/embedder.onnx FACES/people.tar
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.chips import validation_chips
from calibration.metrics import equal_error_rate, match_rate, threshold_at_fmr
from calibration.scores import LabelledEmbeddings, all_scores, embed_chips
from edge import masks
from edge.engine import open_engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="embedder as ONNX")
    parser.add_argument("--fmr", type=float, default=1e-2, help="of unmasked impostors")
    parser.add_argument("chips", type=Path, help="folder or tar file of <person>/<chip>")
    args = parser.parse_args()
    chips = validation_chips([args.chips], all_identities=True)
    engine = open_engine(args.model, threads=2)

    def embed(chip: Callable[[int], NDArray[np.uint8]], name: str) -> LabelledEmbeddings:
        outputs = embed_chips(engine, len(chips), chip, what=name, quiet=True)
        return LabelledEmbeddings(outputs["embedding"], chips.labels)

    unmasked = embed(chips.chip, "unmasked")
    masked = embed(lambda i: masks.draw_protocol(chips.chip(i), chips.names[i])[0], "masked")
    mated, non_mated = all_scores(unmasked, unmasked)
    try:
        threshold = threshold_at_fmr(non_mated, args.fmr)
    except ValueError as error:
        raise SystemExit(f"{args.chips}: {error}; use more people or a larger --fmr") from error
    print(f"{len(chips)} chips of {chips.people} people")
    print(f"unmasked: EER {equal_error_rate(mated, non_mated):.2%}, threshold {threshold:.3f}")
    for name, probes in (("unmasked", unmasked), ("masked", masked)):
        mated, non_mated = all_scores(probes, unmasked)
        fnmr, fmr = 1 - match_rate(mated, threshold), match_rate(non_mated, threshold)
        print(f"{name}: FNMR {fnmr:.2%}, FMR {fmr:.2%}")
    engine.close()


if __name__ == "__main__":
    main()
