"""Files of recognisers and doors that share one terminal: paths, locks, erasure, confirmation."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.audit.locations import all_log_locations
from edge.audit.reader import read_log
from edge.audit.writer import AuditLogWriter
from edge.cli import audit
from edge.config import TerminalConfig, load_config
from edge.errors import AlreadyRunningError, GalleryError
from edge.gallery.confirmation import await_confirmation, write_confirmation
from edge.gallery.database import Position
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore
from edge.system.lockfile import acquire_lock

WriteConfig = Callable[..., Path]
POSITION = Position(1, 2, 3, "k")
PEOPLE = [f"Person {number}" for number in range(12)]


def lane(write_config: WriteConfig, name: str | None, door: str = "main") -> TerminalConfig:
    """Return the configuration of a recogniser and a door of one terminal."""
    instance = {} if name is None else {"instance": name}
    access = {"lanes": [{"name": each, "door": each} for each in ("main", "left", "right")]}
    record = {"verification_key_dir": "keys"}
    return load_config(write_config(**instance, door={"name": door}, access=access, record=record))


def test_unnamed_instance_keeps_the_usual_files(write_config: WriteConfig, tmp_path: Path) -> None:
    config, state = lane(write_config, None), tmp_path / "state"
    assert config.decisions_path == state / "decisions"
    assert config.socket_path == state / "door.sock"
    assert config.record_key_path(config.decisions_path) == tmp_path / "keys" / "decisions.key"
    assert config.log_id(config.door_record_path) == f"{config.terminal}/door"


def test_instances_and_doors_share_no_own_file(write_config: WriteConfig, tmp_path: Path) -> None:
    configs = [
        lane(write_config, None),
        lane(write_config, "one", "left"),
        lane(write_config, "two", "right"),
    ]
    own = (
        "gallery_confirmed_path", "decisions_path", "clock_path", "pictures_path",
        "daemon_lock_path", "handover_path", "enroll_lock_path", "enroll_socket_path",
        "live_socket_path", "door_record_path", "door_lock_path", "door_outputs_path",
        "socket_path", "lockouts_path",
    )  # fmt: skip
    for name in own:
        assert len({getattr(config, name) for config in configs}) == 3, name
    for log in ("decisions_path", "door_record_path"):
        folders = [(config, getattr(config, log)) for config in configs]
        assert len({config.record_key_path(folder) for config, folder in folders}) == 3
        assert len({config.log_id(folder) for config, folder in folders}) == 3
    shared = ("gallery_path", "key_path", "people_path", "people_key_path", "zones_path")
    assert all(len({getattr(config, name) for config in configs}) == 1 for name in shared)
    assert configs[1].socket_path == tmp_path / "state" / "doors" / "left" / "door.sock"


def test_second_process_of_a_name_is_refused(write_config: WriteConfig) -> None:
    first = lane(write_config, "one", "left")
    lock = acquire_lock(first.daemon_lock_path, "edge-daemon", "instance")
    with pytest.raises(
        AlreadyRunningError, match=r"one: another edge-daemon .* another `instance`"
    ):
        acquire_lock(first.daemon_lock_path, "edge-daemon", "instance")
    other = lane(write_config, "two", "left")
    os.close(acquire_lock(other.daemon_lock_path, "edge-daemon", "instance"))
    os.close(lock)


def test_change_waits_for_all_recognisers(write_config: WriteConfig) -> None:
    one, two = lane(write_config, "one", "left"), lane(write_config, "two", "right")
    locks = [
        acquire_lock(config.daemon_lock_path, "edge-daemon", "instance") for config in (one, two)
    ]
    write_confirmation(one.gallery_confirmed_path, POSITION)
    with pytest.raises(GalleryError, match=r"restart edge-daemon@two \(sudo"):
        await_confirmation(
            one, POSITION, clock=iter(range(0, 100, 4)).__next__, pause=lambda _: None
        )
    pauses = iter([lambda: write_confirmation(two.gallery_confirmed_path, POSITION)])
    await_confirmation(lane(write_config, None), POSITION, pause=lambda _: next(pauses)())
    os.close(locks.pop())
    two.gallery_confirmed_path.unlink()
    await_confirmation(one, POSITION)  # one that does not run is not waited for
    os.close(locks.pop())


def test_erasure_covers_all_recognisers_and_doors(
    write_config: WriteConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [lane(write_config, "one", "left"), lane(write_config, "two", "right")]
    for config in configs:
        for folder in (config.decisions_path, config.door_record_path):
            with closing(AuditLogWriter(folder, log_id=config.log_id(folder))) as log:
                log.append({"kind": "decision", "subject": "Ada"})
        config.pictures_path.mkdir(parents=True)
    names = [location.name for location in all_log_locations(configs[1])]
    assert names == ["decisions-one", "decisions-two", "door-left", "door-right"]
    path = write_config(instance="two")
    assert audit.main(["erase", "--config", str(path), "--subject", "Ada"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: 1 personal parts are erased" in printed for name in names)
    for config in configs:
        for folder in (config.decisions_path, config.door_record_path):
            assert not any("subject" in record for record in read_log(folder))


def test_two_recognisers_follow_one_gallery(tmp_path: Path) -> None:
    """Both write, as a model migration does, and both see all people of the other one."""
    path, failures = tmp_path / "gallery.db", []
    rows = np.eye(len(PEOPLE), 16, dtype=np.float32)

    def opened(*, read_only: bool) -> GalleryStore:
        return GalleryStore(
            path, key=bytes(32), terminal="lobby", model_digest="m" * 64, dimension=16,
            read_only=read_only,
        )  # fmt: skip

    opened(read_only=False).close()
    barrier = threading.Barrier(2)

    def recognise(own: int) -> None:
        try:
            with closing(opened(read_only=True)) as reading, closing(opened(read_only=False)) as db:
                gallery = LiveGallery(reading)
                barrier.wait(60)
                for number in range(own, len(PEOPLE), 2):
                    db.enroll(PEOPLE[number], rows[number][None])
                    gallery.refresh()
                barrier.wait(60)
                gallery.refresh()
                assert gallery.index.subjects == len(PEOPLE)
                for name, row in zip(PEOPLE, rows, strict=True):
                    match = gallery.search(row)
                    assert match is not None and match.subject == name
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=recognise, args=(own,)) for own in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("socket", [None, "run/door.sock"])
def test_doors_agree_on_files_of_their_states(
    write_config: WriteConfig, socket: str | None
) -> None:
    names = ["main", "left", "right"]
    lanes = [{"name": name, "door": name} for name in names]
    access = {"lanes": lanes, "interlock_doors": names}
    door = {} if socket is None else {"socket": socket}
    states = []
    for name in names:
        config = load_config(write_config(door={**door, "name": name}, access=access))
        assert config.door_states[name].parent == config.socket_path.parent
        states.append(config.door_states)
    assert states[0] == states[1] == states[2] and len(set(states[0].values())) == 3
