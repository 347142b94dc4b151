"""MFSA network: a backbone cut at 14x14, three attention maps, and the heads.

After the abstract and a review of Y. Cho et al., "Localization using Multi-Focal Spatial Attention
for Masked Face Recognition", arXiv 2305.01905 (IEEE FG 2023); other choices are ours
(docs/method.md).

    chip (B,3,112,112) -> stem -> F (B,C,14,14) -> attention (B,3,14,14): unmasked, mask, background
    A_u * F  -> tail -> embedding (B,D)            the only path into the identity
    A_m * F  -> GAP  -> mask worn? other cover?    kept at inference
    A_b * F  -> GAP  -> the same heads, which must not be able to decide (training only)
    embedding, A_u * F -> expected similarity to the embedding of the clear face (B,)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.backbones import BACKBONES, conv_unit

UNMASKED, MASK, BACKGROUND = 0, 1, 2


@dataclass(frozen=True)
class Variant:
    """Maps of an attention variant, and the number of logits."""

    logits: int
    mask_map: bool  # True if the mask head reads an A_m or a complement
    background_map: bool


VARIANTS = {
    "none": Variant(0, False, False),  # baseline: the same network and masks, A_u = 1
    "sa": Variant(1, False, False),  # A_u = sigmoid
    "cal": Variant(1, True, False),  # A_u = sigmoid, and its complement reads the mask
    "mfsa": Variant(3, True, True),  # softmax over three maps
    "mfsa-product": Variant(2, True, True),  # A_m, A_b = sigmoid, A_u = (1 - A_m)(1 - A_b)
}


@dataclass(frozen=True)
class NetworkConfig:
    """Parameters that rebuild a network; stored in every checkpoint.

    Empty widths and blocks stand for the defaults of the backbone.
    """

    encoder: str = "mbf"
    variant: str = "mfsa"
    embedding: int = 256
    widths: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    activation: str = "relu"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("encoder", BACKBONES),
            ("variant", VARIANTS),
            ("activation", ("relu", "prelu")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}: expected one of {', '.join(allowed)}, found {getattr(self, name)!r}"
                )
        spec = BACKBONES[self.encoder]
        for name in ("widths", "blocks"):
            value = tuple(getattr(self, name)) or getattr(spec, name)
            least = {"widths": 8, "blocks": spec.fewest_blocks}[name]
            if len(value) != 4 or min(value) < least:
                raise ValueError(
                    f"{name}: expected four numbers of {least} or more, at 56x56, 28x28, 14x14 and "
                    f"7x7, found {value}"
                )
            object.__setattr__(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Output(NamedTuple):
    """Outputs of one forward pass: logits and raw embedding, for all losses."""

    embedding: Tensor  # (B, D), not normalised
    attention: Tensor  # (B, 3, 14, 14) in 0..1; zeros for maps that the variant lacks
    mask_features: Tensor  # (B, C), mean of A_m * F
    background_features: Tensor  # (B, C), mean of A_b * F
    mask_logit: Tensor  # (B,), from mask_features
    cover_logit: Tensor  # (B,), from mask_features: another object covers the face
    similarity: Tensor  # (B,) 0..1, expected cosine to the embedding of the clear face
    deployed: Tensor  # (B, D), the embedding of a deployed network, without a gradient


def pool_features(features: Tensor, maps: Tensor, which: int) -> Tensor:
    """Return the mean of a map times the features (B,C), not divided by the map's area."""
    return (maps[:, which : which + 1].to(features.dtype) * features).mean(dim=(2, 3))


def mask_head_input(features: Tensor, maps: Tensor, variant: Variant) -> Tensor:
    """Return what the mask and cover heads read (B,C): the mean of A_m * F.

    Without A_m it is the mean of all features, without a gradient to the backbone.
    """
    if variant.mask_map:
        return pool_features(features, maps, MASK)
    return features.detach().mean(dim=(2, 3))


