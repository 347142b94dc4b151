from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from edge.errors import ConfigError
from tests.train.encoders.onnx_models import ModelBuilder, encoder_model
from train.encoders.cut import at_14x14, find_cuts, split
from train.encoders.onnx_to_torch import read_encoder


@pytest.fixture(scope="module")
def encoder() -> torch.fx.GraphModule:
    return read_encoder(encoder_model().SerializeToString())


def test_cuts_are_outside_of_residual_blocks(encoder: torch.fx.GraphModule) -> None:
    cuts = find_cuts(encoder)
    assert [(cut.channels, cut.cells) for cut in cuts] == [
        *[(8, 56)] * 2,
        *[(8, 28)] * 2,
        *[(16, 14)] * 3,
        *[(16, 7)] * 2,
    ]
    assert [cut.node for cut in at_14x14(cuts)] == [cut.node for cut in cuts[4:7]]


def test_split_parts_reproduce_the_encoder(encoder: torch.fx.GraphModule) -> None:
    names = [cut.node for cut in find_cuts(encoder)]
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        expected = encoder(x)
        for pair in [*pairwise(names), (names[4], names[4])]:
            parts = split(encoder, list(pair))
            assert len(parts) == 3
            assert torch.equal(parts[2](parts[1](parts[0](x))), expected)


def test_no_14x14_feature_names_the_sizes() -> None:
    made = ModelBuilder()
    made.conv((3, 4), stride=2)
    made.conv((4, 4), stride=3)
    made.add("Flatten")
    module = read_encoder(made.build([1, 3, 112, 112]).SerializeToString())
    with pytest.raises(ConfigError, match=r"no 14x14 feature .* its sizes are 56x56, 19x19"):
        at_14x14(find_cuts(module))


def test_encoder_of_other_size_is_refused() -> None:
    module = read_encoder(encoder_model(160).SerializeToString())
    with pytest.raises(ConfigError, match="does not take 112x112 pictures"):
        find_cuts(module)
