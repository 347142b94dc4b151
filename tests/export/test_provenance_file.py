"""Provenance file: the network's digest is added, mistakes are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import BundleError
from export.provenance_file import read_provenance

DIGEST = "a" * 64
WEIGHTS = "{name: w, role: weights, licence: MIT, origin: {publisher: us}, use: commercial}"
FACES = "{name: faces, role: training-data, licence: NOASSERTION, use: unknown}"
REFERENCE = Path(__file__).resolve().parents[2] / "train" / "provenance" / "reference.yaml"


def write(path: Path, *entries: str) -> Path:
    path = path / "provenance.yaml"
    path.write_text("provenance:\n" + "".join(f"  - {entry}\n" for entry in entries))
    return path


def test_provenance_weights_get_digest(tmp_path: Path) -> None:
    weights, faces = read_provenance(write(tmp_path, WEIGHTS, FACES), DIGEST)
    assert (weights.sha256, faces.sha256, faces.use) == (DIGEST, None, "unknown")


def test_provenance_of_reference_is_valid() -> None:
    entries = read_provenance(REFERENCE, DIGEST)
    uses = {entry.use for entry in entries if entry.role == "training-data"}
    assert uses == {"research-only", "unknown"}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([FACES], "expected one entry with role weights, found 0"),
        ([WEIGHTS, WEIGHTS], "expected one entry with role weights, found 2"),
        ([WEIGHTS.replace("MIT", "MTI")], r"licence.*: expected an SPDX licence expression"),
        ([WEIGHTS, FACES.replace("training-data", "detector")], "role detector is added by"),
        ([WEIGHTS[:-1] + f", sha256: {'b' * 64}}}"], "w: sha256 is aaaaaaaaaaaa..., the list says"),
        (
            [WEIGHTS[:-1] + ", licence_id: MIT}"],
            r"licence_id \(line 2\): unknown key; did you mean",
        ),
        ([FACES.replace(", use: unknown", "")], r"use \(line 2\): required|use: required"),
        ([FACES.replace("unknown", "free")], "commercial, research-only or unknown"),
        ([], "provenance"),
        ([WEIGHTS.replace("MIT", "licenseref-x")], "licence licenseref-x needs `terms`"),
        ([WEIGHTS.replace("MIT", "CC-BY-NC-4.0")], "licence CC-BY-NC-4.0 forbids it; write use"),
        ([WEIGHTS.replace("MIT", "CC-BY-NC-SA-4.0 AND MIT")], "forbids it"),
        ([WEIGHTS.replace("name: w", 'name: " "')], "name .*expected one line of text, found ' '"),
        ([WEIGHTS.replace("name: w", r'name: "a\nb"')], r"one line of text, found 'a\\nb'"),
        ([WEIGHTS.replace("name: w", r'name: "a\u202eb"')], r"one line of text, found 'a\\u202eb'"),
    ],
)
def test_provenance_mistake_is_refused(tmp_path: Path, entries: list[str], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        read_provenance(write(tmp_path, *entries), DIGEST)


def test_licence_with_commercial_choice_is_kept(tmp_path: Path) -> None:
    either = WEIGHTS.replace("MIT", "CC-BY-NC-4.0 OR MIT")
    (weights,) = read_provenance(write(tmp_path, either), DIGEST)
    assert weights.use == "commercial"


def test_provenance_file_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.yaml: cannot be read"):
        read_provenance(tmp_path / "none.yaml", DIGEST)
