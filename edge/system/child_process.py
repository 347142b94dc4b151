"""Work in a child process, which may change its account for good."""

from __future__ import annotations

import os
from collections.abc import Callable

from edge.errors import ConfigError, MfsaError

_FAILED, _INVALID = 1, 2


def run_in_child(work: Callable[[], bytes], what: str) -> bytes:
    """Return the result of `work`, which a child process calls.

    Call it before this process starts threads. `what` names the child in messages. Raises
    ConfigError or MfsaError with the message of the child.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_run(work, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        result = file.read()
    _, status = os.waitpid(child, 0)
    if status == 0:
        return result
    message = result.decode() or f"{what} was killed"
    is_invalid = os.waitstatus_to_exitcode(status) == _INVALID
    raise (ConfigError if is_invalid else MfsaError)(message)


def _run(work: Callable[[], bytes], writing: int) -> int:
    """Write the result, or the message of an error, and return the exit code."""
    result, code = b"", 0
    try:
        result = work()
    except ConfigError as error:
        result, code = str(error).encode(), _INVALID
    except MfsaError as error:
        result, code = str(error).encode(), _FAILED
    except BaseException as error:
        result, code = repr(error).encode(), _FAILED
    with os.fdopen(writing, "wb") as file:
        file.write(result)
    return code
