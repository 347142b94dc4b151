"""People and credentials of the door: look-ups, changes, damaged files, and what is not shown."""

from __future__ import annotations

import gc
import json
import logging
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.rules.values import AuthMode, RulePerson
from edge.door import credentials_file
from edge.door.credential_editor import CredentialEditor, edit_credentials
from edge.door.credential_hashes import CredentialHasher
from edge.door.credentials import Credentials, load_credentials
from edge.door.credentials_file import (
    PersonEntry,
    empty_document,
    read_document,
    write_document,
)
from edge.door.people_watcher import PeopleWatcher
from edge.door.readers.card_formats import parse_card
from edge.errors import ConfigError, DoorError, MfsaError
from tests.processes import until

CARD = parse_card("26:12:3456")
OTHER_CARD = parse_card("26:12:3457")
PIN, DURESS_PIN = "271828", "314159"
KEY = b"k" * 32


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "credentials.json", tmp_path / "credentials.key"


@pytest.fixture
def stored(paths: tuple[Path, Path]) -> tuple[Path, Path]:
    """Ada with card, PIN and duress PIN; Bob without any."""
    with edit_credentials(*paths) as editor:
        editor.set_person("Ada", {"groups": ("staff",), "valid_until": date(2031, 5, 1)})
        editor.add_card("Ada", CARD)
        editor.set_pin("Ada", PIN, DURESS_PIN)
        editor.set_person("Bob", {"mode": "card-and-face", "max_uses": 3})
    return paths


@pytest.fixture
def credentials(stored: tuple[Path, Path]) -> Credentials:
    return load_credentials(*stored)


def editor() -> CredentialEditor:
    editor = CredentialEditor(empty_document(), KEY)
    editor.set_person("Ada", {})
    editor.set_person("Bob", {})
    return editor


def test_person_is_found_with_attributes(credentials: Credentials) -> None:
    ada, bob = credentials.find_person("Ada"), credentials.find_person("Bob")
    assert ada and bob and len(credentials) == 2
    assert (ada.groups, ada.valid_until) == (("staff",), date(2031, 5, 1))
    assert (bob.mode, bob.max_uses) == ("card-and-face", 3)
    assert credentials.find_person("Eve") is None


def test_person_has_attributes_for_the_rules(credentials: Credentials) -> None:
    ada, bob = credentials.find_person("Ada"), credentials.find_person("Bob")
    assert ada and ada.attributes == RulePerson(
        "Ada", frozenset({"staff"}), valid_until=date(2031, 5, 1)
    )
    assert bob and bob.attributes == RulePerson("Bob", max_uses=3, mode=AuthMode.CARD_AND_FACE)


def test_card_finds_its_holder(credentials: Credentials) -> None:
    holder = credentials.find_card(CARD)
    assert holder and holder.name == "Ada"
    assert credentials.find_card(OTHER_CARD) is None


def test_pin_finds_and_verifies_its_owner(credentials: Credentials) -> None:
    digest = credentials.hasher.hash_pin(PIN)
    found, verified = credentials.find_pin(digest), credentials.verify_pin("Ada", digest)
    assert found and found == verified
    assert (found.person.name, found.duress) == ("Ada", False)
    assert credentials.verify_pin("Bob", digest) is None
    assert credentials.verify_pin("Eve", digest) is None


def test_duress_pin_is_reported(credentials: Credentials) -> None:
    found = credentials.verify_pin("Ada", credentials.hasher.hash_pin(DURESS_PIN))
    assert found and found.duress


def test_wrong_pin_matches_no_one(credentials: Credentials) -> None:
    digest = credentials.hasher.hash_pin("271829")
    assert credentials.find_pin(digest) is None
    assert credentials.verify_pin("Ada", digest) is None


def test_files_are_private(stored: tuple[Path, Path]) -> None:
    assert [stat.S_IMODE(path.stat().st_mode) for path in stored] == [0o600, 0o600]


def test_pin_of_another_person_is_refused() -> None:
    changed = editor()
    changed.set_pin("Ada", PIN, None)
    before = changed.document
    with pytest.raises(DoorError, match="choose another") as refused:
        changed.set_pin("Bob", PIN, None)
    assert "Ada" not in str(refused.value) and changed.document == before


def test_duress_pin_equal_to_pin_is_refused() -> None:
    with pytest.raises(DoorError, match="choose another"):
        editor().set_pin("Ada", PIN, PIN)


