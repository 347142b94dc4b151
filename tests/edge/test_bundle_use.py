"""Permitted use of a bundle by its provenance list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.bundle import LIVENESS, BundledFile, Manifest, read_manifest
from edge.bundle_use import assess_use, check_commercial
from edge.errors import BundleError
from edge.provenance import ProvenanceEntry
from export.bundle import reference_bundle


def entry(**changes: Any) -> ProvenanceEntry:
    """Return an entry that permits commercial use, with changes."""
    fields = {
        "name": "faces",
        "role": "training-data",
        "licence": "MIT",
        "origin": {"publisher": "us"},
        "use": "commercial",
    }
    return ProvenanceEntry.model_validate({**fields, **changes})


def listing(*entries: ProvenanceEntry, files: dict[str, BundledFile] | None = None) -> Manifest:
    """Return the reference's manifest with the embedder's entry and others in its list."""
    manifest = read_manifest(reference_bundle())
    weights = entry(name="w", role="weights", sha256=manifest.files["embedder.onnx"].sha256)
    update = {"provenance": (weights, *entries), "files": {**manifest.files, **(files or {})}}
    return manifest.model_copy(update=update)


def test_complete_list_permits_commercial_use() -> None:
    manifest = listing(entry())
    assert str(assess_use(manifest)) == "commercial"
    check_commercial(Path("bundle"), manifest)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("research-only", "research only, because of faces (NOASSERTION)"),
        ("unknown", "unknown, because of faces (NOASSERTION)"),
    ],
)
def test_one_entry_rules_out_commercial_use(use: str, words: str) -> None:
    manifest = listing(entry(use=use, licence="NOASSERTION", origin={}))
    assert str(assess_use(manifest)) == words
    with pytest.raises(BundleError, match=rf"training-data faces \({use}, NOASSERTION\)"):
        check_commercial(Path("bundle"), manifest)


def test_gate_names_networks_without_entry() -> None:
    file = BundledFile(sha256="1" * 64, origin="", licence="")
    added = {LIVENESS: file, "detector-640x480.onnx": file}
    manifest = listing(files=added)
    assert assess_use(manifest).gaps == (
        "liveness.onnx: not in the provenance list",
        "detector-640x480.onnx: not in the provenance list",
        "training data: not in the provenance list",
    )
    known = (
        entry(),
        entry(role="liveness", sha256="1" * 64),
        entry(role="detector", sha256="2" * 64),
    )
    assert assess_use(listing(*known, files=added)).use == "commercial"


def test_digest_in_entry_of_data_is_no_entry() -> None:
    file = BundledFile(sha256="1" * 64, origin="", licence="")
    manifest = listing(entry(sha256="1" * 64), files={LIVENESS: file})
    assert assess_use(manifest).gaps == ("liveness.onnx: not in the provenance list",)


def test_old_manifest_reads_as_unknown(tmp_path: Path) -> None:
    manifest = read_manifest(reference_bundle())
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json(exclude={"provenance"}))
    old = read_manifest(tmp_path)
    assert old.provenance == ()
    assert str(assess_use(old)).startswith("unknown, because of no provenance list")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": "ask us!"}, "expected an SPDX licence expression"),
        ({"licence": "MTI"}, "found 'MTI'"),
        ({"licence": "MIT AND"}, "expected an SPDX licence expression"),
        ({"licence": "MIT\nOR MIT"}, "expected an SPDX licence expression"),
        ({"licence": "LicenseRef-ours"}, "needs `terms`"),
        ({"licence": "NOASSERTION"}, "the licence is NOASSERTION"),
        ({"origin": {"package": "p"}}, "origin.publisher is missing"),
        ({"use": "anything"}, "commercial"),
        ({"role": "data"}, "training-data"),
        ({"name": "two\nlines"}, "name"),
        ({"sha256": "1234"}, "sha256"),
        ({"note": "more"}, "note"),
    ],
)
def test_entry_with_wrong_value_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        entry(**changes)
