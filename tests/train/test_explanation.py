from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from edge.errors import ConfigError
from edge.face.explanation import OUTPUTS, ScoreExplanation, explain_score
from edge.face.regions import REGIONS
from tests.train.explained import DIMENSION, KINDS, make_network, portraits, set_route
from train.explanation import ExplanationNetwork
from train.linear_end import split_linear_end
from train.network import VARIANTS
from train.routed import Network, RoutedNetwork


@cache
def explained(kind: str) -> tuple[Network, ExplanationNetwork]:
    network = make_network(kind)
    explanation = ExplanationNetwork(network)
    for hidden in (True, False):
        set_route(network, hidden)
        explanation.set_average(portraits())
    return network, explanation


def explain(
    network: ExplanationNetwork, chip: torch.Tensor, template: np.ndarray
) -> ScoreExplanation:
    with torch.no_grad():
        outputs = network(chip)
    named = zip(OUTPUTS, outputs, strict=True)
    return explain_score({name: value.numpy() for name, value in named}, template)


@settings(max_examples=12)
@given(kind=st.sampled_from(KINDS), hidden=st.booleans(), seed=st.integers(0, 2**31))
def test_terms_add_up_to_the_score(kind: str, hidden: bool, seed: int) -> None:
    network, explanation = explained(kind)
    set_route(network, hidden)
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.normal(0, 0.3, (1, 3, 112, 112))).float()
    chip = (portraits()[:1] * float(rng.uniform(0.3, 1)) + noise).clamp(-1, 1)
    template = rng.standard_normal(DIMENSION).astype(np.float32)
    template /= np.linalg.norm(template)
    found = explain(explanation, chip, template)
    with torch.no_grad():
        score = float(F.normalize(network(chip).embedding)[0] @ torch.from_numpy(template))
    assert sum(found.regions.values()) + found.bias == pytest.approx(score, abs=1e-5)
    assert found.score == pytest.approx(score, abs=1e-5)
    assert float(found.cells.sum()) + found.bias == pytest.approx(score, abs=1e-5)
    assert found.is_gated == (hidden or kind != "routed")


def test_closed_region_is_a_closed_gate() -> None:
    network, explanation = explained("routed")
    assert isinstance(network, RoutedNetwork) and network.attention is not None
    set_route(network, True)
    chip = portraits()[:1]
    template = np.eye(DIMENSION, dtype=np.float32)[0]
    with torch.no_grad():
        gated = network.base.low(chip)
        maps = network.attention(network.base.middle(gated))
        gate = maps[:, :1].clone()
        is_mask = maps[:, 1:2] > 0.5
        gate[:, :, 5:8, 3:11] *= is_mask[:, :, 5:8, 3:11]  # a mask's cells are no eyes
        expected = float(F.normalize(network.branch(gate * gated))[0, 0])
    found = explain(explanation, chip, template)
    assert found.without["eyes"] == pytest.approx(expected, abs=1e-5)
    assert abs(found.without["eyes"] - found.score) > 1e-4


def test_bare_route_closes_the_encoder() -> None:
    network, explanation = explained("routed")
    assert isinstance(network, RoutedNetwork)
    set_route(network, False)
    chip = portraits()[1:]
    with torch.no_grad():
        features = network.base.low(chip)
        regions = explanation(chip)[3]
        closed = features * (1 - regions[:, 3:4])
        expected = F.normalize(network.base.top(network.base.middle(closed)))[0]
    found = explain(explanation, chip, np.eye(DIMENSION, dtype=np.float32)[2])
    assert found.without["rest"] == pytest.approx(float(expected[2]), abs=1e-5)


@pytest.mark.parametrize("hidden", [True, False])
def test_average_face_has_no_contribution(hidden: bool) -> None:
    network, explanation = explained("routed")
    set_route(network, hidden)
    with torch.no_grad():
        cells, bias, *_ = explanation(portraits())
        mean = network(portraits()).embedding.mean(dim=0)
    assert cells.abs().max() > 0.01 and torch.allclose(cells[0], -cells[1], atol=1e-4)
    assert torch.allclose(bias, mean.expand_as(bias), atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_has_regions_that_add_up(variant: str) -> None:
    network = make_network("mbf", variant)
    with torch.no_grad():
        cells, bias, closed, regions, gated = ExplanationNetwork(network)(portraits())
        embedding = network(portraits()).embedding
    assert torch.allclose(cells.sum(dim=1) + bias, embedding, atol=1e-4)
    assert torch.equal(regions.sum(dim=1), torch.ones(2, 14, 14))
    assert closed.shape == (2, len(REGIONS), DIMENSION) and gated.tolist() == [1, 1]


class _WithNonlinearEnd(nn.Module):
    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.body, self.end = nn.Conv2d(3, 4, 3, 2), end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self.end(self.body(x).relu().flatten(1))
        return embedding


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (nn.Sequential(nn.Linear(196, 8), nn.PReLU(), nn.Linear(8, 8)), r"shape \(8,\)"),
        (nn.Sequential(nn.Linear(196, 8), nn.LayerNorm(8)), r"end\.1 with an output"),
    ],
)
def test_network_without_linear_end_refused(end: nn.Module, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"no linear end.*{reason}"):
        split_linear_end(_WithNonlinearEnd(end), torch.zeros(1, 3, 15, 15))


def test_linear_end_of_other_layers_is_exact() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AvgPool2d(3, 1, 1), nn.Flatten(), nn.Linear(294, 5)
    ).eval()
    x = torch.randn(2, 3, 15, 15)
    body, parts = split_linear_end(network, x[:1])
    cells = parts(body(x))
    assert cells.shape == (2, 49, 5)
    assert torch.allclose(cells.sum(dim=1) + parts.bias, network(x), atol=1e-5)
