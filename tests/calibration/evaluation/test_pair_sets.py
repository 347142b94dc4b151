from __future__ import annotations

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.evaluation.pair_sets import read_bin, read_list
from edge.errors import ConfigError

CHIP = cv2.imencode(".png", np.full((112, 112, 3), 90, np.uint8))[1]


def chips(root: Path) -> Path:
    for name in ("Ada/Ada_0001.jpg", "Ada/Ada_0004.jpg", "Grace/Grace_0002.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(CHIP.tobytes())
    return root


def test_the_list_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("10\t300\nAda\t1\t4\nAda\t1\tGrace\t2\n")
    pairs = read_list(tmp_path / "pairs.txt", chips(tmp_path / "chips"))
    assert pairs.names == ["Ada/Ada_0001.jpg", "Ada/Ada_0004.jpg", "Grace/Grace_0002.jpg"]
    assert pairs.mated.tolist() == [True, False] and pairs.people.tolist() == [0, 0, 1]
    assert pairs.first.tolist() == [0, 0] and pairs.second.tolist() == [1, 2]
    assert pairs.chip(0).shape == (112, 112, 3)
    for text, part in (
        ("Ada 1", ":1: expected"),
        ("", "no pairs"),
        ("Ada one two", ":1: expected"),
        ("Ada 1 7", "Ada_0007"),
    ):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(ConfigError, match=part):
            read_list(tmp_path / "bad.txt", tmp_path / "chips")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("as_array", [True, False])
def test_verification_sets_of_all_kinds(tmp_path: Path, protocol: int, as_array: bool) -> None:
    pictures = [CHIP.ravel() if as_array else CHIP.tobytes() for _ in range(4)]
    for same in (
        [True, False],
        (True, False),
        np.array([True, False]),
        [np.bool_(True), np.bool_(False)],
    ):
        (tmp_path / "set.bin").write_bytes(pickle.dumps((pictures, same), protocol=protocol))
        pairs = read_bin(tmp_path / "set.bin")
        assert (
            pairs.mated.tolist() == [True, False]
            and pairs.first.tolist() == [0, 2]
            and pairs.second.tolist() == [1, 3]
        )
        assert pairs.chip(3).shape == (112, 112, 3)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/never",)


class Bomb:
    """Asks numpy itself for a terabyte."""

    def __reduce__(self) -> tuple[object, ...]:
        return np.ndarray, ((1 << 40,), np.dtype("u1"))


class Hollow:
    """An array that says it is large and brings no bytes."""

    def __reduce__(self) -> tuple[object, ...]:
        rebuild = np.zeros(1, np.uint8).__reduce__()[0]
        return rebuild, (np.ndarray, (0,), b"b"), (1, (1 << 30,), np.dtype("u1"), False, b"")


@pytest.mark.parametrize(
    ("evil", "why"),
    [
        (Evil(), "it asks for posix.system"),
        (Bomb(), "calls numpy.ndarray"),
        (Hollow(), "do not fit its shape"),
        # An array of objects, whose bytes would be taken for addresses of Python's memory.
        (np.array([None, "a"], dtype=object), "an array of 'O8'"),
        (np.zeros(2, "V8"), "an array of 'V8'"),
    ],
)
def test_a_pickle_that_would_do_harm_is_refused(tmp_path: Path, evil: object, why: str) -> None:
    (tmp_path / "set.bin").write_bytes(pickle.dumps(([evil, evil], [True]), protocol=4))
    with pytest.raises(ConfigError, match=why):
        read_bin(tmp_path / "set.bin")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ([1, 2, 3], "refused"),
        (([b"a"], [True]), "found 1 pictures for 1 booleans"),
        (([], []), "found 0 pictures"),
        ((["a", "b"], [True]), "of other types"),
        ((b"ab", [True]), "of other types"),
        ((5, [True]), "refused"),
        (([b"a", b"b"], [7]), "of other types"),
    ],
)
def test_other_contents_are_refused_in_words(tmp_path: Path, content: object, part: str) -> None:
    (tmp_path / "set.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(ConfigError, match=part):
        read_bin(tmp_path / "set.bin")


def test_junk_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "junk.bin").write_bytes(b"junk")
    for name, part in (("junk.bin", "expected a pickled"), ("none.bin", "cannot read")):
        with pytest.raises(ConfigError, match=part):
            read_bin(tmp_path / name)
