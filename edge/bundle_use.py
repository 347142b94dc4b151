"""Permitted use of a bundle, judged by the provenance list of its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Manifest
from edge.errors import BundleError
from edge.provenance import ProvenanceEntry, Use
from edge.validation_messages import format_problems

_NETWORKS = ("weights", "liveness")  # roles of entries that have the digest of a network
USE_WORDS: dict[Use, str] = {
    "commercial": "commercial",
    "research-only": "research only",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True)
class BundleUse:
    """Permitted use of a bundle, with the entries and gaps that rule out commercial use."""

    use: Use
    entries: tuple[ProvenanceEntry, ...]
    gaps: tuple[str, ...]  # what the provenance list lacks

    @property
    def names(self) -> str:
        """Names of the entries, and the gaps."""
        return "; ".join((*(entry.name for entry in self.entries), *self.gaps))

    def __str__(self) -> str:
        reasons = (*(f"{entry.name} ({entry.licence})" for entry in self.entries), *self.gaps)
        because = f", because of {'; '.join(reasons)}" if reasons else ""
        return f"{USE_WORDS[self.use]}{because}"


def assess_use(manifest: Manifest) -> BundleUse:
    """Return the use that all entries of the provenance list permit; a gap counts as unknown."""
    refused = tuple(entry for entry in manifest.provenance if entry.use != "commercial")
    gaps = tuple(_gaps(manifest))
    if any(entry.use == "research-only" for entry in refused):
        return BundleUse("research-only", refused, gaps)
    return BundleUse("unknown" if refused or gaps else "commercial", refused, gaps)


def check_commercial(path: Path, manifest: Manifest) -> None:
    """Raise BundleError that names each entry and gap that rules out commercial use."""
    found = assess_use(manifest)
    if found.use != "commercial":
        raise BundleError(
            f"{path}: not for commercial use; replace what is named, or leave out --use: "
            f"{format_problems([*map(str, found.entries), *found.gaps])}"
        )


def _gaps(manifest: Manifest) -> Iterator[str]:
    """Yield what the provenance list lacks: an entry for each network, and the training data."""
    if not manifest.provenance:
        yield "no provenance list: licence and origin of weights and data are unknown"
        return
    digests = {entry.sha256 for entry in manifest.provenance if entry.role in _NETWORKS}
    roles = {entry.role for entry in manifest.provenance}
    for name, file in manifest.files.items():
        if not name.endswith(".onnx"):
            continue
        source = file.sha256 if file.verdict is None else file.verdict.reference
        is_detector = name.startswith("detector-")  # its entry has the digest of the original
        if (is_detector and "detector" not in roles) or (not is_detector and source not in digests):
            yield f"{name}: not in the provenance list"
    if "training-data" not in roles:
        yield "training data: not in the provenance list"
