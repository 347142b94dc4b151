from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.audit.picture_store import (
    PictureStore,
    attention_shares,
    list_pictures,
    overlay,
    picture_path,
    read_picture,
)
from edge.audit.sealing import picture_cipher
from edge.errors import RecordError
from edge.system.wallclock import ClockTrust, WallClock
from edge.values import Probe


def probe(unmasked: np.ndarray) -> Probe:
    maps = np.stack([unmasked, np.zeros((14, 14)), 1 - unmasked]).astype(np.float32)
    return Probe(np.ones(4, np.float32) / 2, maps, 0.0)


def test_shares_add_up_and_name_the_place() -> None:
    eyes = np.zeros((14, 14))
    eyes[5:8, 3:11] = 1
    shares = attention_shares(probe(eyes))
    assert shares["on_eyes"] == 1 and shares["mean_mask"] == 0
    even = attention_shares(probe(np.ones((14, 14))))
    assert sum(v for k, v in even.items() if k.startswith("on_")) == pytest.approx(1, abs=1e-3)


def test_a_map_of_zeros_is_no_error() -> None:
    assert attention_shares(probe(np.zeros((14, 14))))["on_eyes"] == 0


SEALER = picture_cipher(bytes(32), "lobby-1")
PICTURE = overlay(np.zeros((112, 112, 3), np.uint8), probe(np.ones((14, 14))))
NOW = 1.8e9


def folder_of(path: Path, keep: int, days: float = 30, now: float = NOW) -> PictureStore:
    return PictureStore(path, keep, days, SEALER, WallClock(ClockTrust(NOW), lambda: now))


def made_at(path: Path, record_id: int, at: float) -> None:
    os.utime(picture_path(path, record_id), (at, at))


def test_only_the_newest_pictures_stay(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pictures", keep=99)
    for i in range(5):
        folder.save(i, PICTURE)
        made_at(tmp_path / "pictures", i, NOW + i)
    folder_of(tmp_path / "pictures", keep=2)
    assert list_pictures(tmp_path / "pictures") == [3, 4]


def test_none_are_kept_unless_asked_for(tmp_path: Path) -> None:
    folder_of(tmp_path / "pictures", keep=0).save(1, PICTURE)
    assert not (tmp_path / "pictures").exists()


def test_pictures_are_sealed_to_their_record_and_terminal(tmp_path: Path) -> None:
    folder_of(tmp_path, keep=9).save(7, PICTURE)
    sealed = picture_path(tmp_path, 7).read_bytes()
    assert b"PNG" not in sealed and picture_path(tmp_path, 7).stat().st_mode & 0o077 == 0
    shown = cv2.imdecode(
        np.frombuffer(read_picture(tmp_path, 7, SEALER), np.uint8), cv2.IMREAD_COLOR
    )
    assert np.array_equal(shown, PICTURE)
    picture_path(tmp_path, 8).write_bytes(sealed)
    for number, sealer in (
        (8, SEALER),
        (7, picture_cipher(bytes(32), "lobby-2")),
        (7, picture_cipher(b"1" * 32, "lobby-1")),
    ):
        with pytest.raises(RecordError, match="cannot be unsealed"):
            read_picture(tmp_path, number, sealer)
    with pytest.raises(RecordError, match="no picture of record 9"):
        read_picture(tmp_path, 9, SEALER)


def test_pictures_leave_with_their_time_and_unsealed_ones_at_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, keep=99)
    for number, age_days in ((1, 31), (2, 29), (3, 8)):
        folder.save(number, PICTURE)
        made_at(tmp_path, number, NOW - age_days * 86400)
    (tmp_path / "000000001.png").write_bytes(b"as an older version left them")
    folder_of(tmp_path, keep=9)
    assert list_pictures(tmp_path) == [2, 3] and not (tmp_path / "000000001.png").exists()


def test_a_clock_that_jumped_makes_no_picture_old(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, keep=9)
    folder.save(1, PICTURE)
    made_at(tmp_path, 1, NOW)
    folder_of(tmp_path, keep=9, now=NOW + 3650 * 86400)
    assert list_pictures(tmp_path) == [1]
