from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from edge.errors import ConfigError
from train.backbones import BACKBONES, Convolution
from train.network import (
    BACKGROUND,
    MASK,
    UNMASKED,
    VARIANTS,
    Adversary,
    MfsaNetwork,
    NetworkConfig,
    count_parameters,
)
from train.weights import network_config

SMALL = NetworkConfig(embedding=32, widths=(8, 8, 16, 16), blocks=(0, 1, 1, 1))


def small(variant: str, encoder: str = "mbf") -> MfsaNetwork:
    return MfsaNetwork(replace(SMALL, variant=variant, encoder=encoder, blocks=(1, 1, 1, 1))).eval()


def test_shapes_and_maps_that_add_up() -> None:
    out = MfsaNetwork(SMALL).eval()(torch.randn(2, 3, 112, 112))
    assert out.embedding.shape == (2, 32) and out.attention.shape == (2, 3, 14, 14)
    assert out.mask_logit.shape == (
        2,
    ) and out.mask_features.shape == out.background_features.shape == (2, 16)
    assert torch.allclose(out.attention.sum(dim=1), torch.ones(2, 14, 14), atol=1e-6)


@pytest.mark.parametrize("encoder", BACKBONES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_maps_on_each_backbone(variant: str, encoder: str) -> None:
    network = small(variant, encoder)
    if network.attention is not None:
        torch.nn.init.normal_(network.attention.maps.weight)
    with torch.no_grad():
        maps = network(torch.randn(2, 3, 112, 112)).attention
    unmasked, mask, background = maps[:, UNMASKED], maps[:, MASK], maps[:, BACKGROUND]
    assert maps.shape == (2, 3, 14, 14) and maps.min() >= 0 and maps.max() <= 1
    expected = {
        "none": (torch.ones_like(unmasked), 0, 0),
        "sa": (unmasked, 0, 0),
        "cal": (1 - mask, 1 - unmasked, 0),
        "mfsa": (1 - mask - background, mask, background),
        "mfsa-product": ((1 - mask) * (1 - background), mask, background),
    }[variant]
    for found, wanted in zip((unmasked, mask, background), expected, strict=True):
        assert torch.allclose(
            found, torch.as_tensor(wanted, dtype=torch.float32).expand_as(found), atol=1e-5
        )
    assert variant == "none" or unmasked.std() > 0


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"none"}))
def test_it_begins_by_letting_everything_through(variant: str) -> None:
    maps = small(variant)(torch.randn(1, 3, 112, 112)).attention
    assert torch.allclose(maps[:, UNMASKED], torch.full((1, 14, 14), 0.9), atol=1e-5)


@pytest.mark.parametrize("variant", ["none", "sa"])
def test_mask_head_without_map_has_no_gradient(variant: str) -> None:
    network = small(variant)
    network(torch.randn(2, 3, 112, 112)).mask_logit.sum().backward()
    assert network.heads.mask[-1].weight.grad is not None
    assert all(p.grad is None or not p.grad.any() for p in network.stem.parameters())


def test_similarity_has_no_gradient_to_network() -> None:
    network = small("mfsa")
    out = network(torch.randn(2, 3, 112, 112))
    assert out.similarity.shape == (2,) and 0 <= out.similarity.min() <= out.similarity.max() <= 1
    out.similarity.sum().backward()
    moved = {n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved and all(name.startswith("heads.similarity.") for name in moved)


def test_network_size_and_attention_cost() -> None:
    network = MfsaNetwork()
    assert count_parameters(network) <= 2_500_000
    assert count_parameters(network.attention) < 0.005 * count_parameters(network)


def test_identity_depends_on_unmasked_map_only() -> None:
    """The embedding does not depend on the picture while A_u is closed."""
    network = MfsaNetwork(SMALL).eval()
    with torch.no_grad():
        network.attention.maps.bias.copy_(torch.tensor([-60.0, 0.0, 0.0]))
        a, b = (network(torch.randn(1, 3, 112, 112)).embedding for _ in range(2))
    assert torch.allclose(a, b, atol=1e-5)


def test_the_mask_head_sees_only_the_mask_map() -> None:
    network = MfsaNetwork(SMALL).eval()
    with torch.no_grad():
        network.attention.maps.bias.copy_(torch.tensor([0.0, -60.0, 0.0]))
        a, b = (network(torch.randn(1, 3, 112, 112)).mask_logit for _ in range(2))
    assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("dilation", [1, (1, 2)])
@pytest.mark.parametrize("bias", [False, True])
def test_fast_depthwise_convolution_is_equal(bias: bool, dilation: int | tuple[int, int]) -> None:
    fast = Convolution(6, 6, 3, (2, 3), 1, dilation, groups=6, bias=bias).train()
    plain = torch.nn.Conv2d(6, 6, 3, (2, 3), 1, dilation, groups=6, bias=bias)
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(2, 6, 15, 16)
    assert torch.allclose(fast(x), plain(x), atol=1e-6)


def test_the_adversary_s_gradient_is_reversed() -> None:
    torch.manual_seed(0)
    adversary = Adversary(8)
    gradients = []
    for strength in (1.0, -1.0, 0.0):
        x = torch.ones(1, 8, requires_grad=True)
        adversary(x * torch.arange(1.0, 9.0), strength).sum().backward()
        gradients.append(x.grad)
    assert gradients[0].abs().sum() > 0
    assert torch.allclose(gradients[0], -gradients[1]) and gradients[2].abs().sum() == 0


def test_a_config_survives_its_dictionary() -> None:
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in SMALL.as_dict().items()}
    assert network_config(fields, Path("weights")) == SMALL
    with pytest.raises(
        ConfigError, match=r"weights: this version cannot build its network.*variant"
    ):
        network_config({**fields, "variant": "multi"}, Path("weights"))
    with pytest.raises(ConfigError, match="four numbers"):
        network_config({**fields, "blocks": [1, 1, 1]}, Path("weights"))


def test_prelu_is_an_option() -> None:
    network = MfsaNetwork(
        NetworkConfig(embedding=32, widths=(8, 8, 16, 16), blocks=(0, 1, 1, 1), activation="prelu")
    )
    assert any(isinstance(m, torch.nn.PReLU) for m in network.modules())
    assert network.eval()(torch.randn(1, 3, 112, 112)).attention[:, MASK].shape == (1, 14, 14)
    assert F.normalize(network(torch.randn(1, 3, 112, 112)).embedding).norm().item() > 0.99
