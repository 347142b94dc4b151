"""The model bundle: a folder whose manifest names every file by digest and says what the model may be trusted with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import BundleError, describe_validation

MANIFEST = "manifest.json"
SCHEMA = 1
EMBEDDER = "embedder.onnx"
PARITY = "parity.npz"
DETECTOR_SIZES = ("640x480", "320x256")


def detector_file(size: str) -> str:
    return f"detector-{size}.onnx"


REQUIRED_FILES = (EMBEDDER, PARITY, *(detector_file(size) for size in DETECTOR_SIZES))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BundledFile(_Part):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    origin: str = Field(description="where it comes from; for converted files with the digest of the source")
    licence: str


class OperatingPoint(_Part):
    """One threshold and what was measured at it, on comparisons of different people."""

    threshold: float = Field(gt=-1, lt=1)
    target_fmr: float = Field(gt=0, lt=1)
    fmr: float = Field(ge=0, le=1)
    fmr_upper: float = Field(ge=0, le=1, description="95 % upper bound by bootstrap over people")
    comparisons: int = Field(ge=0, description="non-mated")
    fnmr: float = Field(ge=0, le=1)
    fnmr_upper: float = Field(ge=0, le=1)
    mated: int = Field(ge=0)


class Calibration(_Part):
    """Thresholds of the model; both are fixed on data that it was not trained on."""

    embedder: str = Field(description="sha256 of the ONNX file that was measured", pattern=r"^[0-9a-f]{64}$")
    unmasked: OperatingPoint
    masked: OperatingPoint
    same_person: float = Field(gt=-1, lt=1, description="enrollment photos less alike are refused: FMR 1e-2, unmasked")
    data: str
    people: int
    kept_apart: bool = Field(description="whether these people were kept apart from training by the fixed split")
    gallery_size: int = Field(ge=0, description="largest gallery for which FPIR stays within `fpir_target` at the upper bound")
    fpir_target: float


class Manifest(_Part):
    schema_version: Literal[1]
    name: str
    preprocessing: str
    embedding: int = Field(ge=1)
    attention: tuple[int, int, int]
    calibration: Calibration
    accuracy: dict[str, Any] = Field(description="figures of mfsa-evaluate, as it printed them")
    data: str = Field(description="what the model was trained on")
    licence: str
    code_version: str
    files: dict[str, BundledFile]


class Bundle(_Part):
    """A checked bundle."""

    path: Path
    manifest: Manifest

    @property
    def embedder_path(self) -> Path:
        return self.path / EMBEDDER

    def detector_path(self, size: str) -> Path:
        return self.path / detector_file(size)

    @property
    def model_digest(self) -> str:
        """What a gallery belongs to: the embedder's digest."""
        return self.manifest.files[EMBEDDER].sha256


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle folder, its files unchecked; raises BundleError."""
    try:
        fields = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: no model bundle there ({error.strerror}); make one with: mfsa-bundle make {path}") from error
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST}: not valid JSON ({error}); make the bundle again with mfsa-bundle") from error
    found = fields.get("schema_version") if isinstance(fields, dict) else None
    if found != SCHEMA:
        raise BundleError(
            f"{path / MANIFEST}: expected schema_version {SCHEMA}, found {found!r}; make the bundle with this version"
        )
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise BundleError(f"{path / MANIFEST}: {describe_validation(error)}") from error


def open_bundle(path: Path, preprocessing: str) -> Bundle:
    """A complete bundle whose every file has the digest that the manifest names, made for this preprocessing.

    Raises BundleError that names the first file which is missing or changed.
    """
    manifest = read_manifest(path)
    if manifest.preprocessing != preprocessing:
        raise BundleError(
            f"{path}: the model wants preprocessing {manifest.preprocessing!r}, this version does {preprocessing!r}; "
            "use the version that made it"
        )
    absent = [name for name in REQUIRED_FILES if name not in manifest.files]
    if absent:
        raise BundleError(f"{path}: the bundle lacks {', '.join(absent)}; complete it with: mfsa-bundle make OUT --from {path}")
    for name, entry in manifest.files.items():
        file = path / name
        if Path(name).name != name:
            raise BundleError(f"{path / MANIFEST}: expected plain file names, found {name!r}")
        if not file.is_file():
            raise BundleError(f"{file}: missing from the bundle; make it again with mfsa-bundle")
        digest = file_digest(file)
        if digest != entry.sha256:
            raise BundleError(
                f"{file}: sha256 is {digest[:12]}..., the manifest says {entry.sha256[:12]}...: "
                "the file was changed or damaged; make the bundle again with mfsa-bundle"
            )
    return Bundle(path=path, manifest=manifest)


def file_digest(path: Path) -> str:
    """The sha256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
