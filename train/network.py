"""The whole MFSA network: MobileFaceNet cut after its 14x14 stage, three attention maps, the rest of the encoder, heads.

Follows what the abstract and a review of Y. Cho et al., "Localization using Multi-Focal Spatial Attention for Masked
Face Recognition", arXiv 2305.01905 (IEEE FG 2023) tell; where they are silent the choices are ours (docs/method.md).

    chip (B,3,112,112) -> stem -> F (B,C,14,14) -> attention (B,3,14,14): unmasked face, mask, background
    A_u * F  -> tail -> embedding (B,D)            the only path into the identity
    A_m * F  -> GAP  -> is a mask worn? (B,)       kept at inference
    A_b * F  -> GAP  -> the same head, which must not be able to tell (training only)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

UNMASKED, MASK, BACKGROUND = 0, 1, 2


@dataclass(frozen=True)
class NetworkConfig:
    """What rebuilds a network; stored in every checkpoint.

    `widths` are the channels at 56x56, 28x28, 14x14 and 7x7, `blocks` the residual blocks at 28, 14 and 7. The public
    `mbf` has (128, 128, 256, 256) and (4, 6, 2); the default spends less where the maps are large.
    """

    embedding: int = 256
    widths: tuple[int, int, int, int] = (64, 128, 256, 256)
    blocks: tuple[int, int, int] = (2, 6, 2)
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.activation not in ("relu", "prelu"):
            raise ValueError(f"activation: expected 'relu' or 'prelu', found {self.activation!r}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> NetworkConfig:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


class Output(NamedTuple):
    """One forward pass; logits and raw embedding, so that each loss takes what it needs."""

    embedding: Tensor  # (B, D), not normalised: the unit norm is taken outside the graph
    attention: Tensor  # (B, 3, 14, 14), sums to 1 over the three maps
    mask_logit: Tensor  # (B,), from A_m * F
    background_logit: Tensor  # (B,), the same head on A_b * F


class Convolution(nn.Conv2d):
    """A convolution whose strided depthwise form trains fast on CPUs: oneDNN's gradient of it is ten times slower than
    that of the dense one, which gives the same numbers where every second one is dropped."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.groups > 1 and self.stride != (1, 1) and x.device.type == "cpu":
            full = F.conv2d(x, self.weight, None, 1, self.padding, groups=self.groups)
            return full[:, :, :: self.stride[0], :: self.stride[1]]
        return super().forward(x)


def conv_unit(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, act: str | None = "relu") -> nn.Sequential:
    layers: list[nn.Module] = [
        Convolution(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    if act == "relu":
        layers.append(nn.ReLU(inplace=True))
    elif act == "prelu":
        layers.append(nn.PReLU(c_out))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1 without activation (MobileNetV2); residual where shapes allow."""

    def __init__(self, c_in: int, c_out: int, hidden: int, stride: int, act: str) -> None:
        super().__init__()
        self.residual = stride == 1 and c_in == c_out
        self.body = nn.Sequential(
            conv_unit(c_in, hidden, 1, act=act),
            conv_unit(hidden, hidden, 3, stride, groups=hidden, act=act),
            conv_unit(hidden, c_out, 1, act=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class SpatialAttention(nn.Module):
    """g(F): 1x1 to C/8, 1x1 to three maps, softmax over them, so that A_u = 1 - (A_m + A_b)."""

    def __init__(self, channels: int, act: str) -> None:
        super().__init__()
        self.squeeze = conv_unit(channels, channels // 8, 1, act=act)
        self.maps = nn.Conv2d(channels // 8, 3, 1)
        nn.init.zeros_(self.maps.weight)
        with torch.no_grad():  # start near "everything is face": gating must not shrink the features at first
            self.maps.bias.copy_(torch.tensor([math.log(0.9), math.log(0.05), math.log(0.05)]))

    def forward(self, features: Tensor) -> Tensor:
        return self.maps(self.squeeze(features)).float().softmax(dim=1)


class MfsaNetwork(nn.Module):
    """Chip (B,3,112,112), RGB in -1..1, to `Output`."""

    def __init__(self, config: NetworkConfig = NetworkConfig()) -> None:
        super().__init__()
        self.config = config
        c56, c28, c14, c7 = config.widths
        n28, n14, n7 = config.blocks
        act = config.activation
        self.stem = nn.Sequential(
            conv_unit(3, c56, 3, 2, act=act),
            conv_unit(c56, c56, 3, groups=c56, act=act),
            Bottleneck(c56, c28, c56, 2, act),
            *(Bottleneck(c28, c28, c28, 1, act) for _ in range(n28)),
            Bottleneck(c28, c14, c28, 2, act),
            *(Bottleneck(c14, c14, c14, 1, act) for _ in range(n14)),
        )
        self.attention = SpatialAttention(c14, act)
        self.tail = nn.Sequential(
            Bottleneck(c14, c7, 2 * c7, 2, act),
            *(Bottleneck(c7, c7, c7, 1, act) for _ in range(n7)),
            conv_unit(c7, 512, 1, act=act),
            nn.Conv2d(512, 512, 7, groups=512, bias=False),  # one learned 7x7 weight per channel in place of pooling
            nn.BatchNorm2d(512),
            nn.Flatten(),
            nn.Linear(512, config.embedding, bias=False),
            nn.BatchNorm1d(config.embedding),
        )
        self.mask_head = nn.Linear(c14, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.attention.maps:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, chip: Tensor) -> Output:
        features = self.stem(chip)
        maps = self.attention(features)
        gate = maps.to(features.dtype)
        embedding = self.tail(gate[:, UNMASKED : UNMASKED + 1] * features)
        return Output(
            embedding.float(),
            maps,
            self.read_mask(gate[:, MASK : MASK + 1] * features),
            self.read_mask(gate[:, BACKGROUND : BACKGROUND + 1] * features),
        )

    def read_mask(self, gated: Tensor) -> Tensor:
        """Logit of "a mask is worn" from gated features (B,C,14,14); a plain mean, never divided by the map's area."""
        return self.mask_head(gated.mean(dim=(2, 3))).float().squeeze(1)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grad, None


class Adversary(nn.Module):
    """Tries to tell from the embedding whether a mask is worn; its reversed gradient teaches the embedding not to say.

    Gradient reversal of Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", 2015.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(embedding, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))

    def forward(self, embedding: Tensor, strength: float) -> Tensor:
        unit = F.normalize(embedding)
        return self.head(_Reverse.apply(unit, strength)).squeeze(1)


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
