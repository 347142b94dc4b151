"""Public encoders as their projects write them, narrow, to make state dicts of their form."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class IResBlock(nn.Module):
    """Block of arcface_torch's iresnet."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(into), nn.Conv2d(into, out, 3, 1, 1, bias=False)
        self.bn2, self.prelu = nn.BatchNorm2d(out), nn.PReLU(out)
        self.conv2, self.bn3 = nn.Conv2d(out, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or into != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(out)) + (x if self.downsample is None else self.downsample(x))


class IResNet18(nn.Module):
    def __init__(self, widths: tuple[int, ...] = (8, 8, 12, 12, 16)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1, self.prelu = nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        for i in range(4):
            blocks = [IResBlock(widths[i], widths[i + 1], 2)]
            blocks.append(IResBlock(widths[i + 1], widths[i + 1], 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.bn2, self.dropout = nn.BatchNorm2d(widths[-1]), nn.Dropout(0.4)
        self.fc, self.features = nn.Linear(widths[-1] * 49, 32), nn.BatchNorm1d(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.features(self.fc(torch.flatten(self.dropout(self.bn2(x)), 1)))


class ConvBlock(nn.Module):
    """Convolution and norm of arcface_torch's mobilefacenet, with PReLU if `act`."""

    def __init__(self, into: int, out: int, size: int = 1, act: bool = True, **given: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(into, out, size, bias=False, **given), nn.BatchNorm2d(out)]
        self.layers = nn.Sequential(*layers, *([nn.PReLU(out)] if act else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class DepthWise(nn.Module):
    def __init__(self, into: int, out: int, groups: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            ConvBlock(into, groups),
            ConvBlock(groups, groups, 3, stride=stride, padding=1, groups=groups),
            ConvBlock(groups, out, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Residual(nn.Module):
    def __init__(self, channels: int, blocks: int, groups: int) -> None:
        super().__init__()
        made = [DepthWise(channels, channels, groups, 1, True) for _ in range(blocks)]
        self.layers = nn.Sequential(*made)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GDC(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(channels, channels, 7, act=False, groups=channels),
            nn.Flatten(),
            nn.Linear(channels, 32, bias=False),
            nn.BatchNorm1d(32),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MobileFaceNet(nn.Module):
    """mbf if `blocks` begins with 1, mbf_large otherwise."""

    def __init__(self, blocks: tuple[int, ...] = (1, 2, 2, 1), c: int = 8) -> None:
        super().__init__()
        first = (
            ConvBlock(c, c, 3, padding=1, groups=c // 2)
            if blocks[0] == 1
            else Residual(c, blocks[0], c)
        )
        self.layers = nn.ModuleList(
            [
                ConvBlock(3, c, 3, stride=2, padding=1),
                first,
                DepthWise(c, c, 2 * c, 2, False),
                Residual(c, blocks[1], 2 * c),
                DepthWise(c, 2 * c, 4 * c, 2, False),
                Residual(2 * c, blocks[2], 4 * c),
                DepthWise(2 * c, 2 * c, 8 * c, 2, False),
                Residual(2 * c, blocks[3], 4 * c),
            ]
        )
        self.conv_sep, self.features = ConvBlock(2 * c, 4 * c), GDC(4 * c)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.features(self.conv_sep(x))


class IRBlock(nn.Module):
    """Block of AdaFace's and face.evoLVe's IR networks."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if into == out
            else nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(into),
            nn.Conv2d(into, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.PReLU(out),
            nn.Conv2d(out, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class IR18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8)
        )
        steps = [(8, 8, 2), (8, 8, 1), (8, 12, 2), (12, 12, 1), (12, 16, 2), (16, 16, 1)]
        self.body = nn.Sequential(*(IRBlock(*s) for s in [*steps, (16, 24, 2), (24, 24, 1)]))
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(24),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(24 * 49, 32),
            nn.BatchNorm1d(32, affine=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.output_layer(self.body(self.input_layer(x)))


def randomize(network: nn.Module) -> nn.Module:
    """Return the network in eval mode with weights and statistics that all differ."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point() and value.ndim == 1:
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return network.eval()
