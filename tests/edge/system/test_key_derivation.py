from __future__ import annotations

import hashlib
import hmac

import pytest

from edge.system.key_derivation import derive_key


@pytest.mark.parametrize("use", ["seal", "tag", "evidence 1", "head 1"])
def test_derived_keys_do_not_change(use: str) -> None:
    """RFC 5869 by hand: stored files must stay readable in every version."""
    key = bytes(range(32))
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    assert derive_key(key, use) == hmac.digest(
        extracted, b"mfsa-edge " + use.encode() + b"\x01", hashlib.sha256
    )


def test_derived_keys_differ() -> None:
    keys = {derive_key(bytes(32), use) for use in ("seal", "tag", "evidence 1", "head 1")} | {
        derive_key(b"\1" * 32, "seal")
    }
    assert len(keys) == 5
