"""Log of a run: progress bar, `log.jsonl`, TensorBoard."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

LOG = "log.jsonl"
_EVERY_STEPS = 20
_TERMINAL_S, _FILE_S = 0.1, 10.0  # between two updates of the bar

log = logging.getLogger("mfsa-train")


def _drop_lines_after(path: Path, seen: int) -> None:
    """Drop the lines of steps that are repeated after a kill."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text(
            "".join(
                line for line in lines if line.endswith("\n") and json.loads(line)["seen"] <= seen
            ),
            encoding="utf-8",
        )


class RunLog:
    """Written by the first process; the others only report unreadable pictures."""

    def __init__(self, first: bool, out: Path, chips: int, seen: int) -> None:
        if first:
            _drop_lines_after(out / LOG, seen)
        self._file = (out / LOG).open("a", encoding="utf-8") if first else None
        self._board = (
            SummaryWriter(str(out / "tensorboard"), purge_step=seen + 1) if first else None
        )
        self._bar = tqdm(
            desc="training",
            total=chips,
            initial=seen,
            unit="chip",
            mininterval=_TERMINAL_S if sys.stderr.isatty() else _FILE_S,
            disable=not first,
        )
        self._chips, self._from, self._started, self._steps = chips, seen, time.monotonic(), 0
        self._unreadable: set[str] = set()

    def log_step(self, figures: dict[str, float], chips: int, skipped: tuple[str, ...]) -> None:
        self._bar.update(chips)
        for reason in sorted(set(skipped) - self._unreadable):
            log.warning("skipped and replaced by another picture: %s", reason)
        self._unreadable |= set(skipped)
        self._steps += 1
        if self._steps % _EVERY_STEPS == 0 or figures["seen"] >= self._chips:
            per_s = (figures["seen"] - self._from) / (time.monotonic() - self._started)
            self._write(
                {**figures, "chips_per_s": per_s, "unreadable": len(self._unreadable)}, "training"
            )

    def log_validation(
        self, seen: int, figures: dict[str, float], pictures: NDArray[np.uint8]
    ) -> None:
        self._write({"seen": seen, **figures}, "exam")
        if self._board is not None:
            self._board.add_image("attention", pictures, seen, dataformats="HWC")
            self._board.flush()
            tqdm.write(f"{seen:,} chips: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))

    def close(self) -> None:
        self._bar.close()
        if self._unreadable:
            log.warning("%d pictures could not be read", len(self._unreadable))
        for sink in (self._file, self._board):
            if sink is not None:
                sink.close()

    def _write(self, line: dict[str, float], group: str) -> None:
        if self._file is None or self._board is None:
            return
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        print(json.dumps(rounded), file=self._file, flush=True)
        for name, value in line.items():
            if name != "seen":
                self._board.add_scalar(f"{group}/{name}", value, int(line["seen"]))
