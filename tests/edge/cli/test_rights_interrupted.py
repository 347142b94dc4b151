"""Enrollment and removal of one name at once, each interrupted at each step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.cli import door
from edge.cli.gallery import main as gallery
from edge.config import TerminalConfig, load_config
from edge.door import credential_editor, name_locks
from edge.door.credential_editor import CredentialEditor, edit_credentials
from edge.door.credentials_file import read_document
from edge.errors import DoorError, MfsaError
from edge.gallery.store import GalleryStore
from edge.people import changes, rights
from edge.people.author import ChangeAuthor
from edge.people.rights import change_rights
from tests.bundles import EMBEDDING
from tests.edge.cli.test_gallery import opened

LAST_DAY = date(2031, 1, 1)
STEPS: tuple[tuple[Any, str], ...] = (
    (rights, "begin_change"),
    (rights, "end_change"),
    (rights, "find_enrolled"),
    (GalleryStore, "enroll"),
    (GalleryStore, "remove"),
    (changes, "confirm"),
    (CredentialEditor, "set_rights"),
    (CredentialEditor, "remove_person"),
)

Work = Callable[[TerminalConfig], object]


def enroll(config: TerminalConfig) -> None:
    """Enroll Ada with the limit that she has: her entry at the door does not change meanwhile."""
    with change_rights(
        config, {"Ada": {"valid_until": LAST_DAY}}, ChangeAuthor("test", print)
    ) as done:
        with closing(opened(config)) as store:
            store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32), replace=True)
        done.add("Ada")


def enroll_without_rights(config: TerminalConfig) -> None:
    with (
        change_rights(config, {"Ada": {}}, ChangeAuthor("test", print)),
        closing(opened(config)) as store,
    ):
        store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32), replace=True)


def remove(config: TerminalConfig) -> None:
    gallery(["remove", "--subject", "Ada", "--config", str(config.state.parent / "terminal.yaml")])


def remove_at_door(config: TerminalConfig) -> None:
    path = str(config.state.parent / "terminal.yaml")
    door.main(["person", "remove", "Ada", "--reason", "a test", "--config", path])


class Interrupted:
    """Work in another process that stops before or after a step until it is resumed or killed."""

    def __init__(self, config: TerminalConfig, work: Work, number: int) -> None:
        self._reading, writing = os.pipe()
        resumed, self._resume = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._reading)
            os.close(self._resume)
            with pytest.MonkeyPatch.context() as patch:
                _stop_at(patch, number, writing, resumed)
                with suppress(MfsaError):
                    work(config)
            os._exit(0)
        os.close(writing)
        os.close(resumed)
        self.has_stopped = os.read(self._reading, 1) == b"s"

    def end(self, *, killed: bool) -> None:
        if killed:
            os.kill(self._child, signal.SIGKILL)
        os.close(self._resume)
        os.waitpid(self._child, 0)
        os.close(self._reading)


def _stop_at(patch: pytest.MonkeyPatch, number: int, writing: int, resumed: int) -> None:
    points = iter(range(1000))

    def stop() -> None:
        if next(points) == number:
            os.write(writing, b"s")
            os.read(resumed, 1)

    for place, name in STEPS:
        original = getattr(place, name)

        def step(*given: Any, _original: Any = original, **named: Any) -> Any:
            stop()
            result = _original(*given, **named)
            stop()
            return result

        patch.setattr(place, name, step)


@contextmanager
def interrupted(config: TerminalConfig, work: Work, number: int, *, killed: bool) -> Iterator[bool]:
    process = Interrupted(config, work, number)
    try:
        yield process.has_stopped
    finally:
        process.end(killed=killed)


@pytest.fixture
def config(
    write_config: Callable[..., Path], bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TerminalConfig:
    monkeypatch.setattr(name_locks, "WAIT_S", 0.0)
    monkeypatch.setattr(credential_editor, "LOCK_WAIT_S", 0.0)
    return load_config(write_config(bundle=str(bundle_path)))


def set_up(config: TerminalConfig) -> None:
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.set_person("Ada", {"valid_until": LAST_DAY})
    with closing(opened(config)) as store:
        store.enroll("Ada", np.eye(2, EMBEDDING, dtype=np.float32), replace=True)


def check(config: TerminalConfig, what: str) -> None:
    """A face in the gallery has the limit at the door."""
    people = read_document(config.people_path, config.people_key_path).people
    limits = [person.valid_until for person in people]
    with closing(opened(config)) as store:
        is_enrolled = store.find_record("Ada") is not None
    assert not is_enrolled or limits == [LAST_DAY], what


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (enroll, remove),
        (enroll_without_rights, remove),
        (remove, enroll),
        (enroll, remove_at_door),
        (remove_at_door, enroll),
    ],
)
def test_interrupted_change_keeps_the_limits(
    config: TerminalConfig, first: Work, second: Work, killed: bool
) -> None:
    has_stopped, number = True, 0
    while has_stopped:
        set_up(config)
        if first is remove_at_door or second is remove_at_door:
            with closing(opened(config)) as store:
                store.remove("Ada")
        with interrupted(config, first, number, killed=killed) as has_stopped:
            try:
                second(config)
            except DoorError as error:
                assert "another command enrolls, changes or removes" in str(error)
            check(config, f"{number}: while the first one waits")
        check(config, f"{number}: at the end")
        number += 1
    assert number > 2  # each step was reached
