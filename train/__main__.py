"""Run mfsa-train as `python -m train` or `torchrun -m train`."""

from __future__ import annotations

import sys

from train.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
