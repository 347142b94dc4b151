from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.audit.evidence import PictureFolder, attention_shares, overlay
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


def test_only_the_newest_pictures_stay(tmp_path: Path) -> None:
    folder = PictureFolder(tmp_path / "pictures", keep=2)
    picture = overlay(np.zeros((112, 112, 3), np.uint8), probe(np.ones((14, 14))))
    for i in range(5):
        folder.save(i, picture)
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["000000003.png", "000000004.png"]


def test_none_are_kept_unless_asked_for(tmp_path: Path) -> None:
    PictureFolder(tmp_path / "pictures", keep=0).save(1, np.zeros((4, 4, 3), np.uint8))
    assert not (tmp_path / "pictures").exists()
