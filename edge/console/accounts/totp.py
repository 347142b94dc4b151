"""Time-based one-time passwords of an authenticator app (TOTP, RFC 6238)."""

from __future__ import annotations

import hmac
import re

import pyotp

STEP_S = 30
_STEPS = (0, -1, 1)  # the clock of the phone may differ by one step


def new_secret() -> str:
    """Return a random secret of 160 bits in Base32."""
    return pyotp.random_base32()


def setup_address(secret: str, name: str, terminal: str) -> str:
    """Return the `otpauth:` address that an authenticator app opens."""
    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=name, issuer_name=terminal)


def matching_step(secret: str, code: str, now: float) -> int | None:
    """Return the step of a valid code, None if it is invalid. `now` in Unix seconds."""
    digits = "".join(code.split())
    if not (digits.isascii() and digits.isdecimal()):
        return None
    totp = pyotp.TOTP(secret, interval=STEP_S)
    current = int(now // STEP_S)
    for offset in _STEPS:
        if hmac.compare_digest(totp.generate_otp(current + offset), digits):
            return current + offset
    return None


def is_secret(text: str) -> bool:
    """Return True for a text in the form of `new_secret`."""
    return re.fullmatch(r"[A-Z2-7]{32}", text) is not None
