"""Read an ONNX encoder as a torch.fx graph, whose layers can be split and trained."""

from __future__ import annotations

import math

import onnx
from torch import fx, nn

from edge.errors import ConfigError
from edge.onnx_file import has_external_data
from train.encoders.constant_folding import FOLDED, fold
from train.encoders.graph_reader import GraphReader, one_line, refusal
from train.encoders.onnx_operators import OPERATORS

# Encoders are computed in float32 throughout. An expanded value is used by operators that expand
# it themselves.
_UNCHANGED = ("Identity", "Dropout", "Cast", "Expand")
# Operators that compute the shape of Reshape or Expand at run time.
_OF_SIZES = frozenset(
    (
        *("Shape", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "Identity"),
        *("Reshape", "Add", "Sub", "Mul", "Div", "ConstantOfShape", "Equal", "Where"),
    )
)
_KNOWN = FOLDED | _OF_SIZES | OPERATORS.keys() | set(_UNCHANGED)
_DOMAINS = ("", "ai.onnx")
_OPSET_MIN = 7  # earlier operators broadcast by attributes
_NODES_MAX = 20_000


def read_encoder(content: bytes, name: str = "encoder") -> fx.GraphModule:
    """Return the module of an ONNX file's content, from pictures (N,3,H,W) to its first output.

    `name` is shown in messages. The content is not trusted: no operator is run but those on
    constants that are listed, and memory is bounded. Raises ConfigError of one line for weights in
    other files and for operators that encoders do not need.
    """
    try:
        model = onnx.load_model_from_string(content)
        is_external = has_external_data(content)
    except Exception as error:  # protobuf raises its own types
        raise ConfigError(f"{name}: not an ONNX file ({type(error).__name__})") from error
    if is_external:
        raise ConfigError(f"{name}: its weights are in another file; save it as one file")
    try:
        return _read_graph(model, name, len(content))
    except ConfigError as error:
        raise ConfigError(one_line(str(error))) from error
    except Exception as error:  # a graph that breaks the rules of ONNX raises many types
        reason = one_line(f"{type(error).__name__}: {error}", 200)
        raise ConfigError(f"{name}: not a valid ONNX graph ({reason}); export it again") from error


def build_module(root: nn.Module, graph: fx.Graph, name: str) -> fx.GraphModule:
    """Return a graph as a module without the nodes that nothing uses."""
    module = fx.GraphModule(root, graph, name).eval()
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _read_graph(model: onnx.ModelProto, name: str, file_bytes: int) -> fx.GraphModule:
    _check_form(model.graph, name)
    if model.functions:
        raise ConfigError(f"{name}: functions are not supported; export the encoder without them")
    reader = GraphReader(model, name, _opset(model, name), file_bytes)
    for node in model.graph.node:
        # Sizes reach other operators than Concat as their first operand.
        operands = node.input if node.op_type == "Concat" else node.input[:1]
        if node.op_type == "Shape" or reader.computed_sizes.intersection(operands):
            if node.op_type not in _OF_SIZES:
                raise reader.refusal(node, "of computed sizes is not supported")
            reader.add_sizes(node.output)
        elif all(not operand or operand in reader.constants for operand in node.input):
            fold(reader, node)
        else:
            _read_node(reader, node)
    if not model.graph.output:
        raise ConfigError(f"{name}: the graph has no output; export the model again")
    reader.graph.output(reader.operand(model.graph.output[0].name))
    return build_module(reader.root, reader.graph, "Encoder")


def _check_form(graph: onnx.GraphProto, name: str) -> None:
    if graph.sparse_initializer:
        raise ConfigError(f"{name}: sparse weights are not supported; export them as dense ones")
    if len(graph.node) > _NODES_MAX:
        raise ConfigError(
            f"{name}: has {len(graph.node)} nodes, at most {_NODES_MAX} are supported"
        )
    for node in graph.node:
        if node.domain not in _DOMAINS:
            raise refusal(name, node, f"of the domain {node.domain} is not supported")
        if node.op_type not in _KNOWN:
            raise refusal(name, node, "is not supported")


def _opset(model: onnx.ModelProto, name: str) -> int:
    found = [entry.version for entry in model.opset_import if entry.domain in _DOMAINS]
    if not found or found[0] < _OPSET_MIN:
        raise ConfigError(
            f"{name}: opset {found[0] if found else 'unknown'} is not supported; "
            f"export it with opset {_OPSET_MIN} or later, such as 17"
        )
    return int(found[0])


def _read_node(reader: GraphReader, node: onnx.NodeProto) -> None:
    if node.op_type in _UNCHANGED:
        if node.op_type == "Expand" and node.input[1] in reader.constants:
            reader.check_values(math.prod(reader.integers(node, 1) or []))
        reader.set_value(node.output[0], reader.operand(node.input[0]))
        return
    read = OPERATORS.get(node.op_type)
    if read is None:
        raise reader.refusal(node, "is not supported")
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    nodes = read(reader, node, given)
    found = nodes if isinstance(nodes, list) else [nodes]
    for output, value in zip(node.output, found, strict=False):
        reader.set_value(output, value)
