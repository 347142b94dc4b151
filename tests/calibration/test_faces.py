"""Chips that are no faces are refused before any measurement."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.chips import validation_chips
from calibration.cli import pad, quantize, threshold, voting
from calibration.faces import (
    check_faces,
    check_folder,
    face_similarity,
    low_frequencies,
    portrait_views,
)
from edge.errors import ConfigError
from edge.portraits import COLLINS, HOPPER, load_chip
from export.cli import parity
from train import synthetic_people
from train.cli import evaluate

Image = np.ndarray
Draw = Callable[[np.random.Generator], Image]


def _wall(rng: np.random.Generator) -> Image:
    return cv2.resize(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8), (112, 112))


NO_FACES: dict[str, tuple[Draw, str]] = {
    "black": (lambda rng: np.zeros((112, 112, 3), np.uint8), "are blank"),
    "grey": (lambda rng: np.full((112, 112, 3), rng.integers(0, 255), np.uint8), "are blank"),
    "noise": (lambda rng: rng.integers(0, 255, (112, 112, 3)).astype(np.uint8), "do not look like"),
    "walls": (_wall, "do not look like"),
    "copies": (lambda rng: load_chip(HOPPER), "are copies of 1 different"),
}


def write(folder: Path, draw: Draw, count: int = 40) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"person-{i % 4}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draw(rng))
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    synthetic_people.write_people(folder, 4)
    return folder


@pytest.mark.parametrize("kind", NO_FACES)
def test_chips_that_are_no_faces_are_refused(tmp_path: Path, kind: str) -> None:
    draw, words = NO_FACES[kind]
    folder = validation_chips([write(tmp_path, draw)], all_identities=True)
    with pytest.raises(ConfigError, match=words):
        check_folder(folder, "--chips")


def refusal(check: Callable[[], object]) -> str:
    """Return the message of a check that refuses, else an empty string."""
    try:
        check()
    except ConfigError as error:
        return str(error)
    return ""


def test_chips_of_faces_are_accepted(people: Path) -> None:
    chips = validation_chips([people], all_identities=True)
    assert refusal(lambda: check_folder(chips, "--chips", minimum=16)) == ""


@pytest.mark.parametrize("brightness", [1.0, 0.5, 0.2])
def test_views_of_faces_are_accepted(brightness: float) -> None:
    views = (portrait_views() * brightness).astype(np.uint8)
    assert refusal(lambda: check_faces(views, "portraits")) == ""


def test_chips_too_few_are_refused(people: Path) -> None:
    with pytest.raises(ConfigError, match="at least 100 different chips, found 32"):
        check_folder(validation_chips([people], all_identities=True), "--chips", minimum=100)


def test_chips_filed_twice_are_named(
    tmp_path: Path, people: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for source in people.glob("*/*.jpg"):
        copy = tmp_path / source.parent.name / source.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(source.read_bytes())
    (tmp_path / "made-up-0001" / "other.jpg").write_bytes(
        (tmp_path / "made-up-0000" / "0.jpg").read_bytes()
    )
    with caplog.at_level(logging.WARNING):
        check_folder(validation_chips([tmp_path], all_identities=True), "--chips")
    assert "1 pictures are filed under two people" in caplog.text


def test_mean_face_is_that_of_the_portraits() -> None:
    chips = [load_chip(portrait) for portrait in (COLLINS, HOPPER)]
    mean = np.mean(
        [low_frequencies(view) for chip in chips for view in (chip, chip[:, ::-1])], axis=0
    )
    wanted = [float((low_frequencies(chip) * mean).mean() / mean.std()) for chip in chips]
    assert face_similarity(np.stack(chips)) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("kind", ["black", "noise", "copies"])
def test_commands_refuse_chips_without_faces(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    draw, words = NO_FACES[kind]
    chips, embedder = str(write(tmp_path / "chips", draw)), str(bundle_path / "embedder.onnx")
    bundle, out = str(bundle_path), str(tmp_path / "out")
    for main, arguments in (
        (
            quantize.main,
            ["--embedder", embedder, "--chips", chips, "--all-identities", "--out", out],
        ),
        (
            threshold.main,
            ["--embedder", embedder, "--chips", chips, "--all-identities", "--out", out],
        ),
        (voting.main, ["--bundle", bundle, "--chips", chips, "--all-identities"]),
        (evaluate.main, [embedder, "--people", chips, "--all-identities"]),
        (parity.main, [bundle, embedder, "--chips", chips]),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
        assert not Path(out).exists()


def test_pad_clips_without_faces_are_refused(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in ("bona_fide/one", "attack/screen/one"):
        (tmp_path / clip).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(tmp_path / clip / f"{i}.png"), np.zeros((240, 320, 3), np.uint8))
    assert pad.main([str(tmp_path), "--bundle", str(bundle_path)]) == 2
    assert "no face was found in any of 2 clips" in capsys.readouterr().err
