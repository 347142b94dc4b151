"""Write bundle folders atomically, with manifest entries of converted networks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from calibration.int8.probe_session import session_with_outputs
from edge.bundle import (
    EMBEDDER_NETWORK,
    MANIFEST,
    BundledFile,
    Manifest,
    ParityResult,
    file_digest,
    onnx_file,
)
from edge.errors import BundleError
from edge.values import Precision
from export.onnx_transforms import widen_to_fp32
from export.parity import check_embedder
from export.parity_data import load_parity

LICENCE = "LICENSE"


def converted_network(
    folder: Path, name: str, origin: str, precision: Precision, licence: str, *, reference: str
) -> BundledFile:
    """Return the manifest entry of a converted embedder with its parity result.

    INT8 with half-precision scales is for TensorRT only: it is compared in FP32 arithmetic.
    Raises BundleError if the gate refuses it.
    """
    chips, expected = load_parity(folder)
    digest = file_digest(folder / name)
    model = onnx.load(folder / name)
    with session_with_outputs(
        widen_to_fp32(model)
        if name == onnx_file(EMBEDDER_NETWORK, "int8", fp16_scales=True)
        else model
    ) as engine:
        verdict = check_embedder(
            engine, chips, expected, precision, judged=digest, reference=reference
        )
    return BundledFile(
        sha256=digest, origin=origin, licence=licence, verdict=require_passed(name, verdict)
    )


def require_passed(name: str, verdict: ParityResult) -> ParityResult:
    if not verdict.passed:
        raise BundleError(f"{name}: the parity gate refuses it: {verdict.reason}")
    return verdict


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to fill, which replaces `out` at the end of the block.

    Raises BundleError if `out` is not a bundle.
    """
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out}: exists and is not a bundle; name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        yield fresh
        old = Path(scratch) / "old"
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