def test_card_of_another_person_is_refused() -> None:
    changed = editor()
    changed.add_card("Ada", CARD)
    with pytest.raises(DoorError, match="in use"):
        changed.add_card("Bob", CARD)


def test_panel_card_is_encrypted_and_unique(stored: tuple[Path, Path]) -> None:
    with edit_credentials(*stored) as changed:
        changed.set_panel_card("Ada", "4711")
    with pytest.raises(DoorError, match="in use"), edit_credentials(*stored) as changed:
        changed.set_panel_card("Bob", "4711")
    loaded = load_credentials(*stored)
    assert loaded.find_panel_card("Ada") == "4711" and loaded.find_panel_card("Bob") is None
    assert "4711" not in stored[0].read_text()


def test_panel_card_of_another_person_is_refused(stored: tuple[Path, Path]) -> None:
    with edit_credentials(*stored) as changed:
        changed.set_panel_card("Ada", "4711")
    text = stored[0].read_text()
    swapped = text.replace('"Ada"', '"Tmp"').replace('"Bob"', '"Ada"').replace('"Tmp"', '"Bob"')
    stored[0].write_text(swapped)
    with pytest.raises(DoorError, match="set it again"):
        load_credentials(*stored).find_panel_card("Bob")


def test_removed_credentials_are_gone() -> None:
    changed = editor()
    changed.add_card("Ada", CARD)
    changed.set_pin("Ada", PIN, None)
    changed.remove_card("Ada", CARD)
    changed.remove_pin("Ada")
    changed.remove_person("Bob")
    (ada,) = changed.document.people
    assert (ada.cards, ada.pins) == ((), ())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda e: e.set_pin("Ada", "123", None), ConfigError),
        (lambda e: e.set_pin("Ada", "1234567890123", None), ConfigError),
        (lambda e: e.set_pin("Ada", "١٢٣٤", None), ConfigError),
        (lambda e: e.set_pin("Eve", PIN, None), DoorError),
        (lambda e: e.remove_card("Ada", CARD), DoorError),
        (lambda e: e.set_person("Ada", {"pin": "0" * 64}), ConfigError),
        (lambda e: e.set_panel_card("Eve", "1234"), DoorError),
        (lambda e: e.set_person("Ada", {"mode": "none"}), ConfigError),
        (lambda e: e.set_person("Ada", {"max_uses": 0}), ConfigError),
        (
            lambda e: e.set_person(
                "Ada", {"valid_from": date(2031, 1, 2), "valid_until": date(2031, 1, 1)}
            ),
            ConfigError,
        ),
        (lambda e: e.set_person("A\x07", {}), MfsaError),
    ],
)
def test_invalid_change_changes_nothing(
    change: Callable[[CredentialEditor], None], error: type[Exception]
) -> None:
    changed = editor()
    before = changed.document
    with pytest.raises(error) as refused:
        change(changed)
    assert changed.document == before
    assert PIN not in str(refused.value) and "1234" not in str(refused.value)


def test_failed_edit_writes_nothing(stored: tuple[Path, Path]) -> None:
    before = stored[0].read_bytes()
    with pytest.raises(DoorError), edit_credentials(*stored) as changed:
        changed.remove_person("Ada")
        changed.remove_person("Eve")
    assert stored[0].read_bytes() == before


def test_second_edit_waits_for_the_first(
    stored: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ExitStack()
    first.enter_context(edit_credentials(*stored)).add_card("Ada", OTHER_CARD)
    monkeypatch.setattr(time, "sleep", lambda seconds: first.close())
    with edit_credentials(*stored) as changed:
        changed.set_pin("Bob", "654321", None)
    ada, bob = read_document(*stored).people
    assert len(ada.cards) == 2 and bob.pin is not None


def test_second_edit_ends_if_first_goes_on(
    stored: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + 1))
    with edit_credentials(*stored), pytest.raises(DoorError, match="another command has been"):
        edit_credentials(*stored).__enter__()


def test_card_of_the_same_person_stays(stored: tuple[Path, Path]) -> None:
    before = read_document(*stored)
    with edit_credentials(*stored) as changed:
        changed.add_card("Ada", CARD)
    assert read_document(*stored) == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}', b"[" * 5000])
def test_damaged_file_accepts_no_credential(stored: tuple[Path, Path], content: bytes) -> None:
    stored[0].write_bytes(content)
    damaged = load_credentials(*stored)
    assert "restore a backup" in damaged.damage and len(damaged) == 0
    assert damaged.find_card(CARD) is None


