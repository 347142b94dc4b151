"""Keys of all records, derived from the verification keys."""

from __future__ import annotations

from collections.abc import Sequence

from edge.audit.chain import ChainLine, next_key, record_mac
from edge.audit.writer_state import VerificationKey


class VerificationKeys:
    """Derives the key of each record; root keeps the first `trusted` keys of the list."""

    def __init__(self, first: Sequence[VerificationKey], trusted: int) -> None:
        self._first, self._trusted = first, trusted
        # Chains that may be the current one, by their index in the list of keys.
        self._at: dict[int, VerificationKey] = {}
        self._settled = False

    def matches(self, line: ChainLine) -> bool | None:
        """Return True if the MAC has the key of this record; None without a key of the chain."""
        if not self._settled:
            begun = {i: key for i, key in enumerate(self._first) if key.first_id <= line.id}
            self._at = begun | self._at
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
        """Return True if another chain begins with this record; it is the current one then."""
        for i, first in enumerate(self._first):
            is_other = first.first_id == line.id and i not in self._at
            if is_other and record_mac(first.key, line.hash) == line.mac:
                self._at, self._settled = {i: first}, True
                return True
        return False

    def forget_chain(self) -> None:
        """Begin a chain whose verification key is missing."""
        self._at, self._settled = {}, True

    @property
    def has_keys(self) -> bool:
        """True if there is a verification key."""
        return bool(self._first)

    @property
    def current(self) -> tuple[int, VerificationKey] | None:
        """Index of the current chain and the key of the newest record."""
        return next(iter(self._at.items())) if self._settled and self._at else None

    @property
    def is_untrusted(self) -> bool:
        """True if root does not keep the key of the current chain, or it replaced another one."""
        if self.current is None or not self._trusted:
            return False
        i = self.current[0]
        return i >= self._trusted or any(
            key.first_id == self._first[i].first_id for key in self._first[:i]
        )
