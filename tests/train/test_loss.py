from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from train.loss import (
    UNLABELLED,
    ArcFace,
    Batch,
    Criterion,
    TeacherBank,
    alikeness_loss,
    area_shortfall,
    balanced_cross_entropy,
    map_entropy,
    match_loss,
    neighbour_loss,
    relation_loss,
)
from train.network import HiddenFaceHeads, Output
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


def test_arcface_ignores_unlabelled_rows() -> None:
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
    assert relation_loss(teacher @ turn, teacher).item() == pytest.approx(0, abs=1e-10)
    assert relation_loss(F.normalize(torch.randn(6, 8)), teacher).item() > 0.01


CHANNELS = 16


def criterion(
    weights: LossWeights, variant: str = "mfsa", bank: torch.Tensor | None = None
) -> Criterion:
    labelled = None if bank is None else TeacherBank(bank, torch.arange(len(bank)))
    return Criterion(weights, 8, variant, 3, labelled)


def heads() -> HiddenFaceHeads:
    """Heads that answer 0.5."""
    made = HiddenFaceHeads(CHANNELS, 8)
    for parameter in made.parameters():
        torch.nn.init.zeros_(parameter)
    return made


def parts_of(
    weights: LossWeights,
    out: Output,
    batch: Batch,
    progress: float = 0.5,
    variant: str = "mfsa",
    bank: torch.Tensor | None = None,
) -> dict[str, float]:
    asked = criterion(weights, variant, bank)
    return {name: part.item() for name, part in asked(out, heads(), batch, progress)[1].items()}


