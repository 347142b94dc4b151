"""What a photo is before anything decodes it: decoders trust lengths that nobody wrote in good faith."""

from __future__ import annotations

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_CHUNK_BYTES = 12  # length, kind and checksum around what a PNG's chunk holds


def is_photo(encoded: bytes) -> bool:
    """Whether it begins as JPEG or PNG do, and no chunk of a PNG claims to go beyond its end: OpenCV would make room for that."""
    return encoded.startswith(_JPEG) or (encoded.startswith(_PNG) and _chunks_fit(encoded))


def _chunks_fit(encoded: bytes) -> bool:
    at = len(_PNG)
    while at + _CHUNK_BYTES <= len(encoded):
        kind, at = (
            encoded[at + 4 : at + 8],
            at + _CHUNK_BYTES + int.from_bytes(encoded[at : at + 4], "big"),
        )
        if kind == b"IEND":
            return at <= len(encoded)
    return False
