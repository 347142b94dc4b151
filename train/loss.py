"""Losses of MFSA with complementary attention learning; formulas in docs/method.md."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.distributed import ProcessGroup
from train.network import VARIANTS, Adversary, MfsaNetwork, NetworkConfig, Output
from train.recipe import LossWeights

UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Batch:
    """Batch of the loader; B chips of one step."""

    chips: Tensor  # (B,3,112,112) float32, RGB in -1..1
    # (B,D) float32 unit norm: the teacher's embedding of the unmasked chip; zero rows without one.
    target: Tensor
    label: Tensor  # (B,) int64 identity, UNLABELLED if unknown
    mask_worn: Tensor  # (B,) float32, 1 if a drawn or real mask hides part of the face
    covered: Tensor  # (B,) float32, 1 if another drawn object hides part of it
    skipped: tuple[str, ...] = ()  # names of unreadable pictures, which others replace

    def pin_memory(self) -> Batch:
        """Pin the memory for asynchronous copies to a GPU; called by the loader."""
        pinned: dict[str, Any] = {n: tensor.pin_memory() for n, tensor in self.tensors().items()}
        return replace(self, **pinned)

    def tensors(self) -> dict[str, Tensor]:
        return {
            f.name: value
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }


class ArcFace(nn.Module):
    """Cross-entropy over identities with an additive angular margin.

    J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019,
    with its s and m.
    """

    def __init__(
        self, identities: int, embedding: int, scale: float = 64.0, margin: float = 0.5
    ) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(identities, embedding))
        nn.init.normal_(self.centres, std=0.01)
        self.scale = scale
        self.margin = margin

    def forward(self, unit: Tensor, label: Tensor) -> Tensor:
        """Return the mean loss of labelled rows; zero, still in the graph, without any."""
        known = label != UNLABELLED
        if not bool(known.any()):
            return unit.sum() * 0 + self.centres.sum() * 0
        cosine = F.linear(unit[known], F.normalize(self.centres)).clamp(-1 + 1e-7, 1 - 1e-7)
        rows, own = torch.arange(cosine.shape[0], device=cosine.device), label[known]
        angle = torch.acos(cosine[rows, own])
        # Beyond pi - m the cosine rises again; continue linearly as the authors' code.
        penalised = torch.where(
            angle < math.pi - self.margin,
            torch.cos(angle + self.margin),
            cosine[rows, own] - self.margin * math.sin(self.margin),
        )
        logits = cosine.clone()
        logits[rows, own] = penalised
        return F.cross_entropy(self.scale * logits, own)


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of the cosine similarity matrices (B,D), unit norm.

    W. Park et al., "Relational Knowledge Distillation", CVPR 2019, in its simplest form.
    """
    return (student @ student.T - teacher @ teacher.T).square().mean()


def neighbour_loss(
    student: Tensor, teacher: Tensor, bank: Tensor, temperature: float = 0.05
) -> Tensor:
    """Return the cross-entropy of student and teacher (B,D) softmaxes over the training set (N,D).

    Unlike `relation_loss` it weighs the nearest impostors, which decide at a low FMR. Unit norms.
    Z. Fang et al., "SEED: Self-supervised Distillation for Visual Representation", ICLR 2021.
    """
    with torch.no_grad():
        wanted = (teacher @ bank.T / temperature).softmax(dim=1)
    return -(wanted * (student @ bank.T / temperature).log_softmax(dim=1)).sum(dim=1).mean()


# Least shares of a chip: of an occluder, of the background, of a bare face.
_AREA_HIDDEN, _AREA_BACKGROUND, _AREA_FACE = 0.12, 0.3, 0.45
_AREA_MASKS = 0.25  # mean share of worn masks; a single one may cover less


def area_shortfall(mean: Tensor, area: float) -> Tensor:
    """Return the shortfall of map means (B,) against an area, as a logarithm.

    The logarithm keeps a gradient for a nearly empty map.
    """
    return -(mean.clamp(min=1e-30, max=area) / area).log()


def map_entropy(maps: Tensor) -> Tensor:
    """Return the mean entropy (nats) of maps (B,K,H,W) that sum to 1 over K.

    Y. Grandvalet and Y. Bengio, "Semi-supervised Learning by Entropy Minimization", NIPS 2004.
    """
    return -(maps * maps.clamp(min=1e-6).log()).sum(dim=1).mean()


def _mean_of(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)


