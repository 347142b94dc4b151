"""`python -m tests.fuzz.one TARGET FOLDER SECONDS`: one target under atheris.

Findings are kept in FOLDER, and it goes on.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import atheris

from tests.memory import scratch

with atheris.instrument_imports(include=["edge"]):
    from tests.fuzz.targets import TARGETS

_INPUT_MAX = 1 << 13
_SLOW_S = 10
_TIMEOUT_S = 30
_MEMORY_MIB = 2048


def keep(finding: Exception, data: bytes, folder: Path) -> None:
    """The input and the traceback, once for each place that raises."""
    frames = traceback.extract_tb(finding.__traceback__)
    place = (
        f"{type(finding).__name__}{finding if isinstance(finding, AssertionError) else ''}"
        + "".join(f"|{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-3:])
    )
    path = folder / f"finding-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    if not path.exists():
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(
            "".join(traceback.format_exception(finding)), encoding="utf-8", errors="replace"
        )


def main(name: str, folder: Path, seconds: int) -> None:
    logging.disable(logging.CRITICAL)
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    with scratch() as memory, ExitStack() as at_end:
        run = target.open(Path(memory), at_end)

        def one(data: bytes) -> None:
            try:
                run(data)
            except Exception as finding:
                keep(finding, data, folder)

        options: Sequence[str] = [
            f"-max_total_time={seconds}",
            f"-max_len={_INPUT_MAX}",
            f"-timeout={_TIMEOUT_S}",
            f"-report_slow_units={_SLOW_S}",
            f"-rss_limit_mb={_MEMORY_MIB}",
            f"-artifact_prefix={folder}/",
            "-close_fd_mask=3",
            "-verbosity=1",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
