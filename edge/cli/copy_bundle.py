"""Copy a model bundle for `systemd/install.sh`. Standard library only: it runs before pip."""

from __future__ import annotations

import sys
from pathlib import Path

from edge.bundle_files import copy_bundle, is_copy
from edge.errors import BundleError

_USAGE = "usage: python -m edge.cli.copy_bundle copy|same BUNDLE TARGET"


def main(argv: list[str]) -> int:
    """Return the exit code 0: done or the same; 1: refused; 2: wrong usage; 3: another bundle."""
    if len(argv) != 3 or argv[0] not in ("copy", "same"):
        print(_USAGE, file=sys.stderr)
        return 2
    source, target = Path(argv[1]), Path(argv[2])
    try:
        if argv[0] == "same":
            return 0 if is_copy(source, target) else 3
        for name in copy_bundle(source, target):
            print(f"{source}: {name!a} is not listed in the manifest; it was left out")
    except (BundleError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
