"""Factors that one person presents at a lane, within a window."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edge.access.rules.values import Factor, OpenRequest, RulePerson


@dataclass(slots=True)
class FactorCollector:
    """Factors of the person whose request is open at one lane. Times are monotonic seconds."""

    window_s: float
    person: RulePerson | None = None
    _is_masked: bool = False  # the newest face
    _at: dict[Factor, float] = field(default_factory=dict)

    def add(self, factor: Factor, person: RulePerson, at: float, *, masked: bool) -> bool:
        """Add a factor; return False if the request of another person is open.

        A person may pass the camera without a request: any factor of another person ends the
        request of a face that waits alone. A face starts a new request at once, a card or PIN when
        it is presented again.
        """
        self._drop_expired(at)
        if self.person is not None and self.person.name != person.name:
            waits_alone = self._at.keys() == {Factor.FACE}
            if waits_alone:
                self.clear()
            if not waits_alone or factor is not Factor.FACE:
                return False
        self.person = person
        self._at[factor] = at
        if factor is Factor.FACE:
            self._is_masked = masked
        return True

    @property
    def presented(self) -> frozenset[Factor]:
        """Factors by kind; a duress PIN is a PIN."""
        return frozenset(Factor.PIN if each is Factor.DURESS_PIN else each for each in self._at)

    @property
    def is_masked(self) -> bool:
        """True if the newest face wears a mask; False without a face."""
        return self._is_masked and Factor.FACE in self._at

    @property
    def is_duress(self) -> bool:
        return Factor.DURESS_PIN in self._at

    @property
    def until(self) -> float:
        """Time until all presented factors count."""
        return min(self._at.values(), default=-math.inf) + self.window_s

    def open_request(self, at: float) -> OpenRequest | None:
        """Return the request that is open now."""
        self._drop_expired(at)
        if self.person is None:
            return None
        return OpenRequest(self.person, self.presented, self.until)

    def clear(self) -> None:
        self.person = None
        self._at.clear()

    def _drop_expired(self, at: float) -> None:
        """Drop factors that are too old, or that a clock running backwards puts in the future."""
        for factor in [f for f, since in self._at.items() if not 0 <= at - since <= self.window_s]:
            del self._at[factor]
        if not self._at:
            self.person = None
