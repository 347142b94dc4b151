from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from train.loss import UNLABELLED, ArcFace, Batch, Criterion, similarity_gap
from train.network import Output
from train.recipe import LossWeights


def test_arcface_is_its_formula() -> None:
    torch.manual_seed(0)
    loss = ArcFace(identities=5, embedding=8, scale=16.0, margin=0.3)
    unit, label = F.normalize(torch.randn(4, 8)), torch.tensor([0, 2, 4, 1])
    cosine = unit @ F.normalize(loss.centres).T
    expected = []
    for row, own in zip(cosine, label, strict=True):
        logits = 16 * row.clone()
        logits[own] = 16 * math.cos(math.acos(row[own].item()) + 0.3)
        expected.append(F.cross_entropy(logits[None], own[None]))
    assert loss(unit, label).item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


def test_arcface_leaves_unlabelled_rows_out_and_stays_in_the_graph() -> None:
    loss = ArcFace(identities=5, embedding=8)
    unit = F.normalize(torch.randn(3, 8)).requires_grad_()
    value = loss(unit, torch.full((3,), UNLABELLED))
    value.backward()
    assert value.item() == 0 and unit.grad is not None and loss.centres.grad is not None
    labels = torch.tensor([1, UNLABELLED, 2])
    assert loss(unit, labels).item() == pytest.approx(loss(unit[[0, 2]], labels[[0, 2]]).item())


def test_similarity_gap_is_zero_for_a_turned_copy() -> None:
    teacher = F.normalize(torch.randn(6, 8))
    turn, _ = torch.linalg.qr(torch.randn(8, 8))
    assert similarity_gap(teacher @ turn, teacher).item() == pytest.approx(0, abs=1e-10)
    assert similarity_gap(F.normalize(torch.randn(6, 8)), teacher).item() > 0.01


def batch(target: torch.Tensor) -> Batch:
    n = len(target)
    return Batch(torch.zeros(n, 3, 112, 112), target, torch.full((n,), UNLABELLED), torch.tensor([0.0, 1.0] * (n // 2)))


def output(embedding: torch.Tensor) -> Output:
    n = len(embedding)
    return Output(embedding, torch.full((n, 3, 14, 14), 1 / 3), torch.zeros(n), torch.zeros(n))


def test_each_loss_can_be_switched_off() -> None:
    embedding = torch.randn(4, 8, requires_grad=True)
    weights = LossWeights(distil=0, relation=0, mask=0, adversary=0, background=0)
    total, parts = Criterion(weights, 8, 3)(output(embedding), batch(F.normalize(torch.randn(4, 8))), 1.0)
    assert total.item() == pytest.approx(parts["adversary"])  # the adversary itself goes on learning ...
    total.backward()
    assert embedding.grad is not None and embedding.grad.abs().sum() == 0  # ... and the embedding does not hear of it


def test_where_no_mask_is_worn_the_mask_map_costs() -> None:
    target = F.normalize(torch.randn(4, 8))
    _, parts = Criterion(LossWeights(absent=0.5), 8, 3)(output(target), batch(target), 0.5)
    assert parts["absent"] == pytest.approx(0.5 / 3)
    everybody_masked = Batch(*(getattr(batch(target), n) for n in ("chips", "target", "label")), torch.ones(4))
    _, parts = Criterion(LossWeights(absent=0.5), 8, 3)(output(target), everybody_masked, 0.5)
    assert parts["absent"] == 0


def test_an_empty_background_map_costs() -> None:
    target = F.normalize(torch.randn(4, 8))
    out = output(target)
    _, parts = Criterion(LossWeights(cover=0.5), 8, 3)(out, batch(target), 0.5)
    assert parts["cover"] == pytest.approx(0.5 * math.log(3), rel=1e-4)
    empty = out._replace(attention=torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(4, 3, 14, 14))
    _, parts = Criterion(LossWeights(cover=0.5), 8, 3)(empty, batch(target), 0.5)
    assert parts["cover"] > 5


def test_a_perfect_student_pays_nothing_for_identity() -> None:
    target = F.normalize(torch.randn(4, 8))
    _, parts = Criterion(LossWeights(), 8, 3)(output(target * 7), batch(target), 0.5)
    assert parts["distil"] == pytest.approx(0, abs=1e-5) and parts["relation"] == pytest.approx(0, abs=1e-5)
    assert parts["background"] == pytest.approx(0, abs=1e-6)


def test_rows_without_a_teacher_do_not_count() -> None:
    target = torch.cat([F.normalize(torch.randn(2, 8)), torch.zeros(2, 8)])
    embedding = torch.randn(4, 8)
    _, all_rows = Criterion(LossWeights(), 8, 3)(output(embedding), batch(target), 0.5)
    _, taught = Criterion(LossWeights(), 8, 3)(output(embedding[:2]), batch(target[:2]), 0.5)
    assert all_rows["distil"] == pytest.approx(taught["distil"])
