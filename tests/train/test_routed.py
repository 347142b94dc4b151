from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from calibration.int8.graph import plan_quantization
from edge.chip import to_input
from export.to_onnx import export
from tests.train.encoders.onnx_models import encoder_model, onnx_runner
from train.encoders.cut import at_14x14, find_cuts
from train.encoders.onnx_to_torch import read_encoder
from train.loss import Batch, Criterion, TeacherBank
from train.network import UNMASKED, VARIANTS, pool_features
from train.recipe import LossWeights
from train.routed import EncoderOrigin, RoutedConfig, RoutedNetwork
from train.weights import load_network, save_weights

ENCODER = encoder_model().SerializeToString()
CUTS = [cut.node for cut in at_14x14(find_cuts(read_encoder(ENCODER)))]
ORIGIN = EncoderOrigin("ONNX", "0" * 64, "rgb-127.5", "MIT", "the tests")
CONFIG = RoutedConfig(CUTS[0], CUTS[-1], 16, 32, ORIGIN)
RNG = np.random.default_rng(0)
CHIPS = to_input(RNG.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8))


def make_routed(*, mask_logit: float = -9.0, **changes: object) -> RoutedNetwork:
    """Return a network that finds a mask on all faces, or none, whose branch is not the base."""
    torch.manual_seed(0)
    network = RoutedNetwork(ENCODER, replace(CONFIG, **changes))
    set_mask_logit(network, mask_logit)
    with torch.no_grad():
        for parameter in network.branch.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def set_mask_logit(network: RoutedNetwork, value: float) -> None:
    with torch.no_grad():
        network.heads.mask[-1].weight.zero_()
        network.heads.mask[-1].bias.fill_(value)


def run(network: RoutedNetwork) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.from_numpy(CHIPS)).embedding


@pytest.mark.parametrize("variant", VARIANTS)
def test_bare_faces_keep_the_encoders_embedding(variant: str) -> None:
    with torch.no_grad():
        own = read_encoder(ENCODER)(torch.from_numpy(CHIPS))
    network = make_routed(variant=variant)
    assert torch.equal(run(network), own)
    assert not torch.allclose(run(network.train()), own, atol=0.01)  # the branch in training


def test_masked_faces_get_the_branch() -> None:
    bare, masked = make_routed(), make_routed(mask_logit=9.0)
    with torch.no_grad():
        x = torch.from_numpy(CHIPS)
        gated = masked.base.low(x)
        seen = masked(x).attention[:, UNMASKED : UNMASKED + 1] * gated
        expected = masked.branch(seen)
    assert torch.equal(run(masked), expected)
    assert not torch.allclose(run(masked), run(bare), atol=0.01)
    with torch.no_grad():
        bare.heads.cover[-1].bias.fill_(9.0)
        assert torch.equal(run(bare), read_encoder(ENCODER)(x))  # other covers are not routed


def test_rows_of_a_batch_are_routed_each() -> None:
    network = make_routed()
    with torch.no_grad():
        network.heads.mask[-1].weight.copy_(10 * torch.randn(1, 64))
        network.heads.mask[-1].bias.zero_()
        logit = network(torch.from_numpy(CHIPS)).mask_logit
        network.heads.mask[-1].bias.fill_(-logit.median())
        shares = network(torch.from_numpy(CHIPS)).mask_logit > 0
    assert shares.any() and not shares.all()
    bare, masked = run(make_routed()), run(make_routed(mask_logit=9.0))
    assert torch.allclose(run(network), torch.where(shares[:, None], masked, bare), atol=1e-5)


@pytest.mark.parametrize("mask_logit", [-9.0, 9.0])
def test_exported_bare_faces_are_bit_identical(tmp_path: Path, mask_logit: float) -> None:
    network = make_routed(mask_logit=mask_logit)
    export(network, tmp_path / "routed.onnx")
    found = onnx_runner(tmp_path / "routed.onnx")(CHIPS)
    properties = {p.key: p.value for p in onnx.load(tmp_path / "routed.onnx").metadata_props}
    assert properties["network"] == "ONNX with mfsa" and properties["encoder_licence"] == "MIT"
    assert list(found) == ["embedding", "attention", "mask_worn", "expected_similarity"]
    own = onnx_runner(onnx.load_model_from_string(ENCODER))(CHIPS)
    (bare,) = own.values()
    assert np.array_equal(found["embedding"], bare) == (mask_logit < 0)
    np.testing.assert_allclose(found["embedding"], run(network).numpy(), rtol=1e-3, atol=1e-4)


def test_branch_embeds_bare_faces_if_chosen(tmp_path: Path) -> None:
    bare = make_routed(mask_logit=-9.0, bare_from="branch")
    masked = make_routed(mask_logit=9.0)
    assert torch.equal(run(bare), run(masked))
    save_weights(bare, tmp_path / "single.safetensors")
    again = load_network(tmp_path / "single.safetensors")
    assert isinstance(again, RoutedNetwork) and again.config.bare_from == "branch"


