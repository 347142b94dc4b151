"""Small files that claim to be huge pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera.replay import ReplayCamera
from edge.errors import CameraError

# In a process of its own: OpenCV has its bound from the moment in which it is loaded.
_DECODE = """
import resource, sys
from pathlib import Path
from edge.gallery.enroll import decode_photo
from edge.errors import PhotoError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_photo(Path(sys.argv[1]).read_bytes(), "photo")
except PhotoError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


def test_a_photo_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    photo = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    size = photo.find(b"\xff\xc0") + 5
    photo[size : size + 4] = (9000).to_bytes(2, "big") * 2
    (tmp_path / "bomb.jpg").write_bytes(photo)
    done = subprocess.run(
        [sys.executable, "-c", _DECODE, str(tmp_path / "bomb.jpg")], capture_output=True, text=True, timeout=60, check=True
    )
    kib, said = done.stdout.split(maxsplit=1)
    assert "too large" in said and int(kib) < 50_000


def test_a_gif_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((48, 64, 3), 100, np.uint8)).save(tmp_path / "clip.gif")
    whole = (tmp_path / "clip.gif").read_bytes()
    (tmp_path / "clip.gif").write_bytes(whole[:6] + (9000).to_bytes(2, "little") * 2 + whole[10:])
    with pytest.raises(CameraError, match="9000 pixels is more than the 8192"):
        ReplayCamera(tmp_path / "clip.gif", fps=10, paced=False).read()
