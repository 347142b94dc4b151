"""State of reading an ONNX graph: its constants, sizes, and the torch nodes of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import fx, nn

from edge.errors import ConfigError

Array = NDArray[Any]
Attributes = dict[str, Any]


class GraphReader:
    """Values of an ONNX graph by their names, and the torch graph that is built from them."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.name = name
        self.graph, self.root = fx.Graph(), nn.Module()
        self.constants: dict[str, Array] = {
            tensor.name: np.array(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }
        self.shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)
            if value.type.tensor_type.HasField("shape")
        }
        self.values: dict[str, fx.Node] = {}
        self.count = 0

    def rank(self, name: str) -> int | None:
        """Return the number of dimensions of a value, None if it is unknown."""
        return len(self.shapes[name]) if name in self.shapes else None

    def sizes(self, name: str) -> list[int]:
        """Return the sizes of a value without its batch; raises ConfigError if one is unknown."""
        found = self.shapes.get(name, [0, 0])[1:]
        if not found or 0 in found:
            raise ConfigError(
                f"{self.name}: the size of tensor {name} is unknown; "
                "export the model with fixed shapes"
            )
        return found

    def layer(self, module: nn.Module, source: fx.Node) -> fx.Node:
        """Add a layer and the node that calls it."""
        self.count += 1
        name = f"layer{self.count}"
        self.root.add_module(name, module)
        return self.graph.call_module(name, (source,))

    def call(self, function: Callable[..., Any], *operands: Any, **given: Any) -> fx.Node:
        """Add the node of a function."""
        return self.graph.call_function(function, operands, given)

    def operand(self, name: str) -> fx.Node:
        """Return the node of an operand; a constant becomes a buffer."""
        if name in self.values:
            return self.values[name]
        if name not in self.constants:
            raise ConfigError(f"{self.name}: tensor {name} is used before it is computed")
        self.count += 1
        key = f"constant{self.count}"
        value = torch.from_numpy(np.array(self.constants[name]))
        self.root.register_buffer(key, value.float() if value.is_floating_point() else value)
        self.values[name] = self.graph.get_attr(key)
        return self.values[name]

    def array(self, name: str) -> Array:
        """Return a constant operand; raises ConfigError for one that is computed."""
        if name not in self.constants:
            raise ConfigError(
                f"{self.name}: operand {name} is computed at run time; "
                "export the model with fixed shapes"
            )
        return self.constants[name]

    def integers(self, names: Sequence[str], position: int) -> list[int] | None:
        """Return a constant operand as a list; None if the node lacks it."""
        if len(names) <= position or not names[position]:
            return None
        return [int(n) for n in self.array(names[position]).reshape(-1)]

    def unknown_form(self, node: onnx.NodeProto) -> ConfigError:
        """Return the error for an operator whose attributes are not supported."""
        return ConfigError(
            f"{self.name}: operator {node.op_type} (node {node.name or node.output[0]}) "
            "has an unknown form; export the encoder without it"
        )
