"""Chips from folders and tar files of several layouts."""

from __future__ import annotations

import logging
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.chips import read_chips, validation_chips
from edge.errors import ConfigError

LEFTOVERS = (
    "ada/._1.jpg",
    "__MACOSX/ada/._1.jpg",
    "__MACOSX/1.jpg",
    "ada/.hidden.png",
    "@eaDir/1.jpg",
    ".Trash/bob/1.jpg",
)


def write(folder: Path, *names: str) -> Path:
    chip = cv2.imencode(".jpg", np.full((112, 112, 3), 90, np.uint8))[1].tobytes()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(chip)
    return folder


def pack(folder: Path, root: str = "./") -> Path:
    out = folder.with_suffix(".tar")
    with tarfile.open(out, "w") as tar:
        tar.add(folder, arcname=root)
    return out


def both(folder: Path, root: str = "./") -> tuple[Path, Path]:
    return folder, pack(folder, root)


def names(source: Path) -> list[str]:
    return [name for name, _ in read_chips(source)]


def test_chips_leftovers_of_systems_are_no_chips(tmp_path: Path) -> None:
    for source in both(write(tmp_path / "chips", "ada/1.jpg", "bob/1.jpg", *LEFTOVERS)):
        assert names(source) == ["ada/1.jpg", "bob/1.jpg"]
        assert validation_chips([source], all_identities=True).people == 2


def test_chips_folder_around_people_is_left_out(tmp_path: Path) -> None:
    wanted = ["ada/1.jpg", "bob/1.jpg", "bob/2.jpg"]
    folder = write(tmp_path / "chips", *(f"people/{name}" for name in wanted))
    for source in both(folder):
        assert names(source) == wanted
    assert names(pack(tmp_path / "chips/people", root="people")) == wanted


def test_chips_of_one_person_keep_their_name(tmp_path: Path) -> None:
    for source in both(write(tmp_path / "chips", "ada/1.jpg", "ada/2.jpg")):
        assert names(source) == ["ada/1.jpg", "ada/2.jpg"]


@pytest.mark.parametrize(
    "layout",
    [
        ("train/ada/1.jpg", "test/bob/1.jpg"),
        ("ada/1.jpg", "bob/old/1.jpg"),
    ],
)
def test_chips_in_deeper_folders_are_refused(tmp_path: Path, layout: tuple[str, ...]) -> None:
    for source in both(write(tmp_path / "chips", *layout)):
        with pytest.raises(ConfigError, match=r"expected <identity>/<image>, found '.*\.jpg'"):
            names(source)


def test_chips_in_no_folder_are_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for source in both(write(tmp_path / "chips", "ada/1.jpg", "sheet.jpg")):
        with caplog.at_level(logging.WARNING):
            assert names(source) == ["ada/1.jpg"]
        assert "1 images in no person's folder are left out" in caplog.text
        caplog.clear()


def test_chips_tar_with_huge_member_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "chips", "ada/1.jpg")
    with (folder / "ada/2.jpg").open("wb") as file:
        file.truncate(20 << 20)
    with pytest.raises(ConfigError, match="20,971,520 bytes"):
        names(pack(folder))
