from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")

from calibration import threshold
from edge.errors import ConfigError
from export.bundle import reference
from train.evaluate import main, read_pairs


def test_the_list_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("10\t300\nAda\t1\t4\nAda\t1\tGrace\t2\n")
    pairs = read_pairs(tmp_path / "pairs.txt")
    assert pairs.names == ["Ada/Ada_0001.jpg", "Ada/Ada_0004.jpg", "Grace/Grace_0002.jpg"]
    assert pairs.mated.tolist() == [True, False]
    assert pairs.first.tolist() == [0, 0] and pairs.second.tolist() == [1, 2]
    for text, part in (("Ada 1", ":1: expected"), ("", "no pairs"), ("Ada one two", ":1: expected")):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(ConfigError, match=part):
            read_pairs(tmp_path / "bad.txt")


@pytest.mark.shared
def test_the_reference_keeps_what_its_manifest_says(shared: Path, tmp_path: Path) -> None:
    """On the first four folds of the pairs; the whole list is run by `make reference`."""
    lines = (shared / "lfw_pairs.txt").read_text().splitlines()
    (tmp_path / "pairs.txt").write_text("\n".join(lines[:2401]))
    out = tmp_path / "accuracy.json"
    chips = shared / "chips" / "lfw_pairs.tar"
    arguments = [str(reference() / "embedder.onnx"), "--pairs", str(tmp_path / "pairs.txt"), "--chips", str(chips)]
    assert main([*arguments, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    claimed = json.loads((reference() / "manifest.json").read_text())["accuracy"]
    for name in ("clean", "one_masked", "both_masked"):
        assert found[name]["accuracy"] == pytest.approx(claimed[name]["accuracy"], abs=0.02), name


def test_thresholds_need_data_that_supports_them(
    tmp_path: Path, collins_chip: np.ndarray, hopper_chip: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    for person, chip in (("collins", collins_chip), ("hopper", hopper_chip)):
        (tmp_path / "people" / person).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(tmp_path / "people" / person / f"{i}.png"), np.roll(chip, i, axis=1))
    model, out = str(reference() / "embedder.onnx"), tmp_path / "thresholds.json"
    command = ["--embedder", model, "--chips", str(tmp_path / "people"), "--everybody", "--out", str(out)]
    assert threshold.main(command) == 2
    assert "needs at least 100,000 non-mated comparisons, found 9" in capsys.readouterr().err
    assert threshold.main([*command, "--target-fmr", "0.2"]) == 0
    written = json.loads(out.read_text())
    assert written["people"] == 2 and written["masked"]["comparisons"] == 18
    assert threshold.main([*command[:-3], "--out", str(out)]) == 2
    assert "add --everybody" in capsys.readouterr().err
