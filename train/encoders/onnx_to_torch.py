"""Read an ONNX encoder as a torch.fx graph, whose layers can be split and trained."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from torch import fx, nn

from edge.errors import ConfigError
from train.encoders.graph_reader import Array, GraphReader
from train.encoders.onnx_operators import OPERATORS

# Encoders are computed in float32 throughout. An expanded value is used by operators that expand
# it themselves.
_UNCHANGED = ("Identity", "Dropout", "Cast", "Expand")


def read_encoder(content: bytes, name: str = "encoder") -> fx.GraphModule:
    """Return the module of an ONNX file's content, from pictures (N,3,H,W) to its first output.

    `name` is shown in messages. Raises ConfigError for operators that encoders do not need.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises its own types
        raise ConfigError(f"{name}: not an ONNX file ({type(error).__name__})") from error
    try:
        return _read_graph(onnx.shape_inference.infer_shapes(model), name)
    except ConfigError:
        raise
    except Exception as error:  # a graph that breaks the rules of ONNX raises many types
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{name}: not a valid ONNX graph ({reason[:200]}); export it again"
        ) from error


def build_module(root: nn.Module, graph: fx.Graph, name: str) -> fx.GraphModule:
    """Return a graph as a module without the nodes that nothing uses."""
    module = fx.GraphModule(root, graph, name).eval()
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _read_graph(model: onnx.ModelProto, name: str) -> fx.GraphModule:
    reader = GraphReader(model, name)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    source = next(v for v in model.graph.input if v.name not in reader.constants)
    reader.values[source.name] = reader.graph.placeholder("chip")
    computed_sizes: set[str] = set()  # such as the shape of Reshape
    for node in model.graph.node:
        # Sizes reach other operators than Concat as their first operand.
        operands = node.input if node.op_type == "Concat" else node.input[:1]
        if node.op_type == "Shape" or computed_sizes.intersection(operands):
            computed_sizes.update(node.output)
        elif all(not operand or operand in reader.constants for operand in node.input):
            reader.constants.update(zip(node.output, _fold(node, reader, opsets), strict=False))
        else:
            _read_node(reader, node)
    reader.graph.output(reader.operand(model.graph.output[0].name))
    return build_module(reader.root, reader.graph, "Encoder")


def _fold(node: onnx.NodeProto, reader: GraphReader, opsets: dict[str, int]) -> list[Array]:
    """Return the outputs of a node whose operands are constants."""
    evaluator = ReferenceEvaluator(node, opsets=opsets)
    found = evaluator.run(None, {name: reader.constants[name] for name in node.input if name})
    return [np.asarray(value) for value in found]


def _read_node(reader: GraphReader, node: onnx.NodeProto) -> None:
    if node.op_type in _UNCHANGED:
        reader.values[node.output[0]] = reader.operand(node.input[0])
        return
    read = OPERATORS.get(node.op_type)
    if read is None:
        raise ConfigError(
            f"{reader.name}: operator {node.op_type} (node {node.name or node.output[0]}) "
            "is not supported; export the encoder without it"
        )
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    nodes = read(reader, node, given)
    found = nodes if isinstance(nodes, list) else [nodes]
    reader.values.update(zip(node.output, found, strict=False))
