"""TensorRT engine with pycuda.

The primary context is pushed and popped around each call, so that any thread may call the engine.
Host buffers are page-locked, device buffers are allocated once, and all work uses one stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.bundle_files import read_file
from edge.engine.cuda import find_device
from edge.engine.sidecar import BUILD_REMEDY, PlanRequirements, check_sidecar, read_sidecar
from edge.errors import BundleError, EngineError
from edge.system.packages import install_command

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.engine.cuda import GpuDevice

_FLOAT32 = "FLOAT"  # name of TensorRT's type; all inputs and outputs of our graphs have it


def import_tensorrt() -> ModuleType:
    """Import TensorRT; raises EngineError if it is not installed."""
    try:
        import tensorrt
    except ImportError as error:
        raise EngineError(
            f"TensorRT is not installed ({error}); on a Jetson it comes with JetPack: "
            "make the environment with `python3 -m venv --system-site-packages`"
        ) from error
    return tensorrt  # type: ignore[no-any-return]


def import_pycuda() -> ModuleType:
    """Import pycuda and initialise the driver; raises EngineError without either."""
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        raise EngineError(
            f"pycuda is not installed or finds no driver ({error}); install it with: "
            f"{install_command('mfsa-edge[jetson]')}"
        ) from error
    try:
        cuda.init()
    except cuda.Error as error:
        raise EngineError(
            f"the NVIDIA driver finds no GPU that pycuda can use: {' '.join(str(error).split())}"
        ) from error
    return cuda  # type: ignore[no-any-return]


def open_plan(
    plan: Path,
    required: PlanRequirements,
    *,
    device: Callable[[], GpuDevice] = find_device,
    tensorrt: Callable[[], ModuleType] = import_tensorrt,
    pycuda: Callable[[], ModuleType] = import_pycuda,
) -> TrtEngine:
    """Open a plan after its sidecar was checked; raises EngineError.

    The bytes that were checked are those that run.
    """
    here = device()
    sidecar, content = read_sidecar(plan), read_plan(plan)
    trt = tensorrt()
    check_sidecar(plan, content, sidecar, here, trt.__version__, required)
    return TrtEngine(plan, content, trt, pycuda(), dla_core=sidecar.dla_core)


def read_plan(plan: Path) -> bytes:
    """Return the content of a plan, which must be a regular file; raises EngineError."""
    try:
        return read_file(plan, remedy=BUILD_REMEDY)
    except BundleError as error:
        raise EngineError(str(error)) from error


class TrtLogger:
    """Logger for TensorRT that keeps warnings and errors."""

    def __init__(self, trt: ModuleType) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []
        keep, warned, severity = self.messages, self.warnings, trt.ILogger.Severity

        class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    keep.append(message.strip())
                elif level == severity.WARNING:
                    warned.append(message.strip())

        self.logger = Logger()

    def reason(self) -> str:
        return "; ".join(self.messages[-3:]) or "TensorRT gave no reason"

    def clear(self) -> None:
        self.messages.clear()
        self.warnings.clear()


_loggers: dict[ModuleType, TrtLogger] = {}


def shared_logger(trt: ModuleType) -> TrtLogger:
    """Return the logger of this process: TensorRT uses the first and ignores others."""
    if trt not in _loggers:
        _loggers[trt] = TrtLogger(trt)
    return _loggers[trt]


@dataclass(eq=False)
class _Buffer:
    """Buffers of one input or output: page-locked host memory and device memory."""

    name: str
    host: NDArray[np.float32]  # flat, for the largest batch
    device: Any
    sample: tuple[int, ...]  # shape of one sample

    def view(self, batch: int) -> NDArray[np.float32]:
        """Return the part of the host memory that a batch uses."""
        return self.host[: batch * int(np.prod(self.sample))].reshape(batch, *self.sample)


@dataclass(frozen=True, slots=True)
class EnginePhases:
    """Milliseconds of one call, named as trtexec does: GPU copies and compute, host enqueue."""

    h2d: float
    compute: float
    d2h: float
    enqueue: float


class TrtEngine:
    """Implements `edge.engine.Engine`.

    A batch larger than the plan allows runs in parts; a batch smaller than it allows is padded.
    """

    def __init__(
        self,
        plan: Path,
        content: bytes,
        trt: ModuleType,
        cuda: ModuleType,
        *,
        dla_core: int | None = None,
    ) -> None:
        """Deserialise a plan; `plan` is its path for messages. Raises EngineError."""
        self._plan, self._cuda, self._log = plan, cuda, shared_logger(trt)
        self._log.clear()
        self._primary: Any = None
        self._buffers: list[_Buffer] = []
        with self._translate_errors("open it"):
            self._primary = cuda.Device(0).retain_primary_context()
        try:
            with self._current(), self._translate_errors("open it"):
                self._open(content, trt, dla_core)
        except BaseException:
            self.close()
            raise
        self._shaped = 0

    def _open(self, content: bytes, trt: ModuleType, dla_core: int | None) -> None:
        runtime = trt.Runtime(self._log.logger)
        if dla_core is not None:
            runtime.DLA_core = dla_core
        self._engine = runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise EngineError(f"{self._plan}: TensorRT refuses it: {self._log.reason()}")
        self._execution = self._engine.create_execution_context()
        if self._execution is None:
            raise EngineError(f"{self._plan}: TensorRT cannot run it: {self._log.reason()}")
        self._stream = self._cuda.Stream()
        self._input, self._outputs, self._fewest, self._most = self._allocate(trt)

    def _allocate(self, trt: ModuleType) -> tuple[_Buffer, list[_Buffer], int, int]:
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        if len(inputs) != 1:
            raise EngineError(f"{self._plan}: expected one input, found {inputs}")
        dtypes = {n: self._engine.get_tensor_dtype(n).name for n in names}
        if set(dtypes.values()) != {_FLOAT32}:
            raise EngineError(
                f"{self._plan}: expected inputs and outputs in float32, found {dtypes}"
            )
        given = tuple(self._engine.get_tensor_shape(inputs[0]))
        if given[0] == -1:
            least, _, largest = (
                tuple(shape) for shape in self._engine.get_tensor_profile_shape(inputs[0], 0)
            )
        else:
            least = largest = given
        self._shape_input(inputs[0], largest)
        buffers = {
            name: self._buffer(name, tuple(self._execution.get_tensor_shape(name)))
            for name in names
        }
        return (
            buffers[inputs[0]],
            [buffers[n] for n in names if n not in inputs],
            least[0],
            largest[0],
        )

    def _buffer(self, name: str, shape: tuple[int, ...]) -> _Buffer:
        host = self._cuda.pagelocked_empty(int(np.prod(shape)), np.float32)
        device = self._cuda.mem_alloc(host.nbytes)
        self._buffers.append(_Buffer(name, host, device, shape[1:]))
        if not self._execution.set_tensor_address(name, int(device)):
            raise EngineError(
                f"{self._plan}: TensorRT takes no buffer for {name}: {self._log.reason()}"
            )
        return self._buffers[-1]

    def _shape_input(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._execution.set_input_shape(name, shape):
            raise EngineError(
                f"{self._plan}: TensorRT takes no batch of {shape[0]}: {self._log.reason()}"
            )

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        """Raise errors of pycuda and TensorRT as EngineError."""
        try:
            yield
        except self._cuda.Error as error:  # the base class of all errors of pycuda
            raise EngineError(
                f"{self._plan}: the GPU cannot {what}: {' '.join(str(error).split())}; "
                f"{self._log.reason()}"
            ) from error
        except TypeError as error:  # a constructor of TensorRT without a usable GPU
            raise EngineError(
                f"{self._plan}: TensorRT cannot {what} here ({error}): {self._log.reason()}"
            ) from error

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Make the GPU's primary context current in this thread."""
        if self._primary is None:
            raise EngineError(f"{self._plan}: the engine is closed")
        self._primary.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self._primary is None:
            raise EngineError(f"{self._plan}: the engine is closed")
        if batch.dtype != np.float32 or batch.shape[1:] != self._input.sample or not len(batch):
            raise EngineError(
                f"{self._plan}: expected a batch of (N, {', '.join(map(str, self._input.sample))}) "
                "float32, "
                f"found {batch.shape} {batch.dtype}"
            )
        with self._current(), self._translate_errors("run it"):
            parts = [
                self._run_part(batch[i : i + self._most]) for i in range(0, len(batch), self._most)
            ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def phases(self, batch: NDArray[np.float32]) -> EnginePhases:
        """Measure the phases of one call; the batch must fit in one part. Raises EngineError."""
        if len(batch) > self._most:
            raise EngineError(
                f"{self._plan}: takes at most {self._most} samples a call, found {len(batch)}"
            )
        with self._current(), self._translate_errors("time it"):
            marks = [self._cuda.Event() for _ in range(4)]
            _, enqueue_s = self._run_marked(batch, marks)
            h2d, compute, d2h = (float(end.time_since(start)) for start, end in pairwise(marks))
        return EnginePhases(h2d, compute, d2h, enqueue_s * 1000)

    def _run_part(self, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return self._run_marked(samples, ())[0]

    def _run_marked(
        self, samples: NDArray[np.float32], marks: Sequence[Any]
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """Return the outputs and the seconds of the enqueue; marks separate copies and compute."""
        mark = iter(marks)
        count = len(samples)
        size = max(count, self._fewest)
        if size != self._shaped:
            self._shape_input(self._input.name, (size, *self._input.sample))
            self._shaped = size
        filled = self._input.view(size)
        filled[:count], filled[count:] = samples, 0
        self._mark(mark)
        self._cuda.memcpy_htod_async(self._input.device, filled, self._stream)
        self._mark(mark)
        started = time.perf_counter()
        if not self._execution.execute_async_v3(self._stream.handle):
            raise EngineError(f"{self._plan}: inference failed: {self._log.reason()}")
        enqueue_s = time.perf_counter() - started
        self._mark(mark)
        for output in self._outputs:
            self._cuda.memcpy_dtoh_async(output.view(size), output.device, self._stream)
        self._mark(mark)
        self._stream.synchronize()
        return {
            output.name: output.view(size)[:count].copy() for output in self._outputs
        }, enqueue_s

    def _mark(self, marks: Iterator[Any]) -> None:
        if (mark := next(marks, None)) is not None:
            mark.record(self._stream)

    def close(self) -> None:
        """Free the GPU's memory; a second call does nothing."""
        if self._primary is None:
            return
        with self._current():
            for buffer in self._buffers:
                buffer.device.free()
            # Page-locked memory must be freed before its context.
            self._buffers.clear()
            self._input, self._outputs = None, []  # type: ignore[assignment]
            self._execution = self._engine = self._stream = None
        self._primary.detach()
        self._primary = None