class Criterion(nn.Module):
    """All losses of a step, with the identity centres, the adversary and the teacher bank."""

    def __init__(
        self,
        weights: LossWeights,
        config: NetworkConfig,
        identities: int,
        bank: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights
        self.variant = VARIANTS[config.variant]
        self.adversary = Adversary(config.embedding) if weights.adversary > 0 else None
        self.arcface = ArcFace(identities, config.embedding) if weights.arcface > 0 else None
        channels = config.widths[2]
        self.cover_head = nn.Linear(channels, 1)
        # Not part of checkpoints: it is computed from the data.
        self.bank: Tensor | None
        self.register_buffer("bank", bank if weights.neighbours > 0 else None, persistent=False)

    def forward(
        self, out: Output, mask_head: nn.Linear, batch: Batch, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its parts; `progress` 0..1 scales the adversary from zero."""
        w = self.weights
        parts = self._identity(out, batch)
        if w.mask > 0:
            parts["mask"] = w.mask * F.binary_cross_entropy_with_logits(
                out.mask_logit, batch.mask_worn
            )
        if self.adversary is not None:
            strength = w.adversary * (2 / (1 + math.exp(-10 * progress)) - 1)
            guess = self.adversary(out.embedding, strength)
            parts["adversary"] = F.binary_cross_entropy_with_logits(guess, batch.mask_worn)
        if self.variant.mask_map and w.mask > 0:
            # The same for other occluders, so that A_m localizes them too.
            guess = self.cover_head(out.mask_features.float()).squeeze(1)
            parts["covered"] = w.mask * F.binary_cross_entropy_with_logits(guess, batch.covered)
        if self.variant.background_map:
            parts |= self._background(out, mask_head, batch)
        # Still in the graph for a batch without any loss.
        total = sum(parts.values(), out.embedding.sum() * 0)
        return total, {name: part.detach() for name, part in parts.items()}

    def _identity(self, out: Output, batch: Batch) -> dict[str, Tensor]:
        w = self.weights
        unit = F.normalize(out.embedding)
        parts: dict[str, Tensor] = {}
        taught = batch.target.abs().sum(dim=1) > 0
        if bool(taught.any()):
            student, teacher = unit[taught], batch.target[taught]
            parts["distil"] = w.distil * (1 - (student * teacher).sum(dim=1)).mean()
            parts["relation"] = w.relation * relation_loss(student, teacher)
            if self.bank is not None:
                parts["neighbours"] = w.neighbours * neighbour_loss(student, teacher, self.bank)
        if self.arcface is not None:
            parts["arcface"] = w.arcface * self.arcface(unit, batch.label)
        return parts

    def _background(self, out: Output, mask_head: nn.Linear, batch: Batch) -> dict[str, Tensor]:
        w = self.weights
        # The background must not decide: cross-entropy to one half, whose minimum is ln 2.
        guesses = torch.cat(
            [head(out.background_features.float()) for head in (mask_head, self.cover_head)], dim=1
        )
        half = torch.full_like(guesses, 0.5)
        parts = {
            "background": w.background
            * (F.binary_cross_entropy_with_logits(guesses, half) - math.log(2))
        }
        unmasked, mask, background = out.attention.mean(dim=(2, 3)).unbind(dim=1)
        hidden = torch.maximum(batch.mask_worn, batch.covered)
        if w.mask_absent > 0:
            # Without this loss A_m takes the background of bare faces and leaves A_b empty.
            parts["mask_absent"] = w.mask_absent * _mean_of(mask, 1 - hidden)
        if w.mask_area_min > 0:
            parts["mask_area_min"] = w.mask_area_min * _mean_of(
                area_shortfall(mask, _AREA_HIDDEN), hidden
            )
        if w.mask_area_batch > 0:
            worn = batch.mask_worn
            parts["mask_area_batch"] = (
                w.mask_area_batch
                * worn.amax()
                * area_shortfall(_mean_of(mask, worn)[None], _AREA_MASKS).sum()
            )
        if w.area_min > 0:
            parts["area_min"] = w.area_min * (
                area_shortfall(background, _AREA_BACKGROUND).mean()
                + _mean_of(area_shortfall(unmasked, _AREA_FACE), 1 - hidden)
            )
        if w.map_entropy > 0:
            parts["map_entropy"] = w.map_entropy * map_entropy(out.attention)
        return parts


class Student(nn.Module):
    """Network and criterion in one module, so that DDP sees all parameters in one forward pass."""

    def __init__(
        self, network: MfsaNetwork, criterion: Criterion, group: ProcessGroup, autocast: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion
        self.world = group
        self.autocast = autocast
        self.run = network.forward

    def compile(self) -> None:
        self.run = torch.compile(self.network.forward)

    def forward(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Return loss, parts and the means of the maps (3,), over the chips of all processes.

        The losses compare chips, so each process gathers all outputs and computes the same loss.
        """
        with torch.autocast(batch.chips.device.type, torch.bfloat16, enabled=self.autocast):
            out = self.run(batch.chips)
        everywhere = Output(*(self.world.gather(value.float()) for value in out))
        facts: dict[str, Any] = {
            name: self.world.gather(getattr(batch, name))
            for name in ("target", "label", "mask_worn", "covered")
        }
        loss, parts = self.criterion(
            everywhere, self.network.mask_head, Batch(chips=batch.chips, **facts), progress
        )
        return loss, parts, everywhere.attention.detach().mean(dim=(0, 2, 3))
