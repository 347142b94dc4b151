"""Random secrets that are stored as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without I, O, 0 and 1
_CODE_GROUPS, _GROUP = 4, 4


def new_token() -> str:
    """Return a random text of 256 bits."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """Return a one-time code of 80 bits, such as `7KQF-M2XA-PT9C-WHE4`."""
    groups = (
        "".join(secrets.choice(_CODE_LETTERS) for _ in range(_GROUP)) for _ in range(_CODE_GROUPS)
    )
    return "-".join(groups)


def normalize_code(text: str) -> str:
    """Return a typed code in the form of `new_code`."""
    letters = "".join(letter for letter in text.upper() if letter.isalnum())
    return "-".join(letters[i : i + _GROUP] for i in range(0, len(letters), _GROUP))


def digest(secret: str) -> bytes:
    """Return the stored form of a random secret; a slow hash is for passwords only."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def csrf_token(session: str) -> str:
    """Return the token that forms of a session send."""
    return hmac.new(session.encode(), b"csrf", hashlib.sha256).hexdigest()
