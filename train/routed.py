"""Routed MFSA network: a frozen encoder and a trained branch for masked faces.

    chip (B,3,112,112) -> low -> G (B,C,14,14) -> middle -> F (B,C',14,14) -> top -> e_bare
                                 |                 g(F): A_u, A_m, A_b (B,3,14,14)
                                 A_u * G -> branch (trained copy of middle and top) -> e_masked
                                                   A_m * F -> GAP -> mask worn? other cover?
                                                   A_b * F -> GAP -> the same heads (training)
    embedding = e_masked if a mask is worn, else e_bare (`bare_from`)

Bare faces keep the embedding of the encoder, bit for bit. The templates of the encoder are the
targets of the branch, so both embeddings are compared with the same gallery. With
`bare_from: branch` the branch embeds all faces: one fine-tuned network, to compare with.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edge.chip import SIZE
from train.backbones import Bottleneck
from train.batch_norms import add_batch_norms, fit_batch_norms
from train.encoders.cut import split
from train.encoders.onnx_to_torch import read_encoder
from train.network import (
    BACKGROUND,
    UNMASKED,
    VARIANTS,
    HiddenFaceHeads,
    MfsaNetwork,
    Output,
    SpatialAttention,
    initialise_convolutions,
    mask_head_input,
    pool_features,
    unit_maps,
)

BareFrom = Literal["encoder", "branch"]


@dataclass(frozen=True)
class EncoderOrigin:
    """Where an encoder comes from; stored with every network that is built around it."""

    kind: str  # file format or architecture
    sha256: str  # of the file that was opened
    convention: str  # of its own input
    licence: str
    origin: str  # who published it, and where


@dataclass(frozen=True)
class RoutedConfig:
    """Parameters that rebuild a routed network around its encoder; stored in every checkpoint.

    `gate_at` names the node of the encoder whose features G are gated, `attend_at` the node whose
    features F the attention reads; both are at 14x14.
    """

    gate_at: str
    attend_at: str
    channels: int  # of F
    embedding: int
    encoder: EncoderOrigin
    variant: str = "mfsa"
    added_blocks: int = 0  # residual blocks at 14x14 that the branch has in addition
    bare_from: BareFrom = "encoder"  # part that embeds faces without a mask

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(
                f"variant: expected one of {', '.join(VARIANTS)}, found {self.variant!r}"
            )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class _Base(nn.Module):
    """Frozen encoder in three parts: before G, from G to F, and from F to the embedding."""

    def __init__(self, low: nn.Module, middle: nn.Module, top: nn.Module) -> None:
        super().__init__()
        self.low, self.middle, self.top = low, middle, top
        self.requires_grad_(False)


class RoutedNetwork(nn.Module):
    """Network from chips (B,3,112,112), RGB in -1..1, to `Output`.

    In training mode the embedding is that of the branch, whatever the face wears. The expected
    similarity is always that of the deployed embedding.
    """

    def __init__(self, encoder: bytes, config: RoutedConfig) -> None:
        """Build the network around an encoder, an ONNX file's content; raises ConfigError."""
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.variant = VARIANTS[config.variant]
        low, middle, top = split(read_encoder(encoder), [config.gate_at, config.attend_at])
        self.base = _Base(low, middle, top)
        self.attention = (
            SpatialAttention(config.channels, config.variant, "relu")
            if self.variant.logits
            else None
        )
        added = [
            Bottleneck(config.channels, config.channels, 2 * config.channels, 1, "relu")
            for _ in range(config.added_blocks)
        ]
        for block in added:
            block.start_as_identity()
        first, last = copy.deepcopy(middle), copy.deepcopy(top)
        with torch.no_grad():
            gated = low(torch.zeros(1, 3, SIZE, SIZE))
            add_batch_norms(first, gated)
            add_batch_norms(last, middle(gated))
        self.branch = nn.Sequential(first, *added, last)
        self.branch.requires_grad_(True)
        self.heads = HiddenFaceHeads(config.channels, config.embedding)
        if self.attention is not None:
            initialise_convolutions(self.attention)
            self.attention.initialise_open()

    def train(self, mode: bool = True) -> RoutedNetwork:
        super().train(mode)
        self.base.eval()
        return self

    @torch.no_grad()
    def fit_branch(self, chips: Tensor) -> None:
        """Set the statistics of the branch's norms from chips (N,3,112,112), before training."""
        was_training = self.training
        self.eval()
        fit_batch_norms(
            self.branch,
            lambda: [self.branch(self.base.low(part)) for part in torch.split(chips, 32)],
        )
        self.train(was_training)

    @staticmethod
    def is_mask_worn(mask_logit: Tensor) -> Tensor:
        """Return True (B,) for faces that the branch embeds.

        Terminals use the threshold for masked faces from the same probability on, 0.5.
        """
        return mask_logit > 0

    def forward(self, chip: Tensor) -> Output:
        with torch.no_grad():
            gated = self.base.low(chip)
            features = self.base.middle(gated)
        maps = unit_maps(features) if self.attention is None else self.attention(features)
        seen = maps[:, UNMASKED : UNMASKED + 1].to(gated.dtype) * gated
        embedding = self.branch(seen).float()
        mask_features = mask_head_input(features, maps, self.variant)
        mask_logit, cover_logit = self.heads.classify(mask_features)
        deployed = embedding
        if self.config.bare_from == "encoder":
            worn = self.is_mask_worn(mask_logit)[:, None]
            deployed = torch.where(worn, embedding, self.base.top(features).float())
        similarity = self.heads.predict_similarity(
            deployed, pool_features(features, maps, UNMASKED)
        )
        return Output(
            embedding if self.training else deployed,
            maps,
            mask_features,
            pool_features(features, maps, BACKGROUND),
            mask_logit,
            cover_logit,
            similarity,
            deployed.detach(),
        )


Network = MfsaNetwork | RoutedNetwork
