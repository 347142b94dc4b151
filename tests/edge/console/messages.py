"""Messages of the live connections, as a browser takes them."""

from __future__ import annotations

import json
import struct
from typing import Any

from starlette.testclient import WebSocketTestSession


def take(browser: WebSocketTestSession) -> tuple[dict[str, Any], bytes]:
    """Return fields and picture of the next message, and acknowledge it."""
    message = browser.receive_bytes()
    (length,) = struct.unpack_from(">I", message)
    browser.send_text("+")
    return json.loads(message[4 : 4 + length]), message[4 + length :]
