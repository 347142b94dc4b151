from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery import key_rotation
from edge.gallery.key import create_key, load_key, read_key
from edge.gallery.maintenance import reencrypt
from edge.gallery.store import GalleryStore
from edge.subject import SubjectRecord, to_json

MODEL = "m" * 64
NEXT = bytes(reversed(range(32)))


def opened(config: TerminalConfig, key: bytes) -> GalleryStore:
    return GalleryStore(config.gallery_path, key=key, terminal=config.terminal, model_digest=MODEL)


@pytest.fixture
def key(config: TerminalConfig) -> bytes:
    key = load_key(config.key_path, create=True)
    with closing(opened(config, key)) as store:
        store.enroll("Ada", np.eye(1, 16, dtype=np.float32))
    return key


def following(config: TerminalConfig) -> Path:
    return config.key_path.with_name("gallery.key.next")


def holds(config: TerminalConfig) -> bool:
    with closing(opened(config, read_key(config.key_path))) as store:
        return store.template_counts() == {"Ada": 1}


def test_rotate_key_reencrypts_gallery(config: TerminalConfig, key: bytes) -> None:
    key_rotation.rotate_key(config)
    assert read_key(config.key_path) != key and not following(config).exists() and holds(config)
    assert config.key_path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(GalleryError, match="the key is not the one"):
        opened(config, key)


def test_rotate_gallery_of_an_earlier_version(config: TerminalConfig, key: bytes) -> None:
    with closing(opened(config, key)) as store, store.write_transaction("test"):
        subject = store.write_subject("Eve", SubjectRecord(), np.zeros((0, 0), np.float32), MODEL)
        revision = store.read_counter() - 1
        earlier = to_json("Eve", SubjectRecord()).replace(b"Eve", "A\u200dda".encode())
        sealed = store.cipher.encrypt(earlier, "subject", subject, revision)
        store.db.execute("UPDATE subjects SET sealed = ? WHERE id = ?", (sealed, subject))
        store.db.execute("DELETE FROM meta WHERE name = 'names'")
    key_rotation.rotate_key(config)
    with closing(opened(config, read_key(config.key_path))) as store:
        assert store.template_counts() == {"Ada": 1, "A\u200dda (2)": 0}


def test_rotate_key_resumes_before_encryption(config: TerminalConfig, key: bytes) -> None:
    create_key(following(config), NEXT)
    assert holds(config)
    key_rotation.rotate_key(config)
    assert read_key(config.key_path) == NEXT and holds(config)


def test_rotate_key_resumes_after_encryption(config: TerminalConfig, key: bytes) -> None:
    create_key(following(config), NEXT)
    with closing(opened(config, key)) as store:
        reencrypt(store, NEXT)
    with pytest.raises(GalleryError, match="run it again"):
        opened(config, key)
    key_rotation.rotate_key(config)
    assert read_key(config.key_path) == NEXT and holds(config)


def test_rotate_key_without_old_key_does_nothing(config: TerminalConfig, key: bytes) -> None:
    config.key_path.write_bytes(bytes(32))
    with pytest.raises(GalleryError, match="the key is not the one"):
        key_rotation.rotate_key(config)
    assert config.key_path.read_bytes() == bytes(32)
    with closing(opened(config, key)) as store:
        assert store.template_counts() == {"Ada": 1}


def test_rotate_key_without_gallery_is_refused(config: TerminalConfig) -> None:
    with pytest.raises(GalleryError, match="no gallery yet"):
        key_rotation.rotate_key(config)
    assert not config.key_path.exists()
