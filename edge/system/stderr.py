"""Bounded forwarding of native libraries' output to standard error."""

from __future__ import annotations

import atexit
import faulthandler
import functools
import os
import sys
import threading
import time
from collections.abc import Callable

_LINES, _PERIOD_S = 5, 60.0  # lines that are forwarded in this time
_LINE_MAX = 500  # bytes
_STDERR = 2


def limit_native_stderr(clean: Callable[[str], str]) -> Callable[[], None]:
    """Forward at most five lines a minute of the output of C code to file descriptor 2.

    A camera with damaged pictures makes libjpeg print a line per frame. Python's own messages are
    not limited: `sys.stderr` gets a descriptor of its own. `clean` removes secrets from a line.
    Does nothing if `sys.stderr` is not the process's own, as in tests. Returns a function that
    ends it and forwards the last lines, which is also called at exit.
    """
    try:
        if sys.stderr.fileno() != _STDERR:
            return lambda: None
    except (AttributeError, OSError, ValueError):
        return lambda: None
    own = os.dup(_STDERR)
    sys.stderr.flush()
    sys.stderr = open(  # noqa: SIM115
        own, "w", buffering=1, errors="backslashreplace", closefd=False
    )
    faulthandler.enable(sys.stderr)  # a crash loses native messages: print its stack
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # native code must not wait for the forwarding
    os.dup2(writer, _STDERR)
    os.close(writer)
    thread = threading.Thread(target=_forward, args=(reader, own, clean), daemon=True)
    thread.start()
    restore = functools.partial(_restore, own, thread)
    atexit.register(restore)
    return restore


def _restore(own: int, thread: threading.Thread) -> None:
    """Close the pipe, so that its content is still forwarded."""
    os.dup2(own, _STDERR)
    thread.join(1.0)


def _forward(reader: int, own: int, clean: Callable[[str], str]) -> None:
    rest, left, dropped, since = b"", _LINES, 0, time.monotonic()
    while chunk := os.read(reader, 1 << 14):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[:_LINE_MAX]
        if time.monotonic() - since >= _PERIOD_S:
            lines = [b"%d more lines of native libraries were suppressed" % dropped] * bool(
                dropped
            ) + lines
            left, dropped, since = _LINES + bool(dropped), 0, time.monotonic()
        for line in lines[:left]:
            os.write(own, clean(line[:_LINE_MAX].decode("utf-8", "replace")).encode() + b"\n")
        dropped += len(lines[left:])
        left = max(0, left - len(lines))
    if dropped:
        os.write(own, b"%d more lines of native libraries were suppressed\n" % dropped)
