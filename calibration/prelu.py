"""PReLU in ONNX networks: ONNX Runtime computes it faster in parts, TensorRT as one node."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import helper


def has_prelu(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "PRelu" for node in model.graph.node)


def split_prelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace PRelu(x, a) by relu(x) - a relu(-x)."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope), (out,), name = node.input, node.output, node.name or node.output[0]
        nodes += [
            helper.make_node("Relu", [x], [f"{out}_above"], f"{name}_above"),
            helper.make_node("Neg", [x], [f"{out}_turned"], f"{name}_turned"),
            helper.make_node("Relu", [f"{out}_turned"], [f"{out}_below"], f"{name}_below"),
            helper.make_node("Mul", [f"{out}_below", slope], [f"{out}_leak"], f"{name}_leak"),
            helper.make_node("Sub", [f"{out}_above", f"{out}_leak"], [out], name),
        ]
    return _with_nodes(model, nodes)


def join_prelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with the nodes of `split_prelu` joined again.

    Parts that other nodes or outputs of the network read too stay as they are.
    """
    readers = Counter(name for node in model.graph.node for name in node.input)
    readers.update(output.name for output in model.graph.output)
    made_by = {out: node for node in model.graph.node for out in node.output}
    joined: dict[str, onnx.NodeProto] = {}  # by output
    parts: set[str] = set()  # outputs of nodes that PReLU replaces
    for node in model.graph.node:
        found = _parts(node, made_by)
        if found is None or any(readers[part.output[0]] != 1 for part in found):
            continue
        above, turned, below, leak = found
        slope, out = leak.input[1], node.output[0]
        joined[out] = helper.make_node("PRelu", [turned.input[0], slope], [out], node.name)
        parts |= {part.output[0] for part in (above, turned, below, leak)}
    nodes = [
        joined.get(node.output[0], node) for node in model.graph.node if node.output[0] not in parts
    ]
    return _with_nodes(model, nodes)


def _parts(
    node: onnx.NodeProto, made_by: dict[str, onnx.NodeProto]
) -> tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto, onnx.NodeProto] | None:
    """Return the other four nodes of a split PReLU that ends at `node`; None for other nodes."""
    if node.op_type != "Sub":
        return None
    above, leak = (made_by.get(name) for name in node.input)
    below = made_by.get(leak.input[0]) if leak is not None and leak.op_type == "Mul" else None
    turned = made_by.get(below.input[0]) if below is not None and below.op_type == "Relu" else None
    if above is None or leak is None or below is None or turned is None:
        return None
    same = above.op_type == "Relu" and turned.op_type == "Neg" and above.input == turned.input
    return (above, turned, below, leak) if same else None


def _with_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    onnx.checker.check_model(changed, full_check=True)
    return changed
