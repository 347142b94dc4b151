"""Serial line to an RS-485 adapter, opened for one user at a time; eight bits, no parity."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
from pathlib import Path

from edge.errors import DoorError

_READ_MAX = 512  # bytes
_GATHER_S = 0.002  # bytes of one frame arrive together; also bounds a flood
_RAW = 0
_REMEDY = "check the cable, `ls -l /dev/serial/by-id` and docs/wiring.md"


class SerialLine:
    """Bytes to and from the line. Only `wait` waits; a line that fails is `lost` from then on."""

    def __init__(self, path: Path, baud_rate: int) -> None:
        """Open the device. Raises DoorError."""
        self.lost = ""  # the reason
        self._path = path
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            _configure(self._fd, baud_rate)
        except (OSError, termios.error) as error:
            self.close()
            reason = "no serial line" if _number(error) == errno.ENOTTY else _text(error)
            raise DoorError(f"{path}: cannot be opened: {reason}; {_REMEDY}") from error

    def wait(self, timeout_s: float) -> None:
        """Wait until there are bytes to read, and for the rest of their frame.

        Raises DoorError if the line is lost.
        """
        if not self.lost:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.poll(timeout_s * 1000)
        time.sleep(_GATHER_S)
        if self.lost:
            raise DoorError(self.lost)

    def read(self) -> bytes:
        """Return the bytes that arrived, none if the line is lost."""
        if self.lost:
            return b""
        try:
            data = os.read(self._fd, _READ_MAX)
        except BlockingIOError:
            return b""
        except OSError as error:
            return self._lose(_text(error))
        return data or self._lose("disconnected")

    def write(self, data: bytes) -> int:
        """Return the number of bytes that were accepted."""
        if self.lost:
            return 0
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(_text(error))
            return 0

    def discard_input(self) -> None:
        """Drop the bytes that arrived."""
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self._fd, termios.TCIFLUSH)

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
            os.close(self._fd)
            self._fd = -1
        self.lost = self.lost or "closed"

    def _lose(self, why: str) -> bytes:
        self.lost = f"{self._path}: {why}; {_REMEDY}"
        return b""


def _configure(fd: int, baud_rate: int) -> None:
    """Set raw mode, the speed and exclusive use."""
    fcntl.ioctl(fd, termios.TIOCEXCL)
    settings = termios.tcgetattr(fd)
    speed = getattr(termios, f"B{baud_rate}")
    settings[:6] = [_RAW, _RAW, termios.CS8 | termios.CREAD | termios.CLOCAL, _RAW, speed, speed]
    termios.tcsetattr(fd, termios.TCSANOW, settings)
    termios.tcflush(fd, termios.TCIOFLUSH)


def _number(error: OSError | termios.error) -> int:
    return int(error.args[0])


def _text(error: OSError | termios.error) -> str:
    return os.strerror(_number(error))
