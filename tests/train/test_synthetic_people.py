from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train.cli.synthetic_people import main


def test_made_up_people_are_different_and_repeat(tmp_path: Path) -> None:
    for out in ("a", "b"):
        assert main([str(tmp_path / out), "--people", "3"]) == 0
    pictures = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").glob("*/*.jpg"))
    assert len(pictures) == 24
    for picture in pictures:
        assert (tmp_path / "a" / picture).read_bytes() == (tmp_path / "b" / picture).read_bytes()
    first, same, other = (
        cv2.imread(str(tmp_path / "a" / name)).astype(int)
        for name in (pictures[0], pictures[1], pictures[16])
    )
    assert first.shape == (112, 112, 3)
    assert np.abs(first - same).mean() < np.abs(first - other).mean()


def test_a_folder_that_is_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
