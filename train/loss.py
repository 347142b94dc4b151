"""The losses of MFSA with complementary attention learning; formulas in docs/method.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.network import BACKGROUND, MASK, Adversary, MfsaNetwork, Output
from train.recipe import LossWeights

UNLABELLED = -1


@dataclass(frozen=True)
class Batch:
    """What the loader hands over; B chips of one step."""

    chips: Tensor  # (B,3,112,112) float32, RGB in -1..1
    target: Tensor  # (B,D) float32 unit norm: the teacher's embedding of the UNMASKED chip; zero rows where there is none
    label: Tensor  # (B,) int64 identity, UNLABELLED where unknown
    mask_worn: Tensor  # (B,) float32, 1 where a drawn or real mask is worn


class ArcFace(nn.Module):
    """Cross-entropy over identities with an additive angular margin.

    J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, with s and m as there.
    """

    def __init__(self, identities: int, embedding: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(identities, embedding))
        nn.init.normal_(self.centres, std=0.01)
        self.scale = scale
        self.margin = margin

    def forward(self, unit: Tensor, label: Tensor) -> Tensor:
        """Mean loss of the labelled rows; zero, still in the graph, where a batch has none."""
        known = label != UNLABELLED
        if not bool(known.any()):
            return unit.sum() * 0 + self.centres.sum() * 0
        cosine = F.linear(unit[known], F.normalize(self.centres)).clamp(-1 + 1e-7, 1 - 1e-7)
        rows, own = torch.arange(cosine.shape[0], device=cosine.device), label[known]
        angle = torch.acos(cosine[rows, own])
        # Past pi - m the cosine would rise again; the linear continuation keeps the pull (as the authors' code does).
        penalised = torch.where(
            angle < math.pi - self.margin, torch.cos(angle + self.margin), cosine[rows, own] - self.margin * math.sin(self.margin)
        )
        logits = cosine.clone()
        logits[rows, own] = penalised
        return F.cross_entropy(self.scale * logits, own)


def similarity_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the batch's cosine similarity matrices: W. Park et al., "Relational Knowledge
    Distillation", CVPR 2019, in its simplest form. Both (B,D), unit norm."""
    return (student @ student.T - teacher @ teacher.T).square().mean()


class Criterion(nn.Module):
    """All losses of one step; holds what only training needs (identity centres, the adversary)."""

    def __init__(self, weights: LossWeights, embedding: int, identities: int) -> None:
        super().__init__()
        self.weights = weights
        self.adversary = Adversary(embedding)
        self.arcface = ArcFace(identities, embedding) if weights.arcface > 0 else None

    def forward(self, out: Output, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum and each part for the log; `progress` 0..1 lets the adversary grow from nothing."""
        w = self.weights
        unit = F.normalize(out.embedding)
        taught = batch.target.abs().sum(dim=1) > 0
        parts: dict[str, Tensor] = {}
        if bool(taught.any()):
            student, teacher = unit[taught], batch.target[taught]
            parts["distil"] = w.distil * (1 - (student * teacher).sum(dim=1)).mean()
            parts["relation"] = w.relation * similarity_gap(student, teacher)
        if self.arcface is not None:
            parts["arcface"] = w.arcface * self.arcface(unit, batch.label)
        parts["mask"] = w.mask * F.binary_cross_entropy_with_logits(out.mask_logit, batch.mask_worn)
        strength = w.adversary * (2 / (1 + math.exp(-10 * progress)) - 1)
        parts["adversary"] = F.binary_cross_entropy_with_logits(self.adversary(out.embedding, strength), batch.mask_worn)
        # The background must leave the mask question open: cross-entropy to one half, whose floor is ln 2.
        half = torch.full_like(out.background_logit, 0.5)
        parts["background"] = w.background * (F.binary_cross_entropy_with_logits(out.background_logit, half) - math.log(2))
        if w.absent > 0:
            # Where no mask is worn no cell shows one. Without this A_m takes the background too and leaves A_b empty.
            bare = (1 - batch.mask_worn) * out.attention[:, MASK].mean(dim=(1, 2))
            parts["absent"] = w.absent * bare.sum() / (1 - batch.mask_worn).sum().clamp(min=1)
        if w.cover > 0:
            # The logarithm, since a map that is nearly empty gets hardly any gradient through the softmax otherwise.
            parts["cover"] = -w.cover * out.attention[:, BACKGROUND].mean(dim=(1, 2)).clamp(min=1e-6).log().mean()
        total = torch.stack(list(parts.values())).sum()
        return total, {name: float(part.detach()) for name, part in parts.items()}


class Student(nn.Module):
    """Network and criterion in one module, so that DDP sees every parameter in one forward pass."""

    def __init__(self, network: MfsaNetwork, criterion: Criterion, autocast: bool) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion
        self.autocast = autocast
        self.run = network.forward

    def compile(self) -> None:  # type: ignore[override]
        self.run = torch.compile(self.network.forward)

    def forward(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float], Tensor]:
        """Loss, its parts, and the mean of the three maps (3,) for the log."""
        with torch.autocast(batch.chips.device.type, torch.bfloat16, enabled=self.autocast):
            out = self.run(batch.chips)
        loss, parts = self.criterion(out, batch, progress)
        return loss, parts, out.attention.detach().mean(dim=(0, 2, 3))
