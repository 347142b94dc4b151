"""Print what the person at the terminal should do, from the recogniser's live socket.

python examples/live_view.py --config terminal.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.access.reasons import Reason
from edge.codes import sentence_of
from edge.config import load_config
from edge.errors import MfsaError
from edge.live.client import LiveReader
from edge.live.protocol import LiveView

CAMERA = {"lost": "the camera is lost", "enrollment": "an enrollment uses the camera"}
DOOR = {"unlocked": "the door is unlocked", "refused": "the door is not opened"}


def prompt(view: LiveView) -> str:
    """Return the text for the person, by the nearest face."""
    if view.camera != "ready":
        return CAMERA.get(view.camera, view.camera)
    nearest = next((face for face in view.faces if face.nearest), None)
    if nearest is None:
        return "no one is in the zone"
    if view.door is not None and view.door.track == nearest.track:
        if view.door.state == "waiting":
            return f"waiting: {sentence_of(Reason, view.door.reason)}"
        return f"{DOOR[view.door.state]} {view.door.reason}".rstrip()
    share = f" ({nearest.progress:.0%})" if nearest.verdict == "pending" else ""
    return f"{nearest.verdict}: {sentence_of(Reason, nearest.reason)}{share}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", type=Path, required=True, help="terminal.yaml")
    parser.add_argument("--count", type=int, help="end after this number of texts")
    args = parser.parse_args()
    shown, left = "", args.count
    try:
        reader = LiveReader(load_config(args.config).live_socket_path)
        while left is None or left > 0:
            text = prompt(reader.read().view)
            if text != shown:
                print(text, flush=True)
                left = left if left is None else left - 1
            shown = text
    except MfsaError as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        return 0
    reader.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
