"""Stand-ins for TensorRT and pycuda at the boundary of the driver, for machines without a GPU.

`fake_tensorrt(version)` has only the names and argument counts that the real bindings of that
version have (`api.json`); anything else raises AttributeError. A plan holds its ONNX file, which
the "GPU" runs by ONNX Runtime, so that what is built, run and compared is the real network.
`FakeCuda` insists on a current context for every call.
"""

from __future__ import annotations

import base64
import itertools
import json
import tempfile
import threading
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnx

from edge.engine import open_engine
from export.onnx_transforms import widen_to_fp32
from tests.tensorrt.table import USED, load


class Guard:
    """Object with the members of a class in one version; checks the arguments of its methods."""

    def __init__(self, of: str, members: dict[str, Any], target: Any) -> None:
        object.__setattr__(self, "_guard", (of, members, target))

    def __getattr__(self, name: str) -> Any:
        of, members, target = object.__getattribute__(self, "_guard")
        if name not in members:
            raise AttributeError(f"this version's {of} has no {name}")
        value = getattr(target, name)
        counts = members[name]
        if counts is None or not callable(value):
            return value

        def counted(*args: Any) -> Any:
            assert counts[0] <= len(args) <= counts[1], (
                f"{of}.{name} takes {counts} arguments, found {len(args)}"
            )
            return value(*args)

        return counted

    def __setattr__(self, name: str, value: Any) -> None:
        of, members, target = object.__getattribute__(self, "_guard")
        if name not in members:
            raise AttributeError(f"this version's {of} has no {name}")
        setattr(target, name, value)


def inside(guarded: Any) -> Any:
    """Return the object that a guard protects."""
    return object.__getattribute__(guarded, "_guard")[2]


class _Network:
    def __init__(self, guard: Any) -> None:
        self.guard = guard
        self.model: onnx.ModelProto | None = None
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.layers: list[Any] = []

    def fill(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.inputs = [self._tensor(value) for value in model.graph.input]
        self.outputs = [self._tensor(value) for value in model.graph.output]
        kinds = self.guard.module.LayerType
        self.layers = [
            self.guard(
                "ILayer",
                SimpleNamespace(
                    name=n.name,
                    type=kinds.SOFTMAX if n.op_type == "Softmax" else None,
                    precision=None,
                ),
            )
            for n in model.graph.node
        ]

    def _tensor(self, value: onnx.ValueInfoProto) -> Any:
        shape = tuple(
            d.dim_value if not d.dim_param else -1 for d in value.type.tensor_type.shape.dim
        )
        return self.guard(
            "ITensor",
            SimpleNamespace(name=value.name, shape=shape, dtype=self.guard.module.DataType.FLOAT),
        )

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))
    num_layers = property(lambda self: len(self.layers))

    def get_input(self, i: int) -> Any:
        return self.inputs[i]

    def get_output(self, i: int) -> Any:
        return self.outputs[i]

    def get_layer(self, i: int) -> Any:
        return self.layers[i]


class _Config:
    def __init__(self, guard: Any) -> None:
        self.guard = guard
        self.flags: list[str] = ["TF32"]  # as TensorRT begins
        self.profiles: list[Any] = []
        self.pools: dict[str, int] = {}
        self.cache: Any = None
        self.int8_calibrator: Any = None
        self.default_device_type: Any = None
        self.DLA_core = -1
        self.progress_monitor: Any = None
        self.num_compute_capabilities = 0

    def set_memory_pool_limit(self, pool: Enum, size: int) -> None:
        self.pools[pool.name] = size

    def set_flag(self, flag: Enum) -> None:
        self.flags.append(flag.name)

    def clear_flag(self, flag: Enum) -> None:
        self.flags = [name for name in self.flags if name != flag.name]

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(inside(profile).shapes)
        return len(self.profiles) - 1

    def set_calibration_profile(self, profile: Any) -> bool:
        return True

    def can_run_on_DLA(self, layer: Any) -> bool:
        return layer.type is None

    def create_timing_cache(self, content: bytes) -> Any:
        cache = SimpleNamespace(content=content, serialize=lambda: b"timings" + content)
        return self.guard("ITimingCache", cache)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return inside(cache).content != b"of another device"

    def get_timing_cache(self) -> Any:
        return self.cache

    def set_compute_capability(self, capability: Enum, index: int) -> bool:
        return True


