"""The key of each record, made anew from the first ones, for whoever verifies."""

from __future__ import annotations

from collections.abc import Sequence

from edge.audit.chain import ChainLine, next_key, record_mac
from edge.audit.writer_state import VerificationKey


class VerificationKeys:
    """The key of each record, made anew from the first ones; those that root keeps come first, `trusted` of them."""

    def __init__(self, first: Sequence[VerificationKey], trusted: int) -> None:
        self._first, self._trusted = first, trusted
        self._at: dict[
            int, VerificationKey
        ] = {}  # of chains that may be the present one, by their place in the list
        self._settled = False

    def matches(self, line: ChainLine) -> bool | None:
        """Whether the MAC is by the key of that record, None where the chain's verification key is not there."""
        if not self._settled:
            self._at = {
                i: key for i, key in enumerate(self._first) if key.first_id <= line.id
            } | self._at
        self._at = {
            i: VerificationKey(line.id, next_key(key.key, line.id - key.first_id))
            for i, key in self._at.items()
        }
        for i, key in self._at.items():
            if record_mac(key.key, line.hash) == line.mac:
                self._at, self._settled = {i: key}, True
                return True
        return False if self._at else None

    def starts_chain(self, line: ChainLine) -> bool:
        """Whether another chain begins here, by one of the verification keys; it is the one that counts from here on."""
        for i, first in enumerate(self._first):
            if (
                first.first_id == line.id
                and i not in self._at
                and record_mac(first.key, line.hash) == line.mac
            ):
                self._at, self._settled = {i: first}, True
                return True
        return False

    def forget_chain(self) -> None:
        """A chain begins whose verification key is not there."""
        self._at, self._settled = {}, True

    @property
    def has_keys(self) -> bool:
        return bool(self._first)

    @property
    def current(self) -> tuple[int, VerificationKey] | None:
        """The chain that counts, and the key of the newest record."""
        return next(iter(self._at.items())) if self._settled and self._at else None

    @property
    def is_untrusted(self) -> bool:
        """Whether the present chain began with a key that root does not keep, or took over in another's place."""
        if self.current is None or not self._trusted:
            return False
        i = self.current[0]
        return i >= self._trusted or any(
            key.first_id == self._first[i].first_id for key in self._first[:i]
        )