def test_branch_is_exported_without_norms(tmp_path: Path) -> None:
    network = make_routed(mask_logit=9.0)
    network.fit_branch(torch.from_numpy(CHIPS))
    export(network, tmp_path / "routed.onnx")
    nodes = onnx.load(tmp_path / "routed.onnx").graph.node
    assert any("/branch/" in node.name for node in nodes)
    assert not any(node.op_type == "BatchNormalization" for node in nodes)
    found = onnx_runner(tmp_path / "routed.onnx")(CHIPS)["embedding"]
    np.testing.assert_allclose(found, run(network).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mask_logit", [-9.0, 9.0])
def test_similarity_follows_output_embedding(tmp_path: Path, mask_logit: float) -> None:
    network, other_branch = (make_routed(mask_logit=mask_logit) for _ in range(2))
    with torch.no_grad():
        list(other_branch.branch.parameters())[-1].add_(5.0)
    similarities = []
    for member in (network, other_branch):
        export(member, tmp_path / "routed.onnx")
        similarities.append(onnx_runner(tmp_path / "routed.onnx")(CHIPS)["expected_similarity"])
        with torch.no_grad():
            chips = torch.from_numpy(CHIPS)
            evaluated = member(chips)
            seen = pool_features(
                member.base.middle(member.base.low(chips)), evaluated.attention, UNMASKED
            )
            expected = member.heads.predict_similarity(evaluated.embedding, seen)
        np.testing.assert_allclose(similarities[-1], expected.numpy(), rtol=1e-3, atol=1e-4)
    assert np.array_equal(*similarities) == (mask_logit < 0)


def test_similarity_is_trained_on_output() -> None:
    """A bare face has the encoder's embedding, whose cosine to its target is 1."""
    network = make_routed().train()
    chips = torch.from_numpy(CHIPS)
    with torch.no_grad():
        targets = torch.nn.functional.normalize(read_encoder(ENCODER)(chips))
    out = network(chips)
    assert not torch.allclose(out.embedding, out.deployed, atol=0.01)  # the branch is trained
    assert not out.deployed.requires_grad
    criterion = Criterion(LossWeights(similarity=1), 32, "mfsa", 0)
    _, parts = criterion(out, network.heads, _batch(targets), 0.5)
    expected = (1 - out.similarity).square().mean()
    assert torch.allclose(parts["similarity"], expected, atol=1e-5)


def test_quantisation_leaves_the_route_in_float(tmp_path: Path) -> None:
    export(make_routed(), tmp_path / "routed.onnx")
    plan = plan_quantization(onnx.load(tmp_path / "routed.onnx"))
    parts = sorted({name.split("/")[2] for name in plan.gates})
    assert parts == ["attention", "mask", "similarity"]
    assert any("branch" in layer.name for layer in plan.layers)


def test_gradient_is_in_branch_attention_heads() -> None:
    torch.manual_seed(0)
    network = RoutedNetwork(ENCODER, replace(CONFIG, added_blocks=1)).train()
    out = network(torch.from_numpy(CHIPS))
    (out.embedding.sum() + out.mask_logit.sum() + out.cover_logit.sum()).backward()
    moved = {n.split(".")[0] for n, p in network.named_parameters() if p.grad is not None}
    assert moved == {"branch", "attention", "heads"}
    frozen = {n.split(".")[0] for n, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"base"}


def test_branch_starts_as_the_encoder() -> None:
    network = RoutedNetwork(ENCODER, replace(CONFIG, variant="none", added_blocks=2)).eval()
    set_mask_logit(network, 99.0)
    with torch.no_grad():
        own = read_encoder(ENCODER)(torch.from_numpy(CHIPS))
    assert torch.allclose(run(network), own, atol=1e-3)
    network.train().fit_branch(torch.from_numpy(CHIPS))
    assert network.training  # else a run would train with fixed norms and the encoder's answers
    network.eval()
    assert torch.allclose(run(network), own, atol=1e-5)
    assert torch.allclose(run(network.train()), own, atol=1e-2)  # the norms see the same chips


def test_weights_survive_safetensors(tmp_path: Path) -> None:
    network = make_routed(added_blocks=1)
    save_weights(network, tmp_path / "routed.safetensors")
    again = load_network(tmp_path / "routed.safetensors")
    assert isinstance(again, RoutedNetwork) and again.config == network.config
    assert again.encoder == network.encoder
    assert torch.equal(run(again), run(network))  # bare faces, although the file has halves
    for name, value in again.branch.state_dict().items():
        assert torch.allclose(value, network.branch.state_dict()[name], atol=1e-2), name


def test_criterion_trains_each_variant() -> None:
    bank = torch.nn.functional.normalize(torch.randn(5, 32))
    for variant in VARIANTS:
        network = make_routed(variant=variant).train()
        weights = LossWeights(match=1, alikeness=1, adversary=0.1)
        criterion = Criterion(weights, 32, variant, 0, TeacherBank(bank, torch.arange(5)))
        total, parts = criterion(network(torch.from_numpy(CHIPS)), network.heads, _batch(bank), 0.5)
        total.backward()
        assert {"distil", "match", "alike", "similarity", "adversary"} <= parts.keys()
        assert torch.isfinite(total)


def _batch(bank: torch.Tensor) -> Batch:
    worn = torch.tensor([1.0, 0.0, 1.0])
    return Batch(
        torch.from_numpy(CHIPS), bank[:3], torch.arange(3), worn, 1 - worn, torch.arange(3)
    )


def test_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"variant: expected one of none, sa, .* found 'multi'"):
        replace(CONFIG, variant="multi")
