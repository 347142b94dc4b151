"""Output of native libraries is bounded, Python's own messages are not."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import logging, os, sys
from edge.errors import without_credentials
from edge.system.stderr import limit_native_stderr
limit_native_stderr(without_credentials)
logging.basicConfig(stream=sys.stderr, format="log %(message)s")
for number in range(300):
    os.write(2, b"native %d rtsp://u:s3cret@host/x\\n" % number)
    logging.warning("line %d", number)
print("python", file=sys.stderr)
"""

_DECODER = """
import cv2, numpy as np
from edge.errors import without_credentials
from edge.system.stderr import limit_native_stderr
limit_native_stderr(without_credentials)
noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
damaged = bytearray(cv2.imencode(".jpg", noise)[1].tobytes())
damaged[5000:5100] = b"x" * 100
for _ in range(100):
    cv2.imdecode(np.frombuffer(bytes(damaged), np.uint8), cv2.IMREAD_COLOR)
"""


def _stderr(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stderr.splitlines()


def test_stderr_native_is_limited() -> None:
    lines = _stderr(_PROGRAM)
    native = [line for line in lines if line.startswith("native")]
    assert native == [f"native {number} rtsp://host" for number in range(5)]
    assert "295 more lines of native libraries were suppressed" in lines
    assert sum(line.startswith("log line") for line in lines) == 300 and "python" in lines


def test_stderr_damaged_jpegs_are_limited() -> None:
    lines = _stderr(_DECODER)
    assert 0 < len(lines) <= 6 and "JPEG" in lines[0]
