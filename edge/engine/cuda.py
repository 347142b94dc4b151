"""GPU detection through the NVIDIA driver.

It runs before TensorRT is imported: without a GPU some versions of TensorRT end the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import EngineError

_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 256
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
_L4T_RELEASE = Path("/etc/nv_tegra_release")
_BOARD = Path("/sys/firmware/devicetree/base/model")


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """GPU of this machine."""

    name: str
    compute_capability: str  # such as 8.7
    l4t: str  # release of a Jetson's Linux, empty elsewhere
    board: str = ""  # board model: the driver has one name for Orin Nano, NX and AGX


def find_device(index: int = 0, load: Callable[[str], Any] = ctypes.CDLL) -> GpuDevice:
    """Return the GPU of this number; raises EngineError without a driver or such a GPU."""
    try:
        cuda = load(_LIBRARY)
    except OSError as error:
        raise EngineError(
            f"no NVIDIA driver here ({error}); TensorRT engines need one, ONNX Runtime does not"
        ) from error
    _ask(cuda.cuInit(0), "start")
    count = ctypes.c_int()
    _ask(cuda.cuDeviceGetCount(ctypes.byref(count)), "count its GPUs")
    if not 0 <= index < count.value:
        raise EngineError(
            f"expected a GPU of number {index}, the NVIDIA driver finds {count.value}"
        )
    handle = ctypes.c_int()
    _ask(cuda.cuDeviceGet(ctypes.byref(handle), index), "open the GPU")
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _ask(cuda.cuDeviceGetName(name, _NAME_BYTES, handle), "name the GPU")
    numbers = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        value = ctypes.c_int()
        _ask(
            cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle),
            "report the GPU's compute capability",
        )
        numbers.append(str(value.value))
    return GpuDevice(
        name.value.decode("utf-8", "replace"), ".".join(numbers), read_l4t(), read_board()
    )


def _ask(status: int, what: str) -> None:
    if status:
        raise EngineError(
            f"the NVIDIA driver cannot {what}: CUDA error {status}; "
            "look at the output of `nvidia-smi` and `dmesg`"
        )


def read_board(path: Path = _BOARD) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def read_l4t(path: Path = _L4T_RELEASE) -> str:
    """Return release and revision from the file's first line, such as `R36.4.0`, or ''."""
    try:
        words = (
            path.read_text(encoding="utf-8", errors="replace")
            .splitlines()[0]
            .replace(",", " ")
            .split()
        )
        return f"{words[1]}.{words[words.index('REVISION:') + 1]}"
    except (OSError, ValueError, IndexError):
        return ""
