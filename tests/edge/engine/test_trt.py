"""The TensorRT runner and the gate before it, against stand-ins for the driver (tests/tensorrt)."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import ParityResult, file_digest
from edge.chip import to_input
from edge.engine import open_engine
from edge.engine.cuda import GpuDevice, find_device, read_l4t
from edge.engine.sidecar import PlanRequirements, PlanTensor, Sidecar, read_sidecar, sidecar_path
from edge.engine.trt import TrtEngine, open_plan
from edge.errors import EngineError
from export.parity_data import portrait_chips
from export.trt_builder import BuildOptions, build_plan
from tests.bundles import EMBEDDING
from tests.tensorrt.fakes import FakeCuda, fake_tensorrt
from tests.tensorrt.table import load

ORIN = GpuDevice("Orin", "8.7", "R36.4.0", "NVIDIA Jetson Orin Nano Developer Kit")
VERSIONS = sorted(v for v in load() if not v.startswith("rtx"))


@pytest.fixture(params=VERSIONS)
def trt(request: pytest.FixtureRequest) -> Any:
    return fake_tensorrt(request.param)


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


def planned(trt: Any, bundle: Path, batch: tuple[int, int, int]) -> bytes:
    return build_plan(trt, bundle / "embedder.onnx", BuildOptions("fp32", batch)).plan


def opened(
    trt: Any, cuda: FakeCuda, bundle: Path, batch: tuple[int, int, int] = (1, 1, 4)
) -> TrtEngine:
    return TrtEngine(Path("e.plan"), planned(trt, bundle, batch), trt, cuda)


@pytest.fixture(scope="module")
def expected(bundle_path: Path) -> dict[str, np.ndarray]:
    """The outputs of ONNX Runtime for nine chips."""
    return open_engine(bundle_path / "embedder.onnx", threads=1).run(to_input(portrait_chips()[:9]))


@pytest.mark.parametrize("batch", [(1, 1, 4), (4, 4, 4), (2, 3, 8)])
def test_trt_output_equals_onnx_runtime(
    trt: Any,
    cuda: FakeCuda,
    batch: tuple[int, int, int],
    bundle_path: Path,
    expected: dict[str, np.ndarray],
) -> None:
    engine = opened(trt, cuda, bundle_path, batch)
    chips = to_input(portrait_chips())
    for count in (1, 4, 9, 2):
        found = engine.run(chips[:count])
        for name, every in expected.items():
            value = every[:count]
            assert found[name].shape == value.shape and np.allclose(found[name], value, atol=1e-5)
    assert not cuda.stack()  # every push has its pop
    before = len(cuda.memory)
    engine.close()
    engine.close()
    assert len(cuda.memory) == before - 1 - len(expected) and cuda.detached == cuda.retained == 1
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.run(chips[:1])


def test_a_call_can_be_timed_in_its_phases(trt: Any, cuda: FakeCuda, bundle_path: Path) -> None:
    engine = opened(trt, cuda, bundle_path)
    chips = to_input(portrait_chips())
    timing = engine.phases(chips[:2])
    assert (timing.h2d, timing.compute, timing.d2h) == (
        1.0,
        1.0,
        1.0,
    ) and timing.enqueue > 0  # a mark before, between and after
    with pytest.raises(EngineError, match="takes at most 4 samples a call, found 5"):
        engine.phases(chips[:5])
    assert not cuda.stack()


def test_results_survive_next_call(
    trt: Any, cuda: FakeCuda, bundle_path: Path, tmp_path: Path
) -> None:
    engine = opened(trt, cuda, bundle_path)
    chips = to_input(portrait_chips())
    first = engine.run(chips[:1])["embedding"]
    kept = first.copy()
    engine.run(chips[15:16])
    assert (first == kept).all()


def test_another_thread_may_infer(
    trt: Any, cuda: FakeCuda, bundle_path: Path, tmp_path: Path
) -> None:
    engine = opened(trt, cuda, bundle_path)
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(engine.run(to_input(portrait_chips()[:2])))
    )
    thread.start()
    thread.join()
    assert found[0]["embedding"].shape[0] == 2


def test_wrong_inputs_are_refused_before_the_gpu(
    trt: Any, cuda: FakeCuda, bundle_path: Path, tmp_path: Path
) -> None:
    engine = opened(trt, cuda, bundle_path)
    for batch in (
        np.zeros((1, 112, 112, 3), np.float32),
        np.zeros((1, 3, 112, 112)),
        np.zeros((0, 3, 112, 112), np.float32),
    ):
        with pytest.raises(EngineError, match=r"expected a batch of \(N, 3, 112, 112\) float32"):
            engine.run(batch)


def test_refused_plan_reports_reason(trt: Any, cuda: FakeCuda, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="magic tag does not match"):
        TrtEngine(Path("e.plan"), b"not a plan", trt, cuda)  # type: ignore[arg-type]
    assert not cuda.stack() and cuda.detached == 1


def test_gpu_error_is_reported_and_freed(trt: Any, cuda: FakeCuda, bundle_path: Path) -> None:
    before = len(cuda.memory)
    cuda.room = 10_000  # enough for mask_worn, not for a batch of chips
    with pytest.raises(
        EngineError, match="the GPU cannot open it: cuMemAlloc failed: out of memory"
    ):
        opened(trt, cuda, bundle_path)
    assert len(cuda.memory) == before and cuda.detached == 1 and not cuda.stack()
    cuda.room = 1 << 30
    engine = opened(trt, cuda, bundle_path)
    cuda.sync_error = cuda.Error("cuStreamSynchronize failed: an illegal memory access")
    with pytest.raises(EngineError, match="the GPU cannot run it: cuStreamSynchronize failed"):
        engine.run(to_input(portrait_chips()[:1]))
    assert not cuda.stack()


def test_a_plan_for_a_dla_is_opened_on_its_core(
    trt: Any, cuda: FakeCuda, bundle_path: Path
) -> None:
    TrtEngine(Path("e.plan"), planned(trt, bundle_path, (4, 4, 4)), trt, cuda, dla_core=1)
    assert trt.made.runtime.DLA_core == 1


def test_open_old_driver_is_reported(trt: Any, cuda: FakeCuda, bundle_path: Path) -> None:
    content = planned(trt, bundle_path, (1, 1, 4))

    def nothing(logger: Any) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt.Runtime = nothing
    with pytest.raises(EngineError, match="TensorRT cannot open it here"):
        TrtEngine(Path("e.plan"), content, trt, cuda)  # type: ignore[arg-type]


# ------------------------------------------------------------------ the gate before it


@pytest.fixture
def built(bundle_path: Path, tmp_path: Path) -> Callable[..., Any]:
    """Function that writes a plan and its changed sidecar, and opens it as a daemon does."""
    trt, cuda = fake_tensorrt("10.3.0"), FakeCuda()
    plan = tmp_path / "embedder-fp32.plan"
    plan.write_bytes(planned(trt, bundle_path, (1, 1, 4)))
    digest, reference = file_digest(plan), file_digest(bundle_path / "embedder.onnx")
    verdict = ParityResult(
        passed=True, judged=digest, reference=reference, samples=30, figures={"min_cosine": 1.0}
    )
    sidecar = Sidecar(
        network="embedder",
        precision="fp32",
        plan=digest,
        onnx=reference,
        reference=reference,
        builder="tensorrt",
        tensorrt="10.3.0",
        gpu=ORIN.name,
        compute_capability=ORIN.compute_capability,
        l4t=ORIN.l4t,
        board=ORIN.board,
        tensors=(PlanTensor(name="chip", shape=(-1, 3, 112, 112), dtype="float"),),
        batch=(1, 1, 4),
        flags=(),
        workspace_mib=1024,
        built_at="2026-01-01T00:00:00+00:00",
        build_seconds=1.0,
        verdict=verdict,
    )

    def opened(device: GpuDevice = ORIN, calibrated: str = "", **changes: Any) -> TrtEngine:
        sidecar_path(plan).write_text(sidecar.model_copy(update=changes).model_dump_json())
        wanted = PlanRequirements("embedder", "fp32", reference, frozenset({reference}), calibrated)
        return open_plan(
            plan, wanted, device=lambda: device, tensorrt=lambda: trt, pycuda=lambda: cuda
        )  # type: ignore[arg-type, return-value]

    opened.plan, opened.verdict = plan, verdict  # type: ignore[attr-defined]
    return opened


def test_a_plan_that_passed_is_opened(built: Callable[..., Any]) -> None:
    assert built().run(to_input(portrait_chips()[:2]))["embedding"].shape == (2, EMBEDDING)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"network": "detector-640x480"},
            "built with network detector-640x480, found embedder here",
        ),
        ({"precision": "int8"}, "built with precision int8, found fp32 here"),
        (
            {"board": "NVIDIA Jetson AGX Orin"},
            "built with board NVIDIA Jetson AGX Orin, found NVIDIA Jetson Orin Nano",
        ),
        ({"onnx": "f" * 64}, "so the thresholds are not its own"),
        ({"tensorrt": "8.6.2"}, "built with TensorRT 8.6.2, found 10.3.0 here"),
        ({"gpu": "Xavier"}, "built with GPU Xavier, found Orin here"),
        ({"compute_capability": "7.2"}, "compute capability 7.2, found 8.7"),
        ({"l4t": "R35.3.1"}, "L4T release R35.3.1, found R36.4.0"),
        ({"builder": "tensorrt_rtx"}, "built with builder tensorrt_rtx"),
        ({"reference": "f" * 64}, "FP32 network"),
        ({"plan": "f" * 64}, "its sidecar says ffffffffffff"),
        ({"verdict": None}, "not compared with the FP32 network yet"),
    ],
)
def test_the_field_that_differs_is_named(
    built: Callable[..., Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(EngineError, match=words):
        built(**changes)


def test_parity_result_must_match_plan(built: Callable[..., Any]) -> None:
    verdict = built.verdict  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="for another file or network"):
        built(verdict=verdict.model_copy(update={"judged": "0" * 64}))
    with pytest.raises(
        EngineError, match="the parity gate refused it: its colour channels are swapped"
    ):
        built(
            verdict=verdict.model_copy(
                update={"passed": False, "reason": "its colour channels are swapped"}
            )
        )


def test_a_plan_may_have_thresholds_of_its_own(built: Callable[..., Any]) -> None:
    digest = file_digest(built.plan)  # type: ignore[attr-defined]
    assert built(onnx="f" * 64, calibrated=digest).run(to_input(portrait_chips()[:1]))[
        "embedding"
    ].shape == (1, EMBEDDING)


def test_open_unreadable_plan_is_reported(built: Callable[..., Any]) -> None:
    built.plan.unlink()  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match=r"\.plan: missing.*build the engine"):
        built()


def test_sidecar_missing_or_invalid_raises(built: Callable[..., Any]) -> None:
    plan = built.plan  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match=r"\.json: missing.*build the engine"):
        read_sidecar(plan)
    sidecar_path(plan).write_text('{"schema_version": 9}')
    with pytest.raises(EngineError, match="schema_version"):
        read_sidecar(plan)
    sidecar_path(plan).write_bytes(b"\xff\xfe")
    with pytest.raises(EngineError, match="build the engine again"):
        read_sidecar(plan)


# ------------------------------------------------------------------ the driver


class FakeDriver:
    """Fake libcuda: a status per call, one GPU named Orin with compute capability 8.7."""

    def __init__(self, count: int = 1, start: int = 0) -> None:
        self.count, self.start = count, start

    def cuInit(self, flags: int) -> int:
        return self.start

    def cuDeviceGetCount(self, count: Any) -> int:
        ctypes.cast(count, ctypes.POINTER(ctypes.c_int))[0] = self.count
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        return 0

    def cuDeviceGetName(self, name: Any, size: int, handle: Any) -> int:
        name.value = b"Orin"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: Any) -> int:
        ctypes.cast(value, ctypes.POINTER(ctypes.c_int))[0] = {75: 8, 76: 7}[attribute]
        return 0


def test_the_driver_is_asked() -> None:
    device = find_device(load=lambda name: FakeDriver())
    assert (device.name, device.compute_capability) == ("Orin", "8.7")
    with pytest.raises(EngineError, match="GPU of number 1, the NVIDIA driver finds 1"):
        find_device(1, load=lambda name: FakeDriver())
    with pytest.raises(EngineError, match="cannot start: CUDA error 100"):
        find_device(load=lambda name: FakeDriver(start=100))

    def absent(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(EngineError, match="no NVIDIA driver here"):
        find_device(load=absent)


def test_the_release_of_a_jetson_is_read(tmp_path: Path) -> None:
    (tmp_path / "release").write_text(
        "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic, EABI: aarch64\n"
    )
    assert read_l4t(tmp_path / "release") == "R36.4.0"
    assert read_l4t(tmp_path / "none") == ""
    (tmp_path / "odd").write_text("something else\n")
    assert read_l4t(tmp_path / "odd") == ""
