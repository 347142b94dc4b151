"""Read aligned chips from tar files and folders; fixed train/validation split by identity."""

from __future__ import annotations

import hashlib
import logging
import tarfile
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.chip import SIZE
from edge.errors import ConfigError
from edge.names import check_spellings, normalize_name
from edge.system.leftovers import is_leftover

log = logging.getLogger(__name__)

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
_REAL_MASK_PREFIX = "m_"
_VALIDATION_SHARE = 10
_CHIP_BYTES_MAX = 16 << 20


def read_chips(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield `(identity/image, encoded bytes)` of a tar file or folder, in name order.

    One folder around all identities is not part of the name; leftovers of operating systems are
    ignored. Raises ConfigError for another layout, or a source that is neither tar nor folder.
    """
    if source.suffix == ".tar" and source.is_file():
        yield from _read_tar(source)
    elif source.is_dir():
        files = {p.relative_to(source).as_posix(): p for p in _walk(source)}
        for name, found in _by_identity(source, files):
            yield name, files[found].read_bytes()
    else:
        raise ConfigError(
            f"{source}: expected a .tar file or a folder of <identity>/<image>, found neither"
        )


def _read_tar(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(source) as tar:
            members = {m.name: m for m in tar if m.isfile()}
            for name, found in _by_identity(source, members):
                if members[found].size > _CHIP_BYTES_MAX:
                    raise ConfigError(
                        f"{source}: {found} has {members[found].size:,} bytes, "
                        f"a chip at most {_CHIP_BYTES_MAX:,}"
                    )
                file = tar.extractfile(members[found])
                assert file is not None  # isfile() above
                yield name, file.read()
    except (tarfile.TarError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{source}: not a tar file that can be read: {reason}") from error


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files down to one level below the usual layout."""
    for pattern in ("*", "*/*", "*/*/*"):
        yield from (path for path in folder.glob(pattern) if path.is_file())


def _by_identity(source: Path, files: Iterable[str]) -> list[tuple[str, str]]:
    """Return `(identity/image, path as found)` of all chips, sorted; raises ConfigError."""
    found = {
        tuple(part for part in name.split("/") if part not in ("", ".")): name
        for name in files
        if name.lower().endswith(_IMAGE_ENDINGS) and not is_leftover(name)
    }
    if outside := [name for parts, name in found.items() if len(parts) == 1]:
        log.warning(
            "%s: %d images in no person's folder are left out, such as %s",
            source,
            len(outside),
            outside[0],
        )
    chips = {parts: name for parts, name in found.items() if len(parts) > 1}
    if len({parts[0] for parts in chips}) == 1 and all(len(parts) == 3 for parts in chips):
        chips = {parts[1:]: name for parts, name in chips.items()}
    for parts, name in chips.items():
        if len(parts) != 2 or ".." in parts:
            raise ConfigError(
                f"{source}: expected <identity>/<image>, found {name!r}; name the folder that "
                "holds the people's folders, or pack it by: tar cf chips.tar -C FOLDER ."
            )
    check_spellings(source, (parts[0] for parts in chips))
    return sorted((chip_name("/".join(parts)), name) for parts, name in chips.items())


def chip_name(name: str) -> str:
    """Return the normalised form of `identity/image`, for folders of any operating system."""
    identity, slash, image = name.partition("/")
    return f"{normalize_name(identity)}{slash}{unicodedata.normalize('NFC', image)}"


def decode_chip(encoded: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a chip (112,112,3) uint8 BGR; raises ConfigError for other bytes."""
    try:
        image = (
            cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
        )
    except cv2.error:  # the header states more pixels than OpenCV accepts
        image = None
    if image is None or image.shape != (SIZE, SIZE, 3):
        found = "no image" if image is None else f"{image.shape[1]}x{image.shape[0]}"
        raise ConfigError(
            f"{name}: expected an aligned chip of {SIZE}x{SIZE} pixels, found {found}"
        )
    return np.asarray(image, dtype=np.uint8)


def pick_chips(source: Path, max_chips: int) -> NDArray[np.uint8]:
    """Return up to `max_chips` chips (N,112,112,3), evenly spaced over a folder or tar file.

    Raises ConfigError if there are none.
    """
    found = list(read_chips(source))
    if not found:
        raise ConfigError(f"{source}: expected aligned chips as <person>/<image>, found none")
    return np.stack(
        [
            decode_chip(data, name)
            for name, data in found[:: max(1, len(found) // max_chips)][:max_chips]
        ]
    )


def is_validation_identity(identity: str) -> bool:
    """Return True for a fixed tenth of identities, by name digest; they are never trained on."""
    return int(hashlib.sha256(identity.encode()).hexdigest(), 16) % _VALIDATION_SHARE == 0


def has_real_mask(name: str) -> bool:
    """Return True if the file name marks a real mask: `<identity>/m_<...>`."""
    return name.rsplit("/", 1)[-1].startswith(_REAL_MASK_PREFIX)


@dataclass(frozen=True, eq=False)
class ChipFolder:
    """Encoded chips with their names and person labels."""

    names: tuple[str, ...]  # <identity>/<image>
    encoded: tuple[bytes, ...]
    labels: NDArray[np.int64]
    identities: dict[str, int]  # label of each person

    def __len__(self) -> int:
        return len(self.names)

    @property
    def people(self) -> int:
        return len(np.unique(self.labels))

    def chip(self, i: int) -> NDArray[np.uint8]:
        return decode_chip(self.encoded[i], self.names[i])


def validation_chips(
    sources: list[Path],
    *,
    all_identities: bool = False,
    real_masks: bool = False,
    labels_of: ChipFolder | None = None,
) -> ChipFolder:
    """Return the chips of the validation identities, or of all identities.

    Only chips without a real mask are returned, or with `real_masks` only those with one. People of
    `labels_of` keep their labels. A folder name is one person across all sources, and a picture in
    two sources counts once: parts of one data set overlap, and one person under two labels would
    raise every threshold. Raises ConfigError if no chip is left.
    """
    names: list[str] = []
    encoded: list[bytes] = []
    people = dict(labels_of.identities) if labels_of is not None else {}
    labels: list[int] = []
    seen: set[str] = set()
    for source in sources:
        for name, data in read_chips(source):
            identity = name.split("/")[0]
            if (
                name in seen
                or has_real_mask(name) != real_masks
                or not (all_identities or is_validation_identity(identity))
            ):
                continue
            seen.add(name)
            names.append(name)
            encoded.append(data)
            labels.append(people.setdefault(identity, len(people)))
    if not names:
        kind = "chips with a real mask (m_<image>)" if real_masks else "chips without a real mask"
        whose = "" if all_identities else " of the tenth of people that training keeps apart"
        raise ConfigError(
            f"{', '.join(str(s) for s in sources)}: no {kind}{whose}; "
            f"name other sources{'' if all_identities else ' or add --all-identities'}"
        )
    return ChipFolder(tuple(names), tuple(encoded), np.array(labels, np.int64), people)
