"""Open an encoder of any supported form as an ONNX graph for the chips of this project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import fx, nn

from edge.chip import SIZE, to_input
from edge.engine import open_engine
from edge.errors import ConfigError, EngineError
from edge.portraits import COLLINS, HOPPER, load_chip
from edge.system.digest import file_digest
from train.encoders import state_dicts
from train.encoders.conventions import (
    CONVENTIONS,
    NATIVE,
    Convention,
    LabelledFaces,
    Measured,
    Run,
    choose_convention,
    measure_conventions,
    portrait_views,
    with_convention,
)
from train.encoders.cut import at_14x14, find_cuts
from train.encoders.graph_reader import one_line
from train.encoders.onnx_to_torch import read_encoder
from train.onnx_export import trace_to_onnx
from train.routed import RoutedNetwork
from train.weights import load_checkpoint, load_network

OWN = "network of mfsa-train"
LEAST_COSINE = 0.9999  # between an encoder and its conversion
_STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True)
class Encoder:
    """Encoder as an ONNX file's content, whose input is that of this project."""

    content: bytes
    kind: str  # such as "ONNX" or "IR of AdaFace"
    source_sha256: str  # of the file that was opened
    convention: Convention
    measured: Measured
    conversion_cosine: float  # least, on portraits, between the file and the torch form


def open_encoder(
    path: Path,
    asked: str | None = None,
    faces: LabelledFaces | None = None,
    check_graph: Callable[[fx.GraphModule], object] | None = None,
) -> Encoder:
    """Open an encoder: ONNX, TFLite, a public state dict, or a checkpoint of this project.

    `asked` is an input convention. Conventions are measured on `faces`, by default views of two
    portraits. `check_graph` is called before that, which takes long. Raises ConfigError for an
    encoder that cannot be adapted, with the reason, and the errors of `check_graph`.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name the encoder's file: ONNX, TFLite, state dict")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; name an encoder: ONNX, TFLite or a state dict")
    if asked is not None and asked not in CONVENTIONS:
        raise ConfigError(f"--input: expected one of {', '.join(CONVENTIONS)}, found {asked!r}")
    model, kind, original = _read(path)
    _check_input(model, path)
    graph = read_encoder(model.SerializeToString(), str(path))
    _check_cut(graph, path)
    if check_graph is not None:
        check_graph(graph)
    _flatten_output(model, graph)
    run = _runner(model, path)
    chips = [load_chip(COLLINS), load_chip(HOPPER)]
    if not np.isfinite((original or run)(to_input(np.stack(chips)))).all():
        raise _damaged(path)  # before the measurement, which takes long
    described = "portraits" if faces is None else f"{len(faces.chips)} faces of the data"
    measured = measure_conventions(original or run, faces or portrait_views(chips), described)
    convention = _own(path, asked) if kind == OWN else choose_convention(measured, asked, str(path))
    content = with_convention(model, convention).SerializeToString()
    cosine = _conversion_cosine(content, original or run, convention, chips, path)
    return Encoder(content, kind, file_digest(path), convention, measured, cosine)


def _read(path: Path) -> tuple[onnx.ModelProto, str, Run | None]:
    """Return the model as ONNX, its kind, and the original to compare with if it is a network."""
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return _read_onnx(path), "ONNX", None
    if suffix == ".tflite":
        from train.encoders.tflite_to_onnx import convert_tflite

        return convert_tflite(path), "TFLite", None
    if suffix == ".safetensors" or _is_own_checkpoint(path):
        network = load_network(path)
        if isinstance(network, RoutedNetwork):
            raise ConfigError(
                f"{path}: an add-on of mfsa-adapt already; name the encoder that it was made for"
            )
        own = _EmbeddingOnly(network).eval()
        return _to_onnx(own, path), OWN, _torch_runner(own)
    if suffix in _STATE_DICTS:
        public, kind = state_dicts.build(state_dicts.load_state(path), str(path))
        return _to_onnx(public, path), kind, _torch_runner(public)
    raise ConfigError(
        f"{path}: unknown kind of file; expected .onnx, .tflite, .safetensors or a state dict "
        f"({', '.join(_STATE_DICTS)})"
    )


def _is_own_checkpoint(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except ConfigError:
        return False
    return True


class _EmbeddingOnly(nn.Module):
    """A network of this project without its other outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, chip: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.network(chip).embedding
        return embedding


def _read_onnx(path: Path) -> onnx.ModelProto:
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises its own types
        raise ConfigError(
            f"{path}: not an ONNX file, or truncated; download or export it again"
        ) from error
    for node in model.graph.node:  # an empty name at the end is an operand that is absent
        while node.input and not node.input[-1]:
            del node.input[-1]  # ONNX Runtime 1.32 crashes on that of LayerNormalization
    return model


