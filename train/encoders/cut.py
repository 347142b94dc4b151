"""Find and split an encoder at its 14x14 features."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import fx

from edge.chip import SIZE
from edge.errors import ConfigError
from train.encoders.onnx_to_torch import build_module

CELLS = 14


@dataclass(frozen=True, slots=True)
class Cut:
    """Place in an encoder that all information passes: a single feature map."""

    node: str
    channels: int
    cells: int  # height and width of the map


class _ShapeReader(fx.Interpreter):
    """Runs an encoder and keeps the shape of each value."""

    def __init__(self, encoder: fx.GraphModule) -> None:
        super().__init__(encoder)
        self.extra_traceback = False
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.shapes[n] = tuple(value.shape)
        return value


def find_cuts(encoder: fx.GraphModule) -> list[Cut]:
    """Return the cuts of an encoder from input to output.

    A cut is a node after which no earlier node is used: the output depends on the input through it
    alone. Raises ConfigError if the encoder does not take 112x112 pictures.
    """
    reader = _ShapeReader(encoder)
    try:
        with torch.no_grad():
            reader.run(torch.zeros(2, 3, SIZE, SIZE))
    except Exception as error:  # torch raises many types for shapes that do not fit
        reason = " ".join(str(error).split())
        raise ConfigError(f"the encoder does not take {SIZE}x{SIZE} pictures: {reason}") from error
    nodes = [node for node in encoder.graph.nodes if node.op not in ("get_attr", "output")]
    place = {node: i for i, node in enumerate(nodes)}
    last = {
        node: max((place.get(user, len(nodes)) for user in node.users), default=-1)
        for node in nodes
    }
    cuts = []
    reach = -1  # the last use of any earlier node
    for i, node in enumerate(nodes):
        shape = reader.shapes[node]
        if reach <= i and node.op != "placeholder" and len(shape) == 4 and shape[2] == shape[3]:
            cuts.append(Cut(node.name, shape[1], shape[2]))
        reach = max(reach, last[node])
    return cuts


def at_14x14(cuts: list[Cut]) -> list[Cut]:
    """Return the cuts at 14x14, first to last; raises ConfigError without any."""
    found = [cut for cut in cuts if cut.cells == CELLS]
    if not found:
        sizes = sorted({cut.cells for cut in cuts}, reverse=True)
        raise ConfigError(
            f"the encoder has no {CELLS}x{CELLS} feature that all paths pass, its sizes are "
            f"{', '.join(f'{n}x{n}' for n in sizes) or 'unknown'}; "
            "MFSA needs a convolutional encoder for 112x112 chips"
        )
    return found


def split(encoder: fx.GraphModule, cuts: list[str]) -> list[fx.GraphModule]:
    """Return the parts of an encoder before, between and after cuts, in this order.

    A cut named twice gives an empty part. Raises ValueError for an unknown cut.
    """
    nodes = {node.name: node for node in encoder.graph.nodes}
    if unknown := [name for name in cuts if name not in nodes]:
        raise ValueError(f"the encoder has no node {unknown[0]}")
    (output,) = (node for node in encoder.graph.nodes if node.op == "output")
    bounds = [None, *(nodes[name] for name in cuts), output.args[0]]
    return [copy_nodes(encoder, first, last) for first, last in pairwise(bounds)]


def copy_nodes(module: fx.GraphModule, source: fx.Node | None, last: fx.Node) -> fx.GraphModule:
    """Return the nodes after `source`, which becomes the input, up to `last`; None: from the input.

    The layers are shared with the module.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    is_past = source is None
    for node in module.graph.nodes:
        if source is not None and node is source:
            copies[node] = graph.placeholder("x")
            is_past = True
        elif node.op == "get_attr" or (is_past and node.op != "output"):
            copies[node] = graph.node_copy(node, copies.__getitem__)
        if node is last:
            break
    graph.output(copies[last])
    return build_module(module, graph, "Part")
