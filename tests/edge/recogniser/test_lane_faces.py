"""Files of the lanes: read without trust in their content, never a reason to fail."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import TerminalConfig
from edge.errors import ConfigError
from edge.recogniser.build import open_lane_guard
from edge.recogniser.lane_faces import FACES_MAX, LaneFace, LaneFaceFiles

MODEL, DIMENSION = "ab" * 32, 8
ADA = np.eye(1, DIMENSION, dtype=np.float32)[0]
SUBJECT = b"0123456789abcdef"


def files(
    folder: Path, instance: str, model: str = MODEL, dimension: int = DIMENSION
) -> LaneFaceFiles:
    return LaneFaceFiles(folder, instance, model, dimension)


def lane_face(at: float = 5.0, rank: float = 0.25, **changes: object) -> LaneFace:
    return LaneFace("a", at, rank, ADA, SUBJECT, **changes)  # type: ignore[arg-type]


def test_files_other_lane_reads_what_was_written(tmp_path: Path) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.write([lane_face()], 5.0)
    (found,) = second.read(5.1).faces
    assert (found.instance, found.seen_at, found.rank, found.subject) == ("a", 5.0, 0.25, SUBJECT)
    assert np.array_equal(found.embedding, ADA) and not found.has_grant
    assert first.read(5.1).faces == []  # its own faces are not those of another lane


def test_files_file_is_private_and_of_one_size(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    first, path = files(folder, "a"), folder / "a.faces"
    first.write([lane_face()], 5.0)
    size = path.stat().st_size
    first.write([lane_face()] * (FACES_MAX + 5), 5.1)
    assert path.stat().st_size == size and len(files(folder, "b").read(5.1).faces) == FACES_MAX
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.iterdir()) == [path]
    first.close()
    assert not folder.exists()


@pytest.mark.parametrize("at", [4.4, 5.6, float("nan"), float("inf")])
def test_files_old_and_future_faces_do_not_count(tmp_path: Path, at: float) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.write([lane_face(), lane_face(has_grant=True)], 5.0)
    assert second.read(at).running == 0 and second.read(at).faces == []


def test_files_grant_counts_longer_than_its_face(tmp_path: Path) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.write([lane_face(at=3.0), lane_face(at=3.0, has_grant=True)], 5.0)
    assert [found.has_grant for found in second.read(5.1).faces] == [True]


@pytest.mark.parametrize(("model", "dimension"), [("cd" * 32, DIMENSION), (MODEL, 16)])
def test_files_other_model_is_ignored(tmp_path: Path, model: str, dimension: int) -> None:
    files(tmp_path / "x", "a").write([lane_face()], 5.0)
    assert files(tmp_path / "x", "b", model, dimension).read(5.0).running == 0


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_files_damaged_file_gives_valid_faces(tmp_path: Path, data: st.DataObject) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.write([lane_face(), lane_face(rank=0.5)], 5.0)
    path = tmp_path / "x" / "a.faces"
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] or content)
    for found in second.read(5.0).faces:
        norm = float(np.linalg.norm(found.embedding))
        assert abs(norm - 1) < 0.01 or (norm == 0 and not found.has_grant)
        assert 0 <= found.rank <= 100


@pytest.mark.parametrize("kind", ["folder", "link", "fifo", "empty", "large"])
def test_files_foreign_files_are_ignored(tmp_path: Path, kind: str) -> None:
    second, path = files(tmp_path / "x", "b"), tmp_path / "x" / "a.faces"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(bytes(0 if kind == "empty" else 100_000))
    assert second.read(5.0).running == 0


def test_files_failed_write_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = files(tmp_path / "x", "a")
    (tmp_path / "x" / "a.faces").mkdir()
    for _ in range(3):
        first.write([lane_face()], 5.0)
    assert len(caplog.messages) == 1 and "other lanes may grant" in caplog.messages[0]
    first.close()


def test_files_removed_folder_is_made_again(tmp_path: Path) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.close()
    assert not (tmp_path / "x").exists() and second.read(5.0).running == 0
    second.write([lane_face()], 5.0)
    assert files(tmp_path / "x", "a").read(5.0).running == 1


@pytest.mark.parametrize("kind", ["open", "file", "link"])
def test_files_folder_of_others_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "x"
    if kind == "open":
        folder.mkdir()
        folder.chmod(0o777)
    elif kind == "file":
        folder.write_text("")
    else:
        (tmp_path / "y").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "y")
    with pytest.raises(ConfigError, match="folder"):
        files(folder, "a")


def test_files_lane_without_faces_is_running(tmp_path: Path) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.write([], 5.0)
    assert (second.read(5.1).running, second.read(5.6).running) == (1, 0)
    first.write([], 6.0)
    assert (second.read(6.1).running, second.read(6.1).faces) == (1, [])


def config(state: Path, instance: str | None) -> TerminalConfig:
    return TerminalConfig.model_validate(
        {
            "bundle": state,
            "state": state,
            "instance": instance,
            "camera": {"kind": "replay", "path": state},
            "liveness": {"kind": "none"},
        }
    )


def test_guard_only_with_several_recognisers(tmp_path: Path) -> None:
    networks = SimpleNamespace(
        bundle=SimpleNamespace(model_digest=MODEL),
        embedder=SimpleNamespace(dimension=lambda: DIMENSION),
    )
    alone, one = config(tmp_path, None), config(tmp_path, "lane1")
    assert open_lane_guard(alone, networks) is None  # type: ignore[arg-type]
    assert not alone.lane_faces_folder.exists()
    guard = open_lane_guard(one, networks)  # type: ignore[arg-type]
    assert guard is not None and one.lane_faces_folder.is_dir()
    guard.close()
    assert not one.lane_faces_folder.exists()


def test_config_lane_faces_are_in_memory(tmp_path: Path) -> None:
    installed = config(Path("/var/lib/mfsa-edge"), "lane1")
    assert installed.lane_faces_folder == Path("/run/mfsa-edge/lanes")
    paths = {config(tmp_path / name, name).lane_faces_folder for name in ("a", "b")}
    assert len(paths) == 2 and {path.parent for path in paths} == {Path("/dev/shm")}


def test_late_lane_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = files(tmp_path / "x", "a"), files(tmp_path / "x", "b")
    first.write([lane_face()], 5.0)
    for at in (5.1, 6.0, 7.0):
        second.read(at)
    assert caplog.text.count("lane a: its newest faces are 1.0 s old") == 1
    first.write([lane_face(8.0)], 8.0)
    second.read(8.1)
    second.read(9.0)
    assert caplog.text.count("lane a: its newest faces are") == 2
