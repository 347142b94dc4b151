"""State of reading an ONNX graph: its constants, sizes, and the torch nodes of its values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.node import map_arg

from edge.chip import SIZE
from edge.errors import ConfigError

Array = NDArray[Any]
Attributes = dict[str, Any]

# Bounds for files that would exhaust the memory; encoders need a tenth of them.
_VALUES_MAX = 2**27  # of all nodes together, for two pictures
_WEIGHT_BYTES_SPARE = 2**26
_WEIGHT_BYTES_PER_FILE_BYTE = 8  # integers of one byte in the file take eight in memory
_BATCH = 2  # pictures of the shapes that are kept


class GraphReader:
    """Values of an ONNX graph by their names, and the torch graph that is built from them.

    Each node is evaluated on the device "meta", so that its shape is known without its values.
    """

    def __init__(self, model: onnx.ModelProto, name: str, opset: int, file_bytes: int) -> None:
        self.name, self.opset = name, opset
        self.graph, self.root = fx.Graph(), nn.Module()
        self.constants: dict[str, Array] = {}
        self.values: dict[str, fx.Node] = {}
        self.computed_sizes: set[str] = set()  # such as the shape of Reshape
        self.count = 0
        self._forms: dict[fx.Node, Tensor] = {}
        self._values_left = _VALUES_MAX
        self._bytes_max = _WEIGHT_BYTES_PER_FILE_BYTE * file_bytes + _WEIGHT_BYTES_SPARE
        self._bytes_left = self._bytes_max
        for tensor in model.graph.initializer:
            if any(n < 0 for n in tensor.dims):
                raise ConfigError(
                    f"{name}: tensor {tensor.name} has the sizes {list(tensor.dims)}; "
                    "export the model again"
                )
            self.add_constant(tensor.name, np.array(numpy_helper.to_array(tensor)))
        self._add_input(model.graph)

    def _add_input(self, graph: onnx.GraphProto) -> None:
        source = next((v for v in graph.input if v.name not in self.constants), None)
        if source is None:
            raise ConfigError(f"{self.name}: the graph has no input; export the model again")
        given = [dim.dim_value for dim in source.type.tensor_type.shape.dim]
        usual = [_BATCH, 3, SIZE, SIZE]
        shape = [g or u for g, u in zip(given, usual, strict=True)] if len(given) == 4 else usual
        shape[0] = _BATCH
        self.check_values(math.prod(shape))
        self.values[source.name] = self._keep(
            self.graph.placeholder("chip"), torch.empty(shape, device="meta")
        )

    def shape(self, name: str) -> list[int]:
        """Return the sizes of a value for two pictures; of a constant, its own."""
        if name in self.constants:
            return list(self.constants[name].shape)
        return list(self._forms[self.operand(name)].shape)

    def rank(self, name: str) -> int:
        """Return the number of dimensions of a value."""
        return len(self.shape(name))

    def sizes(self, name: str) -> list[int]:
        """Return the sizes of a value without its batch."""
        return self.shape(name)[1:]

    def axis(self, node: onnx.NodeProto, axis: int, rank: int | None = None) -> int:
        """Return an axis counted from the first one; raises ConfigError for the batch.

        `rank` is by default that of the first operand.
        """
        rank = self.rank(node.input[0]) if rank is None else rank
        if not -rank <= axis < rank:
            raise self.unknown_form(node, f"axis {axis} of {rank} dimensions")
        if axis % rank == 0:
            raise self.unknown_form(node, f"axis {axis} is the batch")
        return axis % rank

    def layer(self, module: nn.Module, source: fx.Node) -> fx.Node:
        """Add a layer and the node that calls it."""
        self.count += 1
        name = f"layer{self.count}"
        module.eval()
        state = dict([*module.named_parameters(), *module.named_buffers()])
        self.spend(sum(tensor.nbytes for tensor in state.values()))
        with torch.no_grad():
            shapes = {key: tensor.to("meta") for key, tensor in state.items()}
            form = functional_call(module, shapes, (self._forms[source],))
        self.root.add_module(name, module)
        return self._keep(self.graph.call_module(name, (source,)), form)

    def call(self, function: Callable[..., Any], *operands: Any, **given: Any) -> fx.Node:
        """Add the node of a function."""
        forms = map_arg(operands, self._forms.__getitem__)
        form = function(*forms, **given)
        return self._keep(self.graph.call_function(function, operands, given), form)

    def _keep(self, node: fx.Node, form: Tensor) -> fx.Node:
        self._values_left -= form.numel()
        self.check_values(form.numel())
        self._forms[node] = form
        return node

    def check_values(self, count: int) -> None:
        """Raise ConfigError if a value of this many numbers needs too much memory."""
        if self._values_left < 0 or count > _VALUES_MAX:
            raise ConfigError(
                f"{self.name}: its features have more than {_VALUES_MAX:,} values; "
                "MFSA needs a smaller encoder"
            )

    def spend(self, count: int) -> None:
        """Count the bytes of weights; raises ConfigError if the file is too small for them."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ConfigError(
                f"{self.name}: its weights need more than {self._bytes_max >> 20} MiB of memory, "
                "far more than the file has; export the model again"
            )

    def operand(self, name: str) -> fx.Node:
        """Return the node of an operand; a constant becomes a buffer."""
        if name in self.values:
            return self.values[name]
        if name not in self.constants:
            raise ConfigError(f"{self.name}: tensor {name} is used before it is computed")
        self.count += 1
        key = f"constant{self.count}"
        value = torch.from_numpy(np.array(self.constants[name]))
        value = value.float() if value.is_floating_point() else value
        self.spend(value.nbytes)
        self.root.register_buffer(key, value)
        self.values[name] = self._keep(self.graph.get_attr(key), value.to("meta"))
        return self.values[name]

    def set_value(self, name: str, node: fx.Node) -> None:
        """Name a computed value; raises ConfigError for a name that is used."""
        if name:
            self._check_new(name)
            self.values[name] = node

    def add_constant(self, name: str, value: Array) -> None:
        """Name a constant; raises ConfigError for a name that is used, and for other than numbers.

        A matrix without values is refused: layers of any size could be built from it.
        """
        self._check_new(name)
        if value.dtype.kind == "V":  # bfloat16 and smaller
            value = value.astype(np.float32)
        if value.dtype.kind not in "fiub" or (value.size == 0 and value.ndim > 1):
            raise ConfigError(
                f"{self.name}: tensor {name} has the sizes {list(value.shape)} and the type "
                f"{value.dtype}; expected numbers, export the model again"
            )
        self.constants[name] = value

    def add_sizes(self, names: Sequence[str]) -> None:
        """Name computed sizes; raises ConfigError for a name that is used."""
        for name in names:
            self._check_new(name)
        self.computed_sizes.update(names)

    def _check_new(self, name: str) -> None:
        if name in self.values or name in self.constants or name in self.computed_sizes:
            raise ConfigError(
                f"{self.name}: tensor {name} is computed twice; export the model again"
            )

    def array(self, name: str) -> Array:
        """Return a constant operand; raises ConfigError for one that is computed."""
        if name not in self.constants:
            is_known = name in self.values or name in self.computed_sizes
            raise ConfigError(
                f"{self.name}: operand {name} is computed at run time; "
                "export the model with fixed shapes"
                if is_known
                else f"{self.name}: tensor {name} is missing; export the model again"
            )
        return self.constants[name]

    def optional(self, node: onnx.NodeProto, position: int) -> Array | None:
        """Return a constant operand; None if the node lacks it."""
        if len(node.input) <= position or not node.input[position]:
            return None
        return self.array(node.input[position])

    def integers(self, node: onnx.NodeProto, position: int) -> list[int] | None:
        """Return a constant operand as a list; None if the node lacks it."""
        value = self.optional(node, position)
        return None if value is None else [int(n) for n in value.reshape(-1)]

    def unknown_form(self, node: onnx.NodeProto, reason: str = "") -> ConfigError:
        """Return the error for an operator whose attributes are not supported."""
        return self.refusal(node, f"has an unknown form{': ' if reason else ''}{reason}")

    def refusal(self, node: onnx.NodeProto, reason: str) -> ConfigError:
        """Return the error for an operator, such as "is not supported"."""
        return refusal(self.name, node, reason)


def refusal(name: str, node: onnx.NodeProto, reason: str) -> ConfigError:
    """Return the error for an operator of the file `name`."""
    place = node.name or next(iter(node.output), "without a name")
    return ConfigError(
        f"{name}: operator {node.op_type} (node {place}) {reason}; export the encoder without it"
    )


def one_line(text: str, length: int = 400) -> str:
    """Return a text, which may contain names of a file, as one printable line."""
    plain = " ".join(text.split())[: length + 1]
    shown = "".join(c if c.isprintable() else "?" for c in plain)
    return shown if len(shown) <= length else f"{shown[:length]}..."
