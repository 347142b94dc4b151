"""Two door processes that share zones, against the oracle, in short; see `make rules-fuzz`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.access.rules.content import ZoneContent
from edge.access.rules.engine import RulesEngine
from edge.door import access_controller
from edge.door.zone_file import PendingRead, ZoneFile
from edge.door.zone_lock import ZoneLock
from tests.rules import shared
from tests.rules.mutants import ErasesLikeReset
from tests.rules.shared import run_shared_steps


def test_random_shared_doors_agree_with_oracle() -> None:
    outcomes = run_shared_steps(2000, seed=1)
    assert outcomes["allowed"] > 50 and outcomes["zones-busy"] > 20
    assert outcomes["killed while granting"] > 5
    assert {"already-inside", "not-inside", "interlock", "zone-state-unknown"} <= outcomes.keys()


class NoLock(ZoneLock):
    """Lets two processes decide at the same time."""

    def try_acquire(self) -> bool:
        self.is_held = True
        return True


class ReadsOnce(ZoneFile):
    """Reads no state of another process after the start."""

    _count = 0

    def read(self) -> PendingRead:
        self._count += 1
        if self._count == 1:
            return super().read()
        same = PendingRead()
        same.done.set()
        return same


class CountsGrantsOfOtherDoors(RulesEngine):
    """Counts people as inside whose grant waits at another running door."""

    def load(self, content: ZoneContent) -> None:
        for entry in content.pending:
            content.commit_unknown(entry)
        super().load(replace(content, pending=[]))


class LosesChanges(RulesEngine):
    """Takes a newer state without the changes that are not saved."""

    def refresh(self, content: ZoneContent) -> bool:
        self.mark_saved(0, self.revision(0.0))
        return super().refresh(content)


class AppliesChangesTwice(RulesEngine):
    """Applies changes that are saved to a newer state again."""

    def mark_saved(self, first: int, last: int) -> None: ...


@pytest.mark.parametrize("mutant", [NoLock, ReadsOnce])
def test_broken_sharing_is_caught(mutant: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, mutant.__base__.__name__, mutant)
    with pytest.raises(AssertionError, match="seed"):
        run_shared_steps(3000, seed=1)


@pytest.mark.parametrize(
    "mutant", [CountsGrantsOfOtherDoors, LosesChanges, AppliesChangesTwice, ErasesLikeReset]
)
def test_broken_engine_at_two_doors_is_caught(
    mutant: type[RulesEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_controller, "RulesEngine", mutant)
    with pytest.raises(AssertionError, match="seed"):
        run_shared_steps(3000, seed=1)
