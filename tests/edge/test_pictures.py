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
from edge.gallery.container import is_photo

# In a process of its own: OpenCV has its bound from the moment in which it is loaded.
_DECODE = """
import resource, sys
from pathlib import Path
from edge.gallery.enrollment.photos import decode_photo
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
    assert _decoding(tmp_path / "bomb.jpg") < 50_000


def test_a_gif_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.full((48, 64, 3), 100, np.uint8)).save(tmp_path / "clip.gif")
    whole = (tmp_path / "clip.gif").read_bytes()
    (tmp_path / "clip.gif").write_bytes(whole[:6] + (9000).to_bytes(2, "little") * 2 + whole[10:])
    with pytest.raises(CameraError, match="9000 pixels is more than the 8192"):
        ReplayCamera(tmp_path / "clip.gif", fps=10, paced=False).read()


def test_a_png_whose_chunk_claims_to_be_huge_is_refused_before_it_is_decoded(
    tmp_path: Path,
) -> None:
    photo = bytearray(cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    photo[33:37] = (1 << 31).to_bytes(4, "big")
    assert photo[37:41] == b"IDAT"
    (tmp_path / "bomb.png").write_bytes(photo)
    assert _decoding(tmp_path / "bomb.png") < 50_000


def _decoding(photo: Path) -> int:
    """KiB that it takes to refuse a photo."""
    done = subprocess.run(
        [sys.executable, "-c", _DECODE, str(photo)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout.split()[0])


def test_only_jpeg_and_png_are_handed_to_a_decoder() -> None:
    image = np.full((16, 16, 3), 90, np.uint8)
    encoded = {
        suffix: cv2.imencode(suffix, image)[1].tobytes()
        for suffix in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm")
    }
    assert [suffix for suffix, content in encoded.items() if is_photo(content)] == [".jpg", ".png"]
    assert not is_photo(encoded[".png"][:-1])