class _Parser:
    def __init__(self, guard: Any, network: Any) -> None:
        self.guard, self.network = guard, network
        self.errors: list[Any] = []

    num_errors = property(lambda self: len(self.errors))

    def parse(self, content: bytes) -> bool:
        model = onnx.load_from_string(content)
        refused = [
            (i, n) for i, n in enumerate(model.graph.node) if n.op_type == "NonMaxSuppression"
        ]
        for i, node in refused:
            refusal = SimpleNamespace(
                desc=lambda: "No importer registered",
                node=lambda i=i: i,
                node_name=lambda n=node: n.name,
                node_operator=lambda n=node: n.op_type,
            )
            self.errors.append(self.guard("ParserError", refusal))
        inside(self.network).fill(model)
        return not refused

    def get_error(self, i: int) -> Any:
        return self.errors[i]


class _Builder:
    num_DLA_cores = 2

    def __init__(self, guard: Any) -> None:
        self.guard = guard

    def create_network(self, flags: int = 0) -> Any:
        return self.guard("INetworkDefinition", _Network(self.guard))

    def create_builder_config(self) -> Any:
        self.config = _Config(self.guard)
        return self.guard("IBuilderConfig", self.config)

    def create_optimization_profile(self) -> Any:
        profile = SimpleNamespace(shapes={})
        profile.set_shape = lambda name, *shapes: profile.shapes.__setitem__(name, shapes)
        return self.guard("IOptimizationProfile", profile)

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        net, how = inside(network), inside(config)
        if how.progress_monitor is not None:
            how.progress_monitor.phase_start("Building", None, 1)
            assert how.progress_monitor.step_complete("Building", 0)
            how.progress_monitor.phase_finish("Building")
        if how.int8_calibrator is not None:
            while how.int8_calibrator.get_batch([net.inputs[0].name]) is not None:
                pass
            how.int8_calibrator.write_calibration_cache(b"ranges")
        taken = inside(net.inputs[0])
        plan = {
            "onnx": base64.b64encode(net.model.SerializeToString()).decode(),
            "flags": how.flags,
            "input": [taken.name, list(taken.shape)],
            "profile": [list(map(list, p[taken.name])) for p in how.profiles],
        }
        if taken.shape[0] == -1 and not how.profiles:
            self.guard.module.logger_of.log(
                self.guard.module.ILogger.Severity.ERROR,
                "Network has dynamic inputs, but no profile",
            )
            return None
        return json.dumps(plan).encode()


class _Engine:
    def __init__(self, guard: Any, plan: dict[str, Any]) -> None:
        self.guard, self.plan = guard, plan
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.onnx"
            model = onnx.load_from_string(base64.b64decode(plan["onnx"]))
            onnx.save(
                widen_to_fp32(model), path
            )  # old ONNX Runtimes compute half-precision Q/DQ coarsely
            self.network = open_engine(path, threads=1)
        self.name, shape = plan["input"]
        self.shape = tuple(shape)
        self.names = [self.name, *(o.name for o in model.graph.output)]

    num_io_tensors = property(lambda self: len(self.names))

    def get_tensor_name(self, i: int) -> str:
        return self.names[i]

    def get_tensor_mode(self, name: str) -> Any:
        return self.guard.module.TensorIOMode.INPUT if name == self.name else None

    def get_tensor_dtype(self, name: str) -> Any:
        return self.guard.module.DataType.FLOAT

    def get_tensor_shape(self, name: str) -> Any:
        assert name == self.name
        return self.shape

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return self.plan["profile"][profile]

    def create_execution_context(self) -> Any:
        return self.guard("IExecutionContext", _Execution(self))


class _Execution:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}
        self._outputs: dict[int, dict[str, np.ndarray]] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if self.engine.shape[0] == -1:
            least, _, most = self.engine.plan["profile"][0]
            if not least[0] <= shape[0] <= most[0]:
                return False
        elif tuple(shape) != self.engine.shape:
            return False
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> Any:
        if name == self.engine.name:
            return self.shape
        if self.shape[0] not in self._outputs:
            self._outputs[self.shape[0]] = self.engine.network.run(np.zeros(self.shape, np.float32))
        return self._outputs[self.shape[0]][name].shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        memory = FakeCuda.memory
        given = memory[self.addresses[self.engine.name]]
        batch = given[: int(np.prod(self.shape))].reshape(self.shape)
        for name, value in self.engine.network.run(batch).items():
            memory[self.addresses[name]][: value.size] = value.ravel()
        return True