def _check_input(model: onnx.ModelProto, path: Path) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise ConfigError(
            f"{path}: expected one input, found {len(inputs)}"
            f"{one_line(': ' + names) if names else ''}; "
            "export the encoder alone"
        )
    # Weights that are also listed as inputs, as old exporters do.
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    kind = inputs[0].type.tensor_type.elem_type
    if kind != onnx.TensorProto.FLOAT:
        raise ConfigError(
            f"{path}: its input has the type {onnx.TensorProto.DataType.Name(kind).lower()}; "
            "export it with a float32 input"
        )
    dims = inputs[0].type.tensor_type.shape.dim
    shape = [d.dim_value or d.dim_param or "?" for d in dims]
    text = one_line(f"({', '.join(map(str, shape))})")
    if len(shape) == 4 and any(not isinstance(n, int) for n in shape[1:]):
        raise ConfigError(
            f"{path}: its input {text} has dynamic sizes; export it for (N, 3, {SIZE}, {SIZE})"
        )
    if shape[1:] == [SIZE, SIZE, 3]:
        raise ConfigError(
            f"{path}: its input {text} has the channels last; export it for (N, 3, {SIZE}, {SIZE})"
        )
    if shape[1:] != [3, SIZE, SIZE]:
        raise ConfigError(
            f"{path}: its input is {text}; MFSA needs an encoder for chips (N, 3, {SIZE}, {SIZE})"
        )
    if isinstance(shape[0], int) and shape[0] > 1:
        raise ConfigError(
            f"{path}: its input {text} has a fixed batch of {shape[0]}; "
            f"export it for (N, 3, {SIZE}, {SIZE}) or (1, 3, {SIZE}, {SIZE})"
        )


def _own(path: Path, asked: str | None) -> Convention:
    """Return the input of networks of this project; raises ConfigError if another is asked."""
    if asked not in (None, str(NATIVE)):
        raise ConfigError(
            f"--input {asked}: {path} is a {OWN}, whose input is {NATIVE}; leave out --input"
        )
    return NATIVE


def _check_cut(graph: fx.GraphModule, path: Path) -> None:
    try:
        at_14x14(find_cuts(graph))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _flatten_output(model: onnx.ModelProto, graph: fx.GraphModule) -> None:
    """Make the embedding (N,D) if the model, with this graph, gives it as (N,D,1,1)."""
    with torch.no_grad():
        size = graph(torch.zeros(1, 3, SIZE, SIZE)).shape[1:]
    if len(size) == 1:
        return
    name = model.graph.output[0].name
    model.graph.node.append(onnx.helper.make_node("Flatten", [name], ["flat_embedding"]))
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(
            "flat_embedding", onnx.TensorProto.FLOAT, ["batch", size.numel()]
        )
    )


def _to_onnx(network: nn.Module, path: Path) -> onnx.ModelProto:
    """Return a network as ONNX; raises ConfigError if it does not take the chips."""
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, SIZE, SIZE))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path}: the encoder does not take {SIZE}x{SIZE} pictures: {reason}"
        ) from error
    with TemporaryDirectory() as folder:
        file = Path(folder) / "encoder.onnx"
        return trace_to_onnx(network, file, ["embedding"], dynamic_batch=True)


def _torch_runner(network: nn.Module) -> Run:
    @torch.no_grad()
    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(network(torch.from_numpy(x)).numpy(), np.float32)

    return run


def _runner(model: onnx.ModelProto, path: Path) -> Run:
    """Run an ONNX model picture by picture: its batch may be fixed to one."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_bytes(model.SerializeToString())
        try:
            engine = open_engine(file, threads=1)
        except EngineError as error:
            reason = " ".join(str(error).replace(str(file), path.name).split())
            raise ConfigError(f"{path}: the encoder cannot be run: {reason}") from error

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = [next(iter(engine.run(row[None]).values())).reshape(1, -1) for row in x]
        return np.concatenate(rows)

    return run


def _damaged(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: gives an embedding of a portrait that is zero or not finite; "
        "its weights are damaged, export it again"
    )


def _conversion_cosine(
    content: bytes,
    original: Run,
    convention: Convention,
    chips: list[NDArray[np.uint8]],
    path: Path,
) -> float:
    """Return the least cosine of the torch form and the original; raises ConfigError if low."""
    expected = original(np.concatenate([convention.to_input(chip) for chip in chips]))
    if not (np.isfinite(expected).all() and expected.any(axis=1).all()):
        raise _damaged(path)
    found = _torch_runner(read_encoder(content, str(path)))(to_input(np.stack(chips)))
    if found.shape != expected.shape:
        raise ConfigError(f"{path}: converted to {found.shape}, the file gives {expected.shape}")
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    least = float(((found * expected).sum(axis=1) / norms).min())
    if not least >= LEAST_COSINE:
        raise ConfigError(
            f"{path}: the conversion is not exact: cosine {least:.5f} on portraits, "
            f"at least {LEAST_COSINE} is needed; export the encoder to ONNX with opset 17"
        )
    return least
