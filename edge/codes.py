"""Base of the code enums: a stable value for records and programs, a sentence for people."""

from __future__ import annotations

from enum import Enum


class Code(str, Enum):
    """A member is written `NAME = "stable-code", "sentence for people"`. It equals its code.

    Codes are stored in records. Do not change one, add another.
    """

    sentence: str

    def __new__(cls, code: str, sentence: str = "") -> Code:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    def __str__(self) -> str:
        return str(self.value)


def sentence_of(codes: type[Code], code: str) -> str:
    """Return the sentence of a code of another process, which may be of another version."""
    return next((known.sentence for known in codes if known == code), "unknown code")
