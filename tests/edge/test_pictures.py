"""Small files that claim to be huge recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.camera.replay import ReplayCamera
from edge.errors import CameraError


def test_a_gif_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((48, 64, 3), 100, np.uint8)).save(tmp_path / "clip.gif")
    original = (tmp_path / "clip.gif").read_bytes()
    (tmp_path / "clip.gif").write_bytes(
        original[:6] + (9000).to_bytes(2, "little") * 2 + original[10:]
    )
    with pytest.raises(CameraError, match="9000 pixels, expected at most 8192"):
        ReplayCamera(tmp_path / "clip.gif", fps=10, paced=False).read()
