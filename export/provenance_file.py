"""YAML file with the provenance list of a network and its data."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge.errors import BundleError, ConfigError
from edge.frozen_model import FrozenModel
from edge.parsing import read_yaml, validate
from edge.provenance import ProvenanceEntry, Role

_ENTRIES_MAX = 90  # the lists of embedder and liveness network fit into one manifest
_ADDED = ("detector", "liveness")  # roles of networks that mfsa-bundle make adds


class ProvenanceFile(FrozenModel):
    """Content of a provenance file."""

    provenance: tuple[ProvenanceEntry, ...] = Field(max_length=_ENTRIES_MAX)


def read_provenance(path: Path, digest: str, role: Role = "weights") -> tuple[ProvenanceEntry, ...]:
    """Read the provenance list of a network, which has one entry with this role.

    That entry gets the network's digest. Raises BundleError.
    """
    try:
        document = read_yaml(path.read_text(encoding="utf-8"))
        entries = validate(ProvenanceFile, document).provenance
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read: {error}; see docs/licences.md") from error
    except ConfigError as error:
        raise BundleError(f"{path}: {error}") from error
    for entry in entries:
        if entry.role in _ADDED and entry.role != role:
            raise BundleError(
                f"{path}: {entry.name}: role {entry.role} is added by mfsa-bundle make; "
                "remove the entry"
            )
    networks = [entry for entry in entries if entry.role == role]
    if len(networks) != 1:
        raise BundleError(
            f"{path}: expected one entry with role {role}, found {len(networks)}; "
            "weights that the training started from have the role encoder"
        )
    _check_digest(path, networks[0], digest)
    return tuple(
        entry.model_copy(update={"sha256": digest}) if entry.role == role else entry
        for entry in entries
    )


def _check_digest(path: Path, entry: ProvenanceEntry, digest: str) -> None:
    if entry.sha256 not in (None, digest):
        raise BundleError(
            f"{path}: {entry.name}: sha256 is {digest[:12]}..., the list says "
            f"{str(entry.sha256)[:12]}...: name the file that is packed, or leave out sha256"
        )
