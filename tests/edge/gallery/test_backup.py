"""A backup is restored on a fresh folder, over a damaged gallery, and under another key."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from edge.audit.clock import read_trust
from edge.bundle import open_bundle
from edge.chip import PREPROCESSING
from edge.cli.gallery import main
from edge.config import TerminalConfig, load_config
from edge.errors import GalleryError
from edge.gallery import backup, maintenance
from edge.gallery.backup import BACKUP_MAGIC
from edge.gallery.database import EVIDENCE, SECRETS
from edge.gallery.encrypted_file import EncryptedFile, check_passphrase, decrypt_json, encrypt_json
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.key import load_key
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.sealing import SECRET_BYTES
from edge.gallery.store import GalleryStore
from edge.gallery.stored_subjects import StoredSubject, StoredTemplate, subject_to_json
from edge.subject import PersonRights, SubjectRecord
from tests.bundles import EMBEDDING

pytestmark = pytest.mark.usefixtures("cheap_scrypt")

KEY, OTHER_KEY, PASSPHRASE = bytes(range(32)), bytes(32), "a horse of some other colour"
RULES = ImportPolicy(lambda: date(2026, 11, 29), consent_required=False, erase_after_days=None)
ROWS = np.eye(4, EMBEDDING, dtype=np.float32)


def opened(path: Path, key: bytes = KEY, model: str = "m" * 64) -> GalleryStore:
    return GalleryStore(
        path, key=key, terminal="lobby", model_digest=model, allow_other_models=True
    )


@pytest.fixture
def saved(tmp_path: Path) -> EncryptedFile:
    """Ada with templates of two models, and Eve."""
    with closing(opened(tmp_path / "old.db")) as store:
        store.enroll("Ada", ROWS[:2], record=SubjectRecord(mask="any"), chips=[b"one", None])
        store.enroll("Eve", ROWS[2:3])
        with closing(opened(tmp_path / "old.db", model="n" * 64)) as other:
            other.enroll("Ada", ROWS[3:])
        packed = backup.build_backup(store, PASSPHRASE)
        assert (packed.people, packed.left_out) == (2, ())
        assert b"Ada" not in packed.content and store.read_secret(EVIDENCE) not in packed.content
    return EncryptedFile(tmp_path / "backup", packed.content)


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["same-key", "other-key"])
def test_restore_on_a_fresh_folder(tmp_path: Path, saved: EncryptedFile, key: bytes) -> None:
    path = tmp_path / "new" / "gallery.db"
    result = backup.restore_backup(path, key, "lobby", saved, PASSPHRASE, RULES)
    assert result == backup.RestoreResult(2, {}, ())
    with closing(opened(path, key)) as store, closing(opened(tmp_path / "old.db")) as old:
        assert (
            store.template_counts() == {"Ada": 2, "Eve": 1}
            and store.count_by_model() == old.count_by_model()
        )
        assert [kept.chip for kept in store.list_templates("Ada")] == [b"one", None, None]
        assert store.find_record("Ada") == old.find_record("Ada")
        assert store.read_secret(EVIDENCE) == old.read_secret(EVIDENCE)
        assert store.read_counter() >= old.read_counter() and maintenance.verify(store) == []
    assert sorted(file.name for file in path.parent.iterdir()) == ["gallery.db"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_restore_other_rights_are_unmoved(tmp_path: Path) -> None:
    rights = {"Ada": PersonRights(("staff",), valid_until=date(2031, 1, 1))}
    with closing(opened(tmp_path / "old.db")) as store:
        store.enroll("Ada", ROWS[:1])
        packed = backup.build_backup(store, PASSPHRASE, rights)
    file = EncryptedFile(tmp_path / "backup", packed.content)
    for at_door, unmoved in ((rights, None), ({}, rights["Ada"])):
        path = tmp_path / f"new{len(at_door)}" / "gallery.db"
        result = backup.restore_backup(path, KEY, "lobby", file, PASSPHRASE, RULES, at_door)
        assert (result.people, result.unmoved) == (1, int(unmoved is not None))
        with closing(opened(path)) as store:
            assert store.find_record("Ada") == SubjectRecord(unmoved_rights=unmoved)


def test_restore_spellings_stay_two_people(tmp_path: Path) -> None:
    people = [
        StoredSubject("Zo\u00eb", SubjectRecord(mask="any"), (StoredTemplate("m" * 64, ROWS[0]),)),
        StoredSubject("Zoe\u0308", SubjectRecord(), (StoredTemplate("m" * 64, ROWS[1]),)),
    ]
    secrets = {name: base64.b64encode(bytes(SECRET_BYTES)).decode() for name in SECRETS}
    trees = [subject_to_json(person) for person in people]
    for tree, person in zip(trees, people, strict=True):  # as a version without one form wrote it
        tree["subject"] = json.dumps({**json.loads(str(tree["subject"])), "name": person.name})
    tree = {"terminal": "lobby", "counter": 9, "secrets": secrets, "people": trees}
    content = encrypt_json(BACKUP_MAGIC, tree, PASSPHRASE)
    file = EncryptedFile(tmp_path / "backup", content)
    backup.restore_backup(tmp_path / "gallery.db", KEY, "lobby", file, PASSPHRASE, RULES)
    with closing(opened(tmp_path / "gallery.db")) as store:
        first, second = store.read_subjects()
    assert (first.name, second.name) == ("Zo\u00eb", "Zo\u00eb (2)")
    assert (first.record.mask, second.record.mask) == ("any", "as-configured")
    assert np.array_equal(np.vstack([first.templates, second.templates]), ROWS[:2])


@pytest.mark.parametrize("harm", ["garbage", "cut", "empty", "link", "intact"])
def test_restore_over_another_gallery(tmp_path: Path, saved: EncryptedFile, harm: str) -> None:
    path = tmp_path / "gallery.db"
    with closing(opened(path)) as store:
        store.enroll("Joe", ROWS[:1])
        shutil.copy(path, tmp_path / "main")
        if harm != "intact":
            log = (tmp_path / "gallery.db-wal").read_bytes()
    if harm == "garbage":
        path.write_bytes(b"no gallery " * 1000)
    elif harm == "link":
        path.unlink()
        path.symlink_to(tmp_path / "elsewhere")
    elif harm != "intact":
        path.write_bytes(path.read_bytes()[: 5000 if harm == "cut" else 0])
    if harm != "intact":
        (tmp_path / "gallery.db-wal").write_bytes(log)  # SQLite would apply it to the new file
    backup.restore_backup(path, KEY, "lobby", saved, PASSPHRASE, RULES)
    with closing(opened(path)) as store:
        assert store.template_counts() == {"Ada": 2, "Eve": 1} and maintenance.verify(store) == []
    assert not (tmp_path / "elsewhere").exists()


def test_restore_is_followed_while_running(tmp_path: Path, saved: EncryptedFile) -> None:
    path, now = tmp_path / "gallery.db", [0.0]
    opened(path).close()
    reader = GalleryStore(path, key=KEY, terminal="lobby", model_digest="m" * 64, read_only=True)
    with closing(reader):
        gallery = LiveGallery(reader, clock=lambda: now[0])
        backup.restore_backup(path, KEY, "lobby", saved, PASSPHRASE, RULES)
        now[0] += 1
        assert gallery.refresh() and gallery.index.subjects == 2
        with closing(opened(path)) as store:
            store.remove("Ada")
        assert gallery.refresh() and gallery.index.subjects == 1


def test_restore_keeps_to_retention(tmp_path: Path, saved: EncryptedFile) -> None:
    rules = replace(RULES, consent_required=True)
    result = backup.restore_backup(tmp_path / "gallery.db", KEY, "lobby", saved, PASSPHRASE, rules)
    assert result.people == 0 and set(result.refused) == {"Ada", "Eve"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terminal": "cellar"}, "a backup of terminal 'lobby', this one is 'cellar'"),
        ({"passphrase": PASSPHRASE + "!"}, "wrong passphrase"),
        ({"content": b"x"}, "not a file of backup"),
    ],
)
def test_restore_refused_changes_nothing(
    tmp_path: Path, saved: EncryptedFile, change: dict[str, str], message: str
) -> None:
    path = tmp_path / "gallery.db"
    with closing(opened(path)) as store:
        store.enroll("Joe", ROWS[:1])
    file = replace(saved, content=change.get("content", saved.content))  # type: ignore[arg-type]
    terminal, passphrase = change.get("terminal", "lobby"), change.get("passphrase", PASSPHRASE)
    with pytest.raises(GalleryError, match=message):
        backup.restore_backup(path, KEY, terminal, file, passphrase, RULES)
    with closing(opened(path)) as store:
        assert store.template_counts() == {"Joe": 1}


def test_backup_leaves_damaged_rows_out(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    with closing(opened(path)) as store:
        store.enroll("Ada", ROWS[:2])
        store.enroll("Eve", ROWS[2:3])
        store.db.execute("UPDATE templates SET sealed = 7 WHERE id = 3")
        store.db.execute("UPDATE subjects SET sealed = 7 WHERE id = 6")
        packed = backup.build_backup(store, PASSPHRASE)
    assert packed.people == 1 and len(packed.left_out) == 2


@pytest.fixture
def config(write_config: Callable[..., Path], bundle_path: Path) -> TerminalConfig:
    return load_config(write_config(bundle=str(bundle_path)))


def test_new_terminal_by_one_command(
    config: TerminalConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder of the old terminal is lost, with the key; the backup is all there is."""
    model = open_bundle(config.bundle, PREPROCESSING).model_digest
    with closing(
        GalleryStore(
            config.gallery_path,
            key=load_key(config.key_path, create=True),
            terminal=config.terminal,
            model_digest=model,
        )
    ) as store:
        store.enroll("Ada", ROWS[:2])
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    more = ["--config", str(tmp_path / "terminal.yaml")]
    more += ["--passphrase-file", str(tmp_path / "passphrase")]
    file, people = str(tmp_path / "backup"), str(tmp_path / "people")
    assert main(["backup", file, *more]) == 0 and "1 person" in capsys.readouterr().out
    (tmp_path / "passphrase").write_bytes(b"\xef\xbb\xbf" + PASSPHRASE.encode() + b"\r\n")
    assert main(["export", "--out", people, *more]) == 0
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert main(["restore", file, *more]) == 1 and "--replace" in capsys.readouterr().err
    for command in (["restore", file], ["import", people]):
        shutil.rmtree(config.state)
        capsys.readouterr()
        assert main([*command, *more]) == 0, capsys.readouterr().err
        assert "1 person" in capsys.readouterr().out
        assert (known := read_trust(config.clock_path)) is not None and known.latest > 0
        assert main(["list", *more[:2]]) == 0 and "Ada" in capsys.readouterr().out
    config.key_path.write_bytes(bytes(7))
    assert main(["list", *more[:2]]) == 1
    assert "edge-gallery restore FILE --replace" in capsys.readouterr().err
    config.key_path.unlink()
    assert main(["list", *more[:2]]) == 1
    assert "edge-gallery restore FILE --replace" in capsys.readouterr().err
    assert main(["restore", file, "--replace", *more]) == 0
    with closing(sqlite3.connect(config.gallery_path)) as db:
        db.execute("DROP TABLE templates")
    assert main(["list", *more[:2]]) == 1
    assert main(["restore", file, "--replace", *more]) == 0
    assert main(["verify", *more[:2]]) == 0


def test_passphrase_in_another_spelling_opens() -> None:
    composed, combining = "Schl\u00fcssel f\u00fcr alle", "Schlu\u0308ssel fu\u0308r alle"
    sealed = EncryptedFile(Path("b"), encrypt_json(b"mfsa-edge x\n", {}, composed))
    assert decrypt_json(b"mfsa-edge x\n", sealed, combining, dict) == {}


def test_passphrase_that_is_no_text_is_refused() -> None:
    with pytest.raises(GalleryError, match="not UTF-8 text"):
        check_passphrase("a horse of \udcfc colour")
