"""Model bundles that many tests read; each is made once and shared by all test processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle import read_manifest
from export import bundle as bundles

_REFERENCE = read_manifest(bundles.reference_bundle())
CALIBRATION = _REFERENCE.calibration
EMBEDDING = _REFERENCE.embedding  # embedding length of the reference
INT8_CHIPS = _REFERENCE.int8.chips if _REFERENCE.int8 else ""  # digest of those of its ranges
FLOAT_LAYERS = _REFERENCE.int8.float_layers if _REFERENCE.int8 else ()  # of its INT8 form


def make_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path, Path], None]
) -> Path:
    """Return what `make(path, scratch)` writes to `path`, made by the first process that needs it.

    The workers of pytest-xdist share the folder above their own ones.
    """
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = root / f"shared-{name}" / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            scratch = factory.mktemp(name)
            make(scratch / name, scratch)
            made.parent.mkdir()
            (scratch / name).rename(made)
    return made


def make_reference(path: Path, _: Path) -> None:
    bundles.make_bundle(path, bundles.reference_bundle(), replace=False)
