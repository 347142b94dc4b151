from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.audit.attention import overlay
from edge.audit.picture_store import PictureStore, list_pictures, picture_path, read_picture
from edge.audit.sealing import picture_cipher
from edge.errors import RecordError
from edge.system.wallclock import ClockTrust, WallClock
from edge.values import Probe


def probe(unmasked: np.ndarray) -> Probe:
    maps = np.stack([unmasked, np.zeros((14, 14)), 1 - unmasked]).astype(np.float32)
    return Probe(np.ones(4, np.float32) / 2, maps, 0.0, 1.0)


CIPHER = picture_cipher(bytes(32), "lobby-1")
PICTURE = overlay(np.zeros((112, 112, 3), np.uint8), probe(np.ones((14, 14))).attention)
NOW = 1.8e9


def store_in(path: Path, max_pictures: int, days: float = 30, now: float = NOW) -> PictureStore:
    return PictureStore(path, max_pictures, days, CIPHER, WallClock(ClockTrust(NOW), lambda: now))


def made_at(path: Path, record_id: int, at: float) -> None:
    os.utime(picture_path(path, record_id), (at, at))


def test_pictures_only_newest_stay(tmp_path: Path) -> None:
    folder = store_in(tmp_path / "pictures", max_pictures=99)
    for i in range(5):
        folder.save(i, PICTURE)
        made_at(tmp_path / "pictures", i, NOW + i)
    store_in(tmp_path / "pictures", max_pictures=2)
    assert list_pictures(tmp_path / "pictures") == [3, 4]


def test_pictures_off_by_default(tmp_path: Path) -> None:
    store_in(tmp_path / "pictures", max_pictures=0).save(1, PICTURE)
    assert not (tmp_path / "pictures").exists()


def test_picture_is_bound_to_record_and_terminal(tmp_path: Path) -> None:
    store_in(tmp_path, max_pictures=9).save(7, PICTURE)
    sealed = picture_path(tmp_path, 7).read_bytes()
    assert b"PNG" not in sealed and picture_path(tmp_path, 7).stat().st_mode & 0o077 == 0
    shown = cv2.imdecode(
        np.frombuffer(read_picture(tmp_path, 7, CIPHER), np.uint8), cv2.IMREAD_COLOR
    )
    assert np.array_equal(shown, PICTURE)
    picture_path(tmp_path, 8).write_bytes(sealed)
    for number, cipher in (
        (8, CIPHER),
        (7, picture_cipher(bytes(32), "lobby-2")),
        (7, picture_cipher(b"1" * 32, "lobby-1")),
    ):
        with pytest.raises(RecordError, match="cannot be decrypted"):
            read_picture(tmp_path, number, cipher)
    with pytest.raises(RecordError, match="no picture of record 9"):
        read_picture(tmp_path, 9, CIPHER)


def test_pictures_old_and_unencrypted_removed(tmp_path: Path) -> None:
    folder = store_in(tmp_path, max_pictures=99)
    for number, age_days in ((1, 31), (2, 29), (3, 8)):
        folder.save(number, PICTURE)
        made_at(tmp_path, number, NOW - age_days * 86400)
    (tmp_path / "000000001.png").write_bytes(b"as an older version left them")
    store_in(tmp_path, max_pictures=9)
    assert list_pictures(tmp_path) == [2, 3] and not (tmp_path / "000000001.png").exists()


def test_pictures_survive_a_clock_jump(tmp_path: Path) -> None:
    folder = store_in(tmp_path, max_pictures=9)
    folder.save(1, PICTURE)
    made_at(tmp_path, 1, NOW)
    store_in(tmp_path, max_pictures=9, now=NOW + 3650 * 86400)
    assert list_pictures(tmp_path) == [1]
