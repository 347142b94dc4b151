from __future__ import annotations

import os
import signal

import pytest

from edge.errors import ConfigError, GalleryError, MfsaError
from edge.system.child_process import run_in_child


def test_child_result_is_returned() -> None:
    assert int(run_in_child(lambda: str(os.getpid()).encode(), "the child")) != os.getpid()


@pytest.mark.parametrize("error", [ConfigError("the reason"), GalleryError("the reason")])
def test_child_error_is_raised_here(error: MfsaError) -> None:
    def fail() -> bytes:
        raise error

    with pytest.raises(MfsaError, match="the reason") as raised:
        run_in_child(fail, "the child")
    assert isinstance(raised.value, ConfigError) is isinstance(error, ConfigError)


def test_child_that_is_killed_is_an_error() -> None:
    def die() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with pytest.raises(MfsaError, match="the child was killed"):
        run_in_child(die, "the child")
