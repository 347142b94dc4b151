"""Two doors of one terminal: shared zones, the lock, and the interlock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.access.rules.values import DoorStatus
from edge.config import load_config
from edge.door.access_check import check_access
from edge.door.controller import InputKind, OperatorCommand
from edge.door.door_states import STALE_S, DoorStates
from edge.door.zone_lock import ZoneLock
from edge.system.timesync import boot_id
from tests.doors import CLOCK, passing
from tests.two_doors import INTERLOCK, ZONE, TestDoor, two_doors


def hold(folder: Path) -> ZoneLock:
    """Return the lock of the zones as another process holds it."""
    lock = ZoneLock(folder / "zones.lock", CLOCK)
    assert lock.try_acquire()
    return lock


def test_person_enters_by_one_door_only(tmp_path: Path) -> None:
    with two_doors(tmp_path, ZONE) as (left, right):
        assert left.face("Ada") is None and right.face("Ada") == "already-inside"
        assert right.face("Ada", "right-out") is None and left.face("Ada") is None


def test_occupancy_limit_holds_for_both_doors(tmp_path: Path) -> None:
    with two_doors(tmp_path, ZONE) as (left, right):
        assert [left.face("Ada"), right.face("Ben"), left.face("Cleo")] == [None] * 3
        assert right.face("Dora") == left.face("Dora") == "zone-full"


def test_reset_at_one_door_counts_at_both(tmp_path: Path) -> None:
    with two_doors(tmp_path, ZONE) as (left, right):
        assert left.face("Ada") is None
        right.door.access.reset_person("Ada")
        right.settle()
        assert right.door.access.zones["lab"][0] == 0
        assert left.face("Ada") is None
    with two_doors(tmp_path, ZONE) as (left, _):
        assert left.door.access.zones["lab"][0] == 1


@pytest.mark.parametrize("text", ["{", ""])
def test_reset_ends_an_invalid_state_for_both(tmp_path: Path, text: str) -> None:
    (tmp_path / "zones.json").write_text(text)
    with two_doors(tmp_path, ZONE) as (left, right):
        assert left.face("Ada") == right.face("Ada") == "zone-state-unknown"
        left.door.access.reset_all()
        left.settle()
        assert right.face("Ada") is None and left.face("Ben") is None


def test_held_lock_refuses_requests_only(tmp_path: Path) -> None:
    with two_doors(tmp_path, ZONE, has_inputs=True) as (left, _):
        assert left.wires is not None
        lock, began = hold(tmp_path), CLOCK()
        left.wires.put(InputKind.FIRE, True)  # while the request waits
        with passing():
            assert left.face("Ada") == "zones-busy"
        assert left.relay.energised and left.door.status()["reason"] == "fire"
        assert CLOCK() - began >= 0.2
        left.wires.put(InputKind.FIRE, False)
        CLOCK.advance(1.0)
        left.door.update()
        assert left.door.controller.execute(OperatorCommand.RESET_FIRE, CLOCK()) is None
        assert left.door.controller.execute(OperatorCommand.HOLD, CLOCK()) is None
        left.door.update()
        assert left.relay.energised
        lock.close()  # as if its process were killed
        assert left.face("Ada") is None


def test_change_waits_for_the_lock(tmp_path: Path) -> None:
    with two_doors(tmp_path, ZONE) as (left, right):
        assert left.face("Ada") is None
        lock = hold(tmp_path)
        save = left.door.access.reset_person("Ada")
        left.door.update()
        assert not save.done.is_set()
        lock.close()
        left.settle()
        assert save.written and right.face("Ada") is None


def test_plain_lane_takes_no_lock(tmp_path: Path) -> None:
    lanes = [{"name": "left-in", "door": "left"}, {"name": "right-in", "door": "right"}]
    with two_doors(tmp_path, {"lanes": lanes}) as (left, right):
        lock = hold(tmp_path)
        assert left.face("Ada") is None and right.face("Ada") is None
        lock.close()


def test_missing_file_is_written_again(tmp_path: Path) -> None:
    with two_doors(tmp_path, ZONE) as (left, right):
        assert left.face("Ada") is None
        (tmp_path / "zones.json").unlink()
        assert left.face("Ada") == "already-inside"
        left.settle()
        assert right.face("Ada") == "already-inside"


# -------------------------------------------------------------------- interlock


def test_check_names_doors_without_state(write_config: Callable[..., Path]) -> None:
    path = write_config(access=INTERLOCK, door={"name": "left"})
    config = load_config(path)
    found = [each.message for each in check_access(config) if "interlock_doors" in each.message]
    assert "the door has no contact" in found[0] and "the door right publishes no" in found[1]
    states = DoorStates(config.door_states, "right", time.monotonic, boot_id())
    config.door_states["right"].parent.mkdir(parents=True)
    assert states.publish(DoorStatus(is_unlocked=False, is_open=True))
    assert [each.message for each in check_access(config) if each.is_ok] == [
        "access.interlock_doors: the door right publishes its state"
    ]


def test_interlocked_doors_open_in_turn(tmp_path: Path) -> None:
    with two_doors(tmp_path, INTERLOCK) as (left, right):
        assert left.face("Ada") is None and right.face("Ben") == "interlock"
        left.relock()
        right.door.update()
        assert right.face("Ben") is None and left.face("Ada") == "interlock"


def test_stopped_door_counts_as_open(tmp_path: Path) -> None:
    with two_doors(tmp_path, INTERLOCK) as (left, right):
        CLOCK.advance(STALE_S + 0.1)
        assert right.face("Ada") == "interlock"  # no heartbeat of the other one
        left.door.update()
        assert right.face("Ada") is None
        right.relock()
        left.door.states.close()
        assert right.face("Ada") == "interlock"


@pytest.mark.parametrize("kind", [InputKind.FIRE, InputKind.REX])
def test_fire_and_rex_ignore_the_interlock(tmp_path: Path, kind: InputKind) -> None:
    with two_doors(tmp_path, INTERLOCK, has_inputs=True) as (left, right):
        assert left.wires is not None
        assert right.face("Ada") is None
        left.wires.put(kind, True)
        CLOCK.advance(0.1)
        left.door.update()
        assert left.relay.energised and right.relay.energised
        right.relock()
        assert right.face("Ada") == "interlock"


def test_unpublished_door_is_not_granted(tmp_path: Path) -> None:
    with two_doors(tmp_path, INTERLOCK) as (left, right):
        (tmp_path / "left" / "door.state").unlink()
        (tmp_path / "left" / "door.state").mkdir()  # it cannot be replaced
        CLOCK.advance(1.0)
        right.door.update()
        assert left.face("Ada") == "not-recorded" and not left.relay.energised


def test_grant_after_release_sees_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_doors(tmp_path, INTERLOCK) as (left, right):
        answers = request_at_release(left, right, monkeypatch)
        assert left.face("Ada") is None
        assert answers == ["interlock"] and not right.relay.energised


def test_late_publication_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that publishes after it releases the lock unlocks together with another one."""
    with two_doors(tmp_path, INTERLOCK) as (left, right):
        monkeypatch.setattr(DoorStates, "publish", lambda *_: True)
        request_at_release(left, right, monkeypatch)
        assert left.face("Ada") is None and left.relay.energised and right.relay.energised


def request_at_release(
    left: TestDoor, right: TestDoor, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """Request a grant at the right door as soon as the left one releases the lock."""
    answers: list[object] = []
    release: Callable[[ZoneLock], None] = ZoneLock.release

    def release_and_request(lock: ZoneLock) -> None:
        release(lock)
        if left.relay.energised and not answers:
            answers.append("asked")
            answers[0] = right.face("Ben")

    monkeypatch.setattr(ZoneLock, "release", release_and_request)
    return answers
