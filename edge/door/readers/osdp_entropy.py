"""Random numbers for the challenges of libosdp.

libosdp 3.2.9 takes them from rand() of the C library and never seeds it: each process sends the
same challenges, and a recorded session could be replayed after a restart. `refresh_entropy`
replaces the whole state of rand() by random bytes of the kernel.
"""

from __future__ import annotations

import ctypes
import functools
import os

from edge.errors import DoorError

_STATE_BYTES = 128  # glibc: four bytes for the kind of generator, then 31 numbers
_KIND_BYTES = 4
_state = ctypes.create_string_buffer(_STATE_BYTES)  # used by rand() as long as the process runs


def refresh_entropy() -> None:
    """Make the next outputs of rand() unpredictable. Raises DoorError if that is not possible."""
    _install_state()
    _fill(os.urandom(_STATE_BYTES - _KIND_BYTES))


@functools.cache
def _install_state() -> None:
    try:
        libc = ctypes.CDLL(None)
        libc.initstate.restype = ctypes.c_void_p
        libc.initstate(ctypes.c_uint(1), _state, ctypes.c_size_t(_STATE_BYTES))
        _fill(b"\x01" * (_STATE_BYTES - _KIND_BYTES))
        is_used = libc.rand() == 0x01010101  # (0x01010101 + 0x01010101) / 2
    except AttributeError:
        is_used = False
    if not is_used:
        raise DoorError("OSDP needs the C library glibc: rand() of this one cannot be seeded")


def _fill(content: bytes) -> None:
    ctypes.memmove(ctypes.byref(_state, _KIND_BYTES), content, len(content))
