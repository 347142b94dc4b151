"""Backbones, each cut into a stem up to 14x14 and a tail from there to the embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F


class Backbone(NamedTuple):
    """Backbone: `stem` maps chips (B,3,112,112) to features (B,channels,14,14), `tail` to (B,D).

    The first `low` modules of the stem work on maps larger than 14x14.
    """

    stem: nn.Sequential
    tail: nn.Sequential
    channels: int
    low: int


class BackboneSpec(NamedTuple):
    """Builder of a backbone with its default sizes.

    `widths` are the channels at 56x56, 28x28, 14x14 and 7x7, `blocks` the residual blocks there.
    """

    build: Callable[[tuple[int, ...], tuple[int, ...], int, str], Backbone]
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    fewest_blocks: int


class Convolution(nn.Conv2d):
    """Convolution whose strided depthwise form trains fast on CPUs.

    oneDNN's gradient of a strided depthwise convolution is ten times slower than that of the dense
    one; dropping every second value of the dense one gives the same result.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.groups > 1 and self.stride != (1, 1) and x.device.type == "cpu":
            full = F.conv2d(x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups)
            return full[:, :, :: self.stride[0], :: self.stride[1]]
        return super().forward(x)


def activation(kind: str, channels: int) -> nn.Module:
    return nn.ReLU(inplace=True) if kind == "relu" else nn.PReLU(channels)


def conv_unit(
    c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, act: str | None = "relu"
) -> nn.Sequential:
    layers: list[nn.Module] = [
        Convolution(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    if act is not None:
        layers.append(activation(act, c_out))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Bottleneck of MobileNetV2: expand 1x1, depthwise 3x3, project 1x1, optional residual."""

    def __init__(self, c_in: int, c_out: int, hidden: int, stride: int, act: str) -> None:
        super().__init__()
        self.residual = stride == 1 and c_in == c_out
        self.body = nn.Sequential(
            conv_unit(c_in, hidden, 1, act=act),
            conv_unit(hidden, hidden, 3, stride, groups=hidden, act=act),
            conv_unit(hidden, c_out, 1, act=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.residual else out

    def start_as_identity(self) -> None:
        """Set the scale of the last norm to zero: only the residual path is left at first."""
        for module in self.body[-1].modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.zeros_(module.weight)


def mobilefacenet(
    widths: tuple[int, ...], blocks: tuple[int, ...], embedding: int, act: str
) -> Backbone:
    """Build MobileFaceNet: S. Chen et al., "MobileFaceNets", 2018.

    The public `mbf` has widths (128,128,256,256) and blocks (0,4,6,2). The default uses less on
    large maps.
    """
    c56, c28, c14, c7 = widths
    n56, n28, n14, n7 = blocks
    stem = nn.Sequential(
        conv_unit(3, c56, 3, 2, act=act),
        conv_unit(c56, c56, 3, groups=c56, act=act),
        *(Bottleneck(c56, c56, c56, 1, act) for _ in range(n56)),
        Bottleneck(c56, c28, c56, 2, act),
        *(Bottleneck(c28, c28, c28, 1, act) for _ in range(n28)),
        Bottleneck(c28, c14, c28, 2, act),
        *(Bottleneck(c14, c14, c14, 1, act) for _ in range(n14)),
    )
    tail = nn.Sequential(
        Bottleneck(c14, c7, 2 * c7, 2, act),
        *(Bottleneck(c7, c7, c7, 1, act) for _ in range(n7)),
        conv_unit(c7, 512, 1, act=act),
        # One learned 7x7 weight per channel instead of pooling.
        nn.Conv2d(512, 512, 7, groups=512, bias=False),
        nn.BatchNorm2d(512),
        nn.Flatten(),
        nn.Linear(512, embedding, bias=False),
        nn.BatchNorm1d(embedding),
    )
    return Backbone(stem, tail, c14, 3 + n56 + n28)


class ResidualUnit(nn.Module):
    """Block of IResNet: norm, 3x3, norm, activation, 3x3, norm; no activation after the sum."""

    def __init__(self, c_in: int, c_out: int, stride: int, act: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
            activation(act, c_out),
            nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.body(x)
        return out


def iresnet(widths: tuple[int, ...], blocks: tuple[int, ...], embedding: int, act: str) -> Backbone:
    """Build IResNet as ArcFace trains it, for 112x112: I. C. Duta et al., "Improved Residual
    Networks", 2020.
    """

    def stage(c_in: int, c_out: int, count: int) -> list[nn.Module]:
        return [
            ResidualUnit(c_in, c_out, 2, act),
            *(ResidualUnit(c_out, c_out, 1, act) for _ in range(count - 1)),
        ]

    c56, c28, c14, c7 = widths
    n56, n28, n14, n7 = blocks
    stem = nn.Sequential(
        conv_unit(3, c56, 3, act=act),
        *stage(c56, c56, n56),
        *stage(c56, c28, n28),
        *stage(c28, c14, n14),
    )
    tail = nn.Sequential(
        *stage(c14, c7, n7),
        nn.BatchNorm2d(c7),
        nn.Flatten(),
        nn.Linear(c7 * 7 * 7, embedding),
        nn.BatchNorm1d(embedding),
    )
    return Backbone(stem, tail, c14, 1 + n56 + n28)


BACKBONES = {
    "mbf": BackboneSpec(mobilefacenet, (64, 128, 256, 256), (0, 2, 6, 2), 0),
    "ir18": BackboneSpec(iresnet, (64, 128, 256, 512), (2, 2, 2, 2), 1),
}