def initialise_convolutions(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def unit_maps(features: Tensor) -> Tensor:
    """Return the maps (B,3,H,W) of a network without attention: A_u = 1."""
    one = torch.ones_like(features[:, :1]).float()
    return torch.cat([one, torch.zeros_like(one), torch.zeros_like(one)], dim=1)


class HiddenFaceHeads(nn.Module):
    """Heads that describe how much of a face is hidden."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.mask = self._head(channels)
        self.cover = self._head(channels)
        self.similarity = self._head(embedding + channels)

    @staticmethod
    def _head(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))

    def classify(self, mask_features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B,) of "a mask is worn" and "another object covers the face"."""
        return (
            self.mask(mask_features).float().squeeze(1),
            self.cover(mask_features).float().squeeze(1),
        )

    def predict_similarity(self, embedding: Tensor, unmasked_features: Tensor) -> Tensor:
        """Return the expected cosine (B,) in 0..1 to the embedding of the clear face.

        It reads the embedding (B,D), not normalised, and the mean of A_u * F (B,C), without a
        gradient to the network. A. Kendall and Y. Gal, "What Uncertainties Do We Need in Bayesian
        Deep Learning for Computer Vision?", NIPS 2017, predict the error in the same way.
        """
        read = torch.cat([embedding.detach(), unmasked_features.detach()], dim=1)
        guess: Tensor = self.similarity(read).float().squeeze(1).sigmoid()
        return guess


class SpatialAttention(nn.Module):
    """g(F): 1x1 to C/8, 1x1 to the logits of the variant, then the maps (B,3,14,14)."""

    def __init__(self, channels: int, variant: str, act: str) -> None:
        super().__init__()
        self.variant = variant
        self.squeeze = conv_unit(channels, channels // 8, 1, act=act)
        self.maps = nn.Conv2d(channels // 8, VARIANTS[variant].logits, 1)

    def initialise_open(self) -> None:
        """Initialise near A_u = 0.9 everywhere: gating must not shrink the features at first."""
        nn.init.zeros_(self.maps.weight)
        bias = {
            "sa": [math.log(9)],
            "cal": [math.log(9)],
            "mfsa": [math.log(0.9), math.log(0.05), math.log(0.05)],
            "mfsa-product": [math.log(1 / math.sqrt(0.9) - 1)] * 2,
        }
        with torch.no_grad():
            assert self.maps.bias is not None  # Conv2d has one by default
            self.maps.bias.copy_(torch.tensor(bias[self.variant]))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.maps(self.squeeze(features)).float()
        if self.variant == "mfsa":
            return logits.softmax(dim=1)
        gates = logits.sigmoid()
        first = gates[:, :1]
        if self.variant == "mfsa-product":
            return torch.cat([(1 - first) * (1 - gates[:, 1:]), gates], dim=1)
        complement = 1 - first if self.variant == "cal" else torch.zeros_like(first)
        return torch.cat([first, complement, torch.zeros_like(first)], dim=1)


class MfsaNetwork(nn.Module):
    """Network from chips (B,3,112,112), RGB in -1..1, to `Output`."""

    def __init__(self, config: NetworkConfig = NetworkConfig()) -> None:
        super().__init__()
        self.config = config
        self.variant = VARIANTS[config.variant]
        self.stem, self.tail, channels, low = BACKBONES[config.encoder].build(
            config.widths, config.blocks, config.embedding, config.activation
        )
        self._low, self._frozen = low, False
        self.attention = (
            SpatialAttention(channels, config.variant, config.activation)
            if self.variant.logits
            else None
        )
        self.heads = HiddenFaceHeads(channels, config.embedding)
        initialise_convolutions(self)
        if self.attention is not None:
            self.attention.initialise_open()

    def forward(self, chip: Tensor) -> Output:
        features = self.stem(chip)
        maps = unit_maps(features) if self.attention is None else self.attention(features)
        seen = maps[:, UNMASKED : UNMASKED + 1].to(features.dtype) * features
        mask_features = mask_head_input(features, maps, self.variant)
        embedding = self.tail(seen).float()
        return Output(
            embedding,
            maps,
            mask_features,
            pool_features(features, maps, BACKGROUND),
            *self.heads.classify(mask_features),
            self.heads.predict_similarity(embedding, pool_features(features, maps, UNMASKED)),
            embedding.detach(),
        )

    def freeze(self) -> None:
        """Freeze the layers before 14x14, which take half of the time of a step."""
        self._frozen = True
        self.stem[: self._low].requires_grad_(False).eval()

    def train(self, mode: bool = True) -> MfsaNetwork:
        super().train(mode)
        if self._frozen:
            self.stem[: self._low].eval()
        return self


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grad, None


class Adversary(nn.Module):
    """Mask classifier on the embedding with gradient reversal: the embedding hides the mask.

    Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", 2015.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(embedding, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))

    def forward(self, embedding: Tensor, strength: float) -> Tensor:
        unit = F.normalize(embedding)
        reversed_unit = _Reverse.apply(unit, strength)  # type: ignore[no-untyped-call]
        guess: Tensor = self.head(reversed_unit).squeeze(1)
        return guess


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
