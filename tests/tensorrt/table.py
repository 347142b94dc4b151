"""The part of TensorRT's Python API that this project uses, as each version has it: `api.json`.

`python -m tests.tensorrt.table FOLDER` reads it off `api_<version>.json.gz` files, which hold the
classes, members and signatures of the real bindings.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("api.json")

# Everything that the code names; a name that is not here fails the tests until the table is made
# again.
USED: dict[str, tuple[str, ...]] = {
    "Builder": (
        "create_network",
        "create_builder_config",
        "create_optimization_profile",
        "build_serialized_network",
        "num_DLA_cores",
    ),
    "IBuilderConfig": (
        "set_memory_pool_limit",
        "set_flag",
        "clear_flag",
        "add_optimization_profile",
        "set_calibration_profile",
        "int8_calibrator",
        "default_device_type",
        "DLA_core",
        "can_run_on_DLA",
        "create_timing_cache",
        "set_timing_cache",
        "get_timing_cache",
        "progress_monitor",
        "num_compute_capabilities",
        "set_compute_capability",
    ),
    "INetworkDefinition": (
        "num_inputs",
        "get_input",
        "num_outputs",
        "get_output",
        "num_layers",
        "get_layer",
    ),
    "ILayer": ("name", "type", "precision"),
    "ITensor": ("name", "shape", "dtype"),
    "OnnxParser": ("parse", "num_errors", "get_error"),
    "ParserError": ("desc", "node", "node_name", "node_operator"),
    "IOptimizationProfile": ("set_shape",),
    "ITimingCache": ("serialize",),
    "Runtime": ("deserialize_cuda_engine", "DLA_core"),
    "ICudaEngine": (
        "create_execution_context",
        "num_io_tensors",
        "get_tensor_name",
        "get_tensor_mode",
        "get_tensor_dtype",
        "get_tensor_shape",
        "get_tensor_profile_shape",
    ),
    "IExecutionContext": (
        "set_input_shape",
        "get_tensor_shape",
        "set_tensor_address",
        "execute_async_v3",
    ),
    "ILogger": ("Severity", "log"),
    "IProgressMonitor": ("phase_start", "step_complete", "phase_finish"),
    "IInt8EntropyCalibrator2": (
        "get_batch_size",
        "get_batch",
        "read_calibration_cache",
        "write_calibration_cache",
    ),
    "BuilderFlag": ("FP16", "INT8", "PREFER_PRECISION_CONSTRAINTS", "GPU_FALLBACK", "TF32"),
    "NetworkDefinitionCreationFlag": ("EXPLICIT_BATCH",),
    "MemoryPoolType": ("WORKSPACE",),
    "DeviceType": ("DLA",),
    "LayerType": ("SOFTMAX",),
    "DataType": ("FLOAT",),
    "TensorIOMode": ("INPUT",),
    "ComputeCapability": ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121"),
}

Table = dict[str, dict[str, dict[str, Any]]]


def read(folder: Path) -> Table:
    """Return by version, class and member the fewest and most arguments without self, or null.

    Newer bindings document some methods as `*args`: their counts are those of earlier versions.
    """
    contents = {}
    for path in sorted(folder.glob("api_*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            content = json.load(file)
        contents[("rtx " if "rtx" in path.name else "") + content["version"]] = content["api"]
    known: dict[tuple[str, str], list[int]] = {}
    for api in contents.values():
        for name, members in USED.items():
            for member in members:
                counts = _arguments(api.get(name, {}).get("members", {}).get(member, ""))
                if counts is not None:
                    known.setdefault((name, member), counts)
    return {
        version: {
            name: {
                member: known.get((name, member))
                for member in members
                if member in api[name]["members"]
            }
            for name, members in USED.items()
            if name in api
        }
        for version, api in contents.items()
    }


def _arguments(signature: str) -> list[int] | None:
    """Fewest and most arguments of a documented signature `name(self: ..., a: int, b.

    Int = 0) -> None`.
    """
    found = re.match(r"\w+\((.*)\) -> ", signature.split("\n")[0])
    if not found or "*args" in signature:
        return None
    depth, parts, start = 0, [], 0
    text = found.group(1)
    for i, letter in enumerate(text):
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    taken = [part for part in parts if part.strip() and not part.strip().startswith(("self", "/"))]
    return [sum("=" not in part for part in taken), len(taken)]


def load() -> Table:
    return json.loads(TABLE.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


if __name__ == "__main__":
    TABLE.write_text(json.dumps(read(Path(sys.argv[1])), sort_keys=True) + "\n", encoding="utf-8")
