"""Losses of MFSA with complementary attention learning; formulas in docs/method.md."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.distributed import ProcessGroup
from train.network import VARIANTS, Adversary, HiddenFaceHeads, Output
from train.recipe import LossWeights
from train.routed import Network

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
    bank_row: Tensor  # (B,) int64, row of the target in `TeacherBank`, -1 without one
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


@dataclass(frozen=True, eq=False)
class TeacherBank:
    """Embeddings of all bare pictures, as the gallery that hidden faces are compared with."""

    embeddings: Tensor  # (N,D) unit norm
    label: Tensor  # (N,) int64 identity, UNLABELLED if unknown

    def same_person(self, label: Tensor, row: Tensor) -> Tensor:
        """Return (B,N): True for pictures of the identities `label` (B,) or the picture `row`."""
        known = (label != UNLABELLED)[:, None] & (label[:, None] == self.label[None])
        return known | (row[:, None] == torch.arange(len(self.label), device=row.device)[None])


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


def match_loss(
    cosine: Tensor, row: Tensor, same: Tensor, scale: float = 30.0, margin: float = 0.15
) -> Tensor:
    """Return the cross-entropy of finding the own picture `row` (B,) in the bank, with a margin.

    `cosine` (B,N) to the bank, `same` (B,N) marks other pictures of the person, which do not count.
    H. Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, with
    the teacher's embeddings as fixed centres.
    """
    rows = torch.arange(len(row), device=row.device)
    logits = scale * cosine.masked_fill(same, -1.0)
    logits[rows, row] = scale * (cosine[rows, row] - margin)
    return F.cross_entropy(logits, row)


def alikeness_loss(
    cosine: Tensor, allowed: Tensor | float, same: Tensor, hardest: int = 64
) -> Tensor:
    """Return the mean squared excess of the most similar non-mated pairs of each row.

    `cosine` (B,N) of hidden faces to other faces, `allowed` the similarity that bare faces have,
    `same` (B,N) marks pairs of one person. Hidden faces must not become alike.
    """
    excess = (cosine - allowed).clamp(min=0).masked_fill(same, 0.0)
    return excess.topk(min(hardest, excess.shape[1]), dim=1).values.square().mean()


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


def balanced_cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy (B,), with half of the weight on each class.

    Most views wear a mask; unbalanced, a bare face would be taken for a masked one in doubt.
    """
    share = target.mean().clamp(1 / len(target), 1 - 1 / len(target))
    weight = torch.where(target > 0.5, 0.5 / share, 0.5 / (1 - share))
    return F.binary_cross_entropy_with_logits(logit, target, weight)


def _mean_of(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1)


# Similarity of faces of two people that the alikeness loss leaves alone.
_ALIKE = 0.15


class Criterion(nn.Module):
    """All losses of a step, with the identity centres, the adversary and the teacher bank."""

    def __init__(
        self,
        weights: LossWeights,
        embedding: int,
        variant: str,
        identities: int,
        bank: TeacherBank | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights
        self.variant = VARIANTS[variant]
        self.adversary = Adversary(embedding) if weights.adversary > 0 else None
        self.arcface = ArcFace(identities, embedding) if weights.arcface > 0 else None
        # Not part of checkpoints: it is computed from the data.
        self.bank: Tensor | None
        self.bank_label: Tensor | None
        embeddings, labels = (None, None) if bank is None else (bank.embeddings, bank.label)
        self.register_buffer("bank", embeddings, persistent=False)
        self.register_buffer("bank_label", labels, persistent=False)

    def forward(
        self, out: Output, heads: HiddenFaceHeads, batch: Batch, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its parts; `progress` 0..1 scales the adversary from zero."""
        w = self.weights
        parts = self._identity(out, batch)
        if w.mask > 0:
            # The other covers too, so that A_m localizes them.
            parts["mask"] = w.mask * balanced_cross_entropy(out.mask_logit, batch.mask_worn)
            parts["covered"] = w.mask * balanced_cross_entropy(out.cover_logit, batch.covered)
        if self.adversary is not None:
            strength = w.adversary * (2 / (1 + math.exp(-10 * progress)) - 1)
            guess = self.adversary(out.embedding, strength)
            parts["adversary"] = F.binary_cross_entropy_with_logits(guess, batch.mask_worn)
        if self.variant.background_map:
            parts |= self._background(out, heads, batch)
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
            own = (student * teacher).sum(dim=1)
            parts["distil"] = w.distil * (1 - own).mean()
            parts["relation"] = w.relation * relation_loss(student, teacher)
            deployed = F.normalize(out.deployed[taught])
            parts["similarity"] = w.similarity * F.mse_loss(
                out.similarity[taught], (deployed * teacher).sum(dim=1).clamp(min=0)
            )
            if self.bank is not None:
                parts |= self._against_bank(student, teacher, batch, taught)
        if self.arcface is not None:
            parts["arcface"] = w.arcface * self.arcface(unit, batch.label)
        return parts

    def _same_person(self, batch: Batch, rows: Tensor) -> Tensor:
        assert self.bank is not None and self.bank_label is not None
        bank = TeacherBank(self.bank, self.bank_label)
        return bank.same_person(batch.label[rows], batch.bank_row[rows])

    def _against_bank(
        self, student: Tensor, teacher: Tensor, batch: Batch, taught: Tensor
    ) -> dict[str, Tensor]:
        w, bank = self.weights, self.bank
        assert bank is not None
        parts: dict[str, Tensor] = {}
        if w.neighbours > 0:
            parts["neighbours"] = w.neighbours * neighbour_loss(student, teacher, bank)
        if w.match > 0 or w.alikeness > 0:
            cosine, same = student @ bank.T, self._same_person(batch, taught)
            if w.match > 0:
                parts["match"] = w.match * match_loss(cosine, batch.bank_row[taught], same)
            if w.alikeness > 0:
                with torch.no_grad():
                    allowed = (teacher @ bank.T).clamp(min=_ALIKE)
                parts["alike"] = w.alikeness * alikeness_loss(cosine, allowed, same)
        return parts

    def _background(self, out: Output, heads: HiddenFaceHeads, batch: Batch) -> dict[str, Tensor]:
        w = self.weights
        # The background must not decide: cross-entropy to one half, whose minimum is ln 2.
        guesses = torch.stack(heads.classify(out.background_features.float()))
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
        self,
        network: Network,
        criterion: Criterion,
        group: ProcessGroup,
        autocast: bool,
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
            for name in ("target", "label", "mask_worn", "covered", "bank_row")
        }
        loss, parts = self.criterion(
            everywhere, self.network.heads, Batch(chips=batch.chips, **facts), progress
        )
        return loss, parts, everywhere.attention.detach().mean(dim=(0, 2, 3))