def batch(target: torch.Tensor) -> Batch:
    n = len(target)
    worn = torch.tensor([0.0, 1.0] * (n // 2))
    none = torch.full((n,), UNLABELLED)
    row = torch.where(target.abs().sum(dim=1) > 0, torch.arange(n), -1)
    return Batch(torch.zeros(n, 3, 112, 112), target, none, worn, torch.zeros(n), row)


def output(embedding: torch.Tensor) -> Output:
    n = len(embedding)
    features, zeros = torch.zeros(n, CHANNELS), torch.zeros(n)
    maps = torch.full((n, 3, 14, 14), 1 / 3)
    half = torch.full((n,), 0.5)
    return Output(embedding, maps, features, features, zeros, zeros, half, embedding.detach())


def test_neighbour_loss_follows_teacher_ranking() -> None:
    torch.manual_seed(0)
    bank = F.normalize(torch.randn(50, 8))
    teacher = bank[:4]
    best = neighbour_loss(teacher, teacher, bank)
    assert (
        best
        < neighbour_loss(F.normalize(teacher + 0.3 * torch.randn(4, 8)), teacher, bank)
        < neighbour_loss(-teacher, teacher, bank)
    )
    out = output(teacher)
    assert "neighbours" in parts_of(LossWeights(neighbours=1), out, batch(teacher), bank=bank)
    assert "neighbours" not in parts_of(LossWeights(), out, batch(teacher), bank=bank)


def test_balanced_loss_rare_class_counts_half() -> None:
    logit, target = torch.tensor([2.0, 2.0, 2.0, 2.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    worn, bare = F.softplus(torch.tensor(-2.0)), F.softplus(torch.tensor(2.0))
    torch.testing.assert_close(balanced_cross_entropy(logit, target), (worn + bare) / 2)
    only_worn = balanced_cross_entropy(logit, torch.ones(4))
    assert torch.isfinite(only_worn) and only_worn > 0


def test_each_loss_can_be_switched_off() -> None:
    embedding = torch.randn(4, 8, requires_grad=True)
    out, data = output(embedding), batch(F.normalize(torch.randn(4, 8)))
    every = {
        "distil",
        "relation",
        "similarity",
        "mask",
        "covered",
        "adversary",
        "background",
        "mask_absent",
        "mask_area_min",
        "area_min",
    }
    assert set(parts_of(LossWeights(), out, data)) == every
    for name in ("adversary", "mask_absent", "mask_area_min", "area_min"):
        assert set(parts_of(LossWeights(**{name: 0}), out, data)) == every - {name}
    assert set(parts_of(LossWeights(mask=0), out, data)) == every - {"mask", "covered"}
    assert parts_of(LossWeights(distil=0, relation=0, background=0), out, data)["distil"] == 0


@pytest.mark.parametrize(
    ("variant", "absent"),
    [
        ("none", {"background", "mask_absent", "mask_area_min", "area_min"}),
        ("cal", {"background", "mask_absent", "mask_area_min", "area_min"}),
    ],
)
def test_variant_losses_match_its_maps(variant: str, absent: set[str]) -> None:
    target = F.normalize(torch.randn(4, 8))
    assert not absent & set(parts_of(LossWeights(), output(target), batch(target), variant=variant))


def test_where_no_mask_is_worn_the_mask_map_costs() -> None:
    target = F.normalize(torch.randn(4, 8))
    assert parts_of(LossWeights(mask_absent=0.5), output(target), batch(target))[
        "mask_absent"
    ] == pytest.approx(0.5 / 3)
    for hidden in ("mask_worn", "covered"):
        everybody = replace(batch(target), **{hidden: torch.ones(4)})
        assert parts_of(LossWeights(mask_absent=0.5), output(target), everybody)["mask_absent"] == 0


def maps(unmasked: float, mask: float, background: float) -> torch.Tensor:
    return torch.tensor([unmasked, mask, background]).view(1, 3, 1, 1).expand(4, 3, 14, 14)


def test_nearly_empty_maps_cost() -> None:
    target = F.normalize(torch.randn(4, 8))
    out, bare, worn = output(target), batch(target), replace(batch(target), mask_worn=torch.ones(4))
    weights = LossWeights(area_min=0.5, mask_area_min=0.5)

    def parts(attention: torch.Tensor, of: Batch) -> dict[str, float]:
        return parts_of(weights, out._replace(attention=attention), of)

    bare = replace(bare, mask_worn=torch.zeros(4))
    assert (
        parts(maps(0.6, 0.0, 0.4), bare)["area_min"] == 0
        and parts(maps(0.6, 0.0, 0.4), bare)["mask_area_min"] == 0
    )
    assert parts(maps(0.97, 0.0, 0.03), bare)["area_min"] == pytest.approx(
        0.5 * math.log(10), rel=1e-3
    )  # A_b, of 0.3
    assert parts(maps(0.045, 0.0, 0.955), bare)["area_min"] == pytest.approx(
        0.5 * math.log(10), rel=1e-3
    )  # A_u, of 0.45
    assert parts(maps(0.045, 0.2, 0.755), worn)["area_min"] == 0  # a hidden face may show little
    assert parts(maps(0.5, 0.012, 0.488), worn)["mask_area_min"] == pytest.approx(
        0.5 * math.log(10), rel=1e-3
    )  # A_m, of 0.12


def test_an_empty_map_still_hears_of_it() -> None:
    logits = torch.tensor([30.0, 0.0, 0.0], requires_grad=True)
    area_shortfall(logits.softmax(dim=0)[1:2], 0.12).sum().backward()
    assert logits.grad is not None and logits.grad[1] == pytest.approx(-1, abs=1e-3)


def test_mask_area_of_batch_costs() -> None:
    target = F.normalize(torch.randn(4, 8))
    weights, out = LossWeights(mask_area_batch=0.5), output(target)
    worn = replace(batch(target), mask_worn=torch.tensor([1.0, 1.0, 0.0, 0.0]))
    few = torch.cat([maps(0.5, 0.4, 0.1)[:1], maps(0.9, 0.1, 0.0)[:1], maps(1.0, 0.0, 0.0)[:2]])
    assert parts_of(weights, out._replace(attention=few), worn)["mask_area_batch"] == pytest.approx(
        0, abs=1e-6
    )  # 0.25 in the mean of those worn
    assert parts_of(weights, out._replace(attention=few / 10), worn)[
        "mask_area_batch"
    ] == pytest.approx(0.5 * math.log(10), rel=1e-3)
    bare = replace(worn, mask_worn=torch.zeros(4))
    assert parts_of(weights, out._replace(attention=few), bare)["mask_area_batch"] == 0


def test_maps_that_decide_cost_nothing() -> None:
    assert map_entropy(maps(1.0, 0.0, 0.0)) == pytest.approx(0)
    assert map_entropy(maps(1 / 3, 1 / 3, 1 / 3)) == pytest.approx(math.log(3))


def test_batch_without_loss_stays_in_graph() -> None:
    embedding = torch.randn(4, 8, requires_grad=True)
    total, parts = criterion(LossWeights(mask=0, adversary=0), "none")(
        output(embedding), heads(), batch(torch.zeros(4, 8)), 0.5
    )
    total.backward()
    assert parts == {} and embedding.grad is not None


def test_perfect_student_has_no_identity_loss() -> None:
    target = F.normalize(torch.randn(4, 8))
    parts = parts_of(LossWeights(), output(target * 7), batch(target))
    assert parts["distil"] == pytest.approx(0, abs=1e-5) and parts["relation"] == pytest.approx(
        0, abs=1e-5
    )
    assert parts["background"] == pytest.approx(0, abs=1e-6)


def test_rows_without_a_teacher_do_not_count() -> None:
    target = torch.cat([F.normalize(torch.randn(2, 8)), torch.zeros(2, 8)])
    embedding = torch.randn(4, 8)
    all_rows = parts_of(LossWeights(), output(embedding), batch(target))
    taught = parts_of(LossWeights(), output(embedding[:2]), batch(target[:2]))
    assert all_rows["distil"] == pytest.approx(taught["distil"])


def test_match_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    bank = F.normalize(torch.randn(6, 8))
    student, row = F.normalize(bank[[1, 4]] + 0.3 * torch.randn(2, 8)), torch.tensor([1, 4])
    same = torch.zeros(2, 6, dtype=torch.bool)
    same[0, [1, 2]] = same[1, 4] = True  # picture 2 is of the person of picture 1
    expected = []
    for i, own in enumerate(row.tolist()):
        cosine = [float(student[i] @ other) for other in bank]
        logits = torch.tensor([30 * c for c in cosine])
        logits[own] = 30 * (cosine[own] - 0.15)
        logits = logits[[j for j in range(6) if j == own or not same[i, j]]]
        expected.append(logits.logsumexp(0) - 30 * (cosine[own] - 0.15))
    found = match_loss(student @ bank.T, row, same)
    assert found.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


def test_alikeness_is_excess_over_bare_faces() -> None:
    cosine = torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.1, 0.0]])
    same = torch.tensor([[True, False, False], [False, False, False]])
    allowed = torch.tensor([[0.1, 0.3, 0.3], [0.3, 0.3, 0.3]])
    assert alikeness_loss(cosine, allowed, same).item() == pytest.approx(0.2**2 / 6)
    assert alikeness_loss(cosine, 0.5, same) == 0
    hardest = alikeness_loss(cosine, allowed, same, hardest=1)
    assert hardest.item() == pytest.approx(0.2**2 / 2)


def test_same_person_by_label_or_picture() -> None:
    bank = TeacherBank(torch.eye(4), torch.tensor([0, 0, 1, UNLABELLED]))
    same = bank.same_person(torch.tensor([0, UNLABELLED, 1]), torch.tensor([0, 3, -1]))
    assert same.tolist() == [
        [True, True, False, False],
        [False, False, False, True],
        [False, False, True, False],
    ]


def test_similarity_loss_is_squared_error() -> None:
    target = F.normalize(torch.randn(4, 8))
    parts = parts_of(LossWeights(similarity=2), output(target), batch(target))
    assert parts["similarity"] == pytest.approx(2 * 0.5**2)  # cosine 1, expected 0.5
    opposite = parts_of(LossWeights(), output(-target), batch(target))
    assert opposite["similarity"] == pytest.approx(0.5**2)  # cosine below 0 counts as 0


def test_faces_without_target_have_no_alikeness() -> None:
    # A loss that only separates them made all real masks one vector.
    bank = F.normalize(torch.randn(9, 8))
    mixed = batch(torch.cat([bank[:2], torch.zeros(2, 8)]))
    parts = parts_of(LossWeights(alikeness=1, match=1), output(bank[:4]), mixed, bank=bank)
    assert {"match", "alike"} <= parts.keys()
    assert parts["alike"] == pytest.approx(0, abs=1e-9)  # as similar to others as bare faces
    untaught = batch(torch.zeros(4, 8))
    parts = parts_of(LossWeights(alikeness=1, match=1), output(bank[:4]), untaught, bank=bank)
    assert not {"match", "alike", "distil"} & parts.keys()
