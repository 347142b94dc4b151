from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration import occluders
from calibration.cli.masks import main
from edge import masks


def test_a_row_for_everything_that_is_drawn(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert main([str(out), "--columns", "3"]) == 0
    rows = len(masks.FAMILIES) + len(occluders.KINDS) + 2
    sheet = cv2.imread(str(out))
    assert sheet.shape[0] == 112 * rows and sheet.shape[1] > 3 * 112


def test_on_chips_of_one_s_own(tmp_path: Path, collins_chip: np.ndarray) -> None:
    (tmp_path / "chips" / "collins").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "chips" / "collins" / "1.png"), collins_chip)
    assert (
        main([str(tmp_path / "sheet.jpg"), "--chips", str(tmp_path / "chips"), "--columns", "2"])
        == 0
    )


def test_wrong_use_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, part in (
        (["sheet.gif"], "ending in .png or .jpg"),
        ([str(tmp_path / "no" / "sheet.png")], "make its folder first"),
        (["sheet.png", "--columns", "0"], "at least 1"),
        (["sheet.png", "--chips", str(tmp_path / "empty")], "contains no chips"),
    ):
        assert main(arguments) == 2
        assert part in capsys.readouterr().err