def fake_tensorrt(version: str) -> Any:
    """A module with the names of one version of `api.json`."""
    table = load()[version]
    module = ModuleType("tensorrt_rtx" if version.startswith("rtx") else "tensorrt")
    module.__version__ = version.removeprefix("rtx ")  # type: ignore[attr-defined]

    def guard(of: str, target: Any) -> Guard:
        return Guard(of, table[of], target)

    guard.module = module  # type: ignore[attr-defined]
    made = SimpleNamespace()  # what tests look at: the last builder

    class Plain:
        def __init__(self) -> None: ...

    for name in USED:
        if name not in table:
            continue
        members = list(table[name])
        if all(member.isupper() or member[:2] == "SM" for member in members) and members:
            setattr(module, name, Enum(name, [(member, i) for i, member in enumerate(members)]))
        elif name in ("ILogger", "IProgressMonitor", "IInt8EntropyCalibrator2"):
            setattr(module, name, type(name, (Plain,), {}))
    # A class without a member of ours is there nevertheless.
    for name in ("NetworkDefinitionCreationFlag", "BuilderFlag"):
        if not hasattr(module, name):
            setattr(module, name, SimpleNamespace())
    if isinstance(getattr(module, "NetworkDefinitionCreationFlag", None), type):
        flags = module.NetworkDefinitionCreationFlag  # type: ignore[attr-defined]
        flags.__int__ = lambda self: self.value
    module.ILogger.Severity = Enum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")

    def builder(logger: Any) -> Guard:
        module.logger_of = logger  # type: ignore[attr-defined]
        made.builder = _Builder(guard)
        return guard("Builder", made.builder)

    def runtime(logger: Any) -> Guard:
        def deserialize(content: bytes) -> Any:
            try:
                return guard("ICudaEngine", _Engine(guard, json.loads(content)))
            except ValueError:
                logger.log(
                    module.ILogger.Severity.ERROR, "Serialization error: magic tag does not match"
                )  # type: ignore[attr-defined]
                return None

        made.runtime = SimpleNamespace(deserialize_cuda_engine=deserialize, DLA_core=-1)
        return guard("Runtime", made.runtime)

    module.Builder = builder  # type: ignore[attr-defined]
    module.OnnxParser = lambda network, logger: guard("OnnxParser", _Parser(guard, network))
    module.Runtime = runtime  # type: ignore[attr-defined]
    module.made = made  # type: ignore[attr-defined]
    return module


class CudaError(Exception):
    """The base of pycuda's errors."""


class FakeCuda:
    """Fake pycuda.driver; memory is float32 numbers behind addresses."""

    memory: ClassVar[dict[int, np.ndarray]] = {}
    _numbers: ClassVar = itertools.count(1)
    _moments: ClassVar = itertools.count(1)  # milliseconds; one passes from event to event

    def __init__(self) -> None:
        self.retained = self.detached = 0
        self._current = threading.local()
        self.Error = CudaError
        self.room = 1 << 30  # bytes of the GPU's memory
        outer = self

        class Primary:
            def push(self) -> None:
                stack().append(self)

            def detach(self) -> None:
                outer.detached += 1

        class Device:
            def __init__(self, number: int) -> None: ...

            def retain_primary_context(self) -> Primary:
                outer.retained += 1
                return Primary()

        def stack() -> list[Any]:
            if not hasattr(self._current, "stack"):
                self._current.stack = []
            return self._current.stack  # type: ignore[no-any-return]

        self.stack = stack
        self.sync_error: Exception | None = None
        self.Device = Device
        self.Context = SimpleNamespace(pop=lambda: stack().pop())

    def _needs_context(self) -> None:
        assert self.stack(), "no currently active context"

    def _synchronize(self) -> None:
        self._needs_context()
        if self.sync_error is not None:
            raise self.sync_error

    def Stream(self) -> Any:
        self._needs_context()
        return SimpleNamespace(handle=7, synchronize=self._synchronize)

    def Event(self) -> Any:
        self._needs_context()
        event = SimpleNamespace(at=None)

        def record(stream: Any) -> None:
            self._needs_context()
            event.at = next(self._moments)

        def time_since(earlier: Any) -> float:
            assert event.at is not None and earlier.at is not None, "the event was not recorded"
            return float(event.at - earlier.at)

        event.record, event.time_since = record, time_since
        return event

    def pagelocked_empty(self, shape: int, dtype: Any) -> np.ndarray:
        self._needs_context()
        return np.empty(shape, dtype)

    def mem_alloc(self, size: int) -> Any:
        self._needs_context()
        if size > self.room:
            raise CudaError("cuMemAlloc failed: out of memory")
        address = 4096 * next(self._numbers)
        memory = self.memory
        memory[address] = np.full(size // 4, np.nan, np.float32)

        class Allocation:
            def __int__(self) -> int:
                return address

            def free(self) -> None:
                del memory[address]

        return Allocation()

    def memcpy_htod_async(self, there: Any, here: np.ndarray, stream: Any) -> None:
        self._needs_context()
        self.memory[int(there)][: here.size] = here.ravel()

    def memcpy_dtoh_async(self, here: np.ndarray, there: Any, stream: Any) -> None:
        self._needs_context()
        here.ravel()[:] = self.memory[int(there)][: here.size]

    def memcpy_htod(self, there: Any, here: np.ndarray) -> None:
        self.memcpy_htod_async(there, here, None)