@pytest.mark.parametrize("change", ["twice", "card", "digest"])
def test_changed_file_is_refused(stored: tuple[Path, Path], change: str) -> None:
    document = json.loads(stored[0].read_text())
    ada, bob = document["people"]
    if change == "twice":
        document["people"] = [ada, ada]
    elif change == "card":
        bob["cards"] = ada["cards"]
    else:
        ada["pin"] = PIN
    stored[0].write_text(json.dumps(document))
    with pytest.raises(DoorError) as refused:
        read_document(*stored)
    assert PIN not in str(refused.value)


def test_key_missing_or_readable_accepts_none(stored: tuple[Path, Path]) -> None:
    stored[1].chmod(0o640)
    assert "chmod 600" in load_credentials(*stored).damage
    stored[1].unlink()
    assert "key" in load_credentials(*stored).damage


def test_no_file_is_no_damage(paths: tuple[Path, Path]) -> None:
    assert load_credentials(*paths).damage == ""


def test_missing_file_with_key_is_damage(stored: tuple[Path, Path]) -> None:
    stored[0].unlink()
    assert "restore a backup" in load_credentials(*stored).damage
    with pytest.raises(DoorError, match="its key"), edit_credentials(*stored):
        pass
    assert not stored[0].exists()
    stored[1].unlink()
    assert load_credentials(*stored).damage == ""


def test_failed_first_edit_leaves_no_damage(paths: tuple[Path, Path]) -> None:
    with pytest.raises(DoorError), edit_credentials(*paths) as changed:
        changed.remove_person("Eve")
    assert load_credentials(*paths).damage == ""


@given(st.binary(max_size=300))
def test_document_of_any_bytes_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "credentials.json"
        path.write_bytes(content)
        with pytest.raises(DoorError):
            read_document(path, path.with_suffix(".key"))


def test_credentials_are_not_shown(
    stored: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    credentials = load_credentials(*stored)
    ada = credentials.find_person("Ada")
    assert ada and ada.pin
    document = read_document(*stored)
    shown = f"{credentials!r} {credentials.hasher!r} {ada!r} {ada} {document!r} {CARD!r}"
    shown += caplog.text
    for secret in (PIN, DURESS_PIN, "3456", ada.pin, ada.cards[0]):
        assert secret not in shown
    assert PIN not in stored[0].read_text() and "3456" not in stored[0].read_text()


def test_large_document_is_refused_unchanged(
    stored: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored[0].read_bytes()
    monkeypatch.setattr(credentials_file, "PEOPLE_FILE_MAX", len(before) + 10)
    with (
        pytest.raises(DoorError, match=r"unchanged: the people need \d+ bytes, more than"),
        edit_credentials(*stored) as changed,
    ):
        changed.set_person("Cleo", {})
    assert stored[0].read_bytes() == before and len(load_credentials(*stored)) == 2


def test_people_of_several_batches_are_read(paths: tuple[Path, Path]) -> None:
    people = tuple(PersonEntry(name=f"Person {number}") for number in range(450))
    write_document(empty_document().model_copy(update={"people": people}), paths[0])
    assert read_document(*paths).people == people


def test_watcher_thread_hashes_names(
    stored: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = PeopleWatcher(*stored)
    try:
        with edit_credentials(*stored) as changed:
            changed.set_person("Cleo", {})
        until(watcher.update, "the change is loaded")
        monkeypatch.setattr(CredentialHasher, "hash_name", None)
        assert set(watcher.credentials.names_by_digest().values()) == {"Ada", "Bob", "Cleo"}
    finally:
        watcher.close()


def test_people_are_loaded_outside_collector(stored: tuple[Path, Path]) -> None:
    """A visit to all people by the garbage collector would stop the door's loop."""
    visits: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and threading.current_thread().name == "people":
            visits.append(info["generation"])

    watcher = PeopleWatcher(*stored)
    gc.callbacks.append(note)
    try:
        with edit_credentials(*stored) as changed:
            for number in range(500):
                changed.set_person(f"Person {number}", {})
        until(watcher.update, "the change is loaded")
        assert visits == [2] and gc.isenabled()  # before the people are made
        entry = watcher.credentials.find_person("Ada")
        assert not any(each is entry for each in gc.get_objects())
    finally:
        gc.callbacks.remove(note)
        watcher.close()
