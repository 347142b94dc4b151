"""Build public encoders from their state dicts, by the names and shapes of the weights alone.

Known are the IResNet and MobileFaceNet of arcface_torch (InsightFace) and the IR networks of
AdaFace and face.evoLVe. Written from the published layouts; no code of theirs is used.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor, nn

from edge.errors import ConfigError
from train.weights import read_torch_file

State = dict[str, Tensor]


def load_state(path: Path) -> State:
    """Return the weights of a checkpoint, without prefixes; raises ConfigError.

    Accepts a bare state dict, or one below "state_dict", "state_dict_backbone" or "model".
    """
    try:
        read = read_torch_file(path)
    except Exception as error:  # torch raises many types for invalid files
        if _has_objects(path, error):
            raise ConfigError(
                f"{path}: contains pickled objects, which can run code; "
                "save the weights alone: torch.save(module.state_dict(), FILE)"
            ) from error
        raise ConfigError(
            f"{path}: not a readable file of torch ({type(error).__name__}); "
            "download or export it again"
        ) from error
    for key in ("state_dict_backbone", "state_dict", "model"):
        if isinstance(read, dict) and isinstance(read.get(key), dict):
            read = read[key]
            break
    if not isinstance(read, dict) or not all(isinstance(v, Tensor) for v in read.values()):
        raise ConfigError(f"{path}: expected a state dict of tensors, found {type(read).__name__}")
    state = {str(k): v.float() if v.is_floating_point() else v for k, v in read.items()}
    for prefix in ("module.", "model.", "backbone."):
        if any(k.startswith(prefix) for k in state):
            state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return state


def _has_objects(path: Path, error: Exception) -> bool:
    """Return True if a file that torch refused is intact and contains more than tensors."""
    if zipfile.is_zipfile(path):
        return isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error)
    try:
        with path.open("rb") as file:
            if file.read(1) != pickle.PROTO:
                return False
            file.seek(0)
            for _ in pickletools.genops(file):  # reads the operations, runs none
                pass
    except (OSError, ValueError):
        return False
    return isinstance(error, pickle.UnpicklingError)


def build(state: State, name: str) -> tuple[nn.Module, str]:
    """Return the encoder of a state dict in eval mode and its kind; raises ConfigError."""
    for kind, (mark, builder) in _KINDS.items():
        if mark in state:
            try:
                return builder(state).eval(), kind
            except KeyError as error:
                raise ConfigError(
                    f"{name}: looks like {kind}, but a weight is missing: {error.args[0]}"
                ) from error
            # Weights of another rank, or without channels.
            except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
                raise ConfigError(
                    f"{name}: looks like {kind}, but its weights do not fit: "
                    f"{' '.join(str(error).split())}"
                ) from error
    raise ConfigError(
        f"{name}: unknown weights, such as {', '.join(list(state)[:3]) or 'none'}; "
        f"known are {', '.join(_KINDS)}; export another encoder to ONNX"
    )


class _Take:
    """Makes layers from the weights of a state dict and counts which were used."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.unused = {k for k in state if not k.endswith("num_batches_tracked")}

    def _load(self, layer: nn.Module, prefix: str) -> nn.Module:
        own = layer.state_dict()
        found = {
            k: self.state[f"{prefix}.{k}"] for k in own if not k.endswith("num_batches_tracked")
        }
        layer.load_state_dict(found, strict=False)
        self.unused -= {f"{prefix}.{k}" for k in found}
        return layer

    def conv(
        self,
        prefix: str,
        stride: int = 1,
        padding: int | None = None,
        channels: int | None = None,
    ) -> nn.Module:
        """Make a convolution; its groups follow from the `channels` of its input, if given."""
        weight = self.state[f"{prefix}.weight"]
        kernel = weight.shape[2]
        groups = 1 if channels is None else channels // weight.shape[1]
        made = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            kernel,
            stride,
            kernel // 2 if padding is None else padding,
            groups=groups,
            bias=f"{prefix}.bias" in self.state,
        )
        return self._load(made, prefix)

    def norm(self, prefix: str) -> nn.Module:
        return self._load(nn.BatchNorm2d(len(self.state[f"{prefix}.running_mean"])), prefix)

    def last_norm(self, prefix: str) -> nn.Module:
        size = len(self.state[f"{prefix}.running_mean"])
        return self._load(nn.BatchNorm1d(size, affine=f"{prefix}.weight" in self.state), prefix)

    def prelu(self, prefix: str) -> nn.Module:
        return self._load(nn.PReLU(len(self.state[f"{prefix}.weight"])), prefix)

    def linear(self, prefix: str) -> nn.Module:
        weight = self.state[f"{prefix}.weight"]
        bias = f"{prefix}.bias" in self.state
        return self._load(nn.Linear(weight.shape[1], weight.shape[0], bias=bias), prefix)

    def check_all_used(self) -> None:
        if self.unused:
            raise ValueError(f"unexpected weights {', '.join(sorted(self.unused)[:3])}")


class _Sum(nn.Module):
    """Residual block."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


def _numbers(state: State, pattern: str) -> Iterator[int]:
    found = {int(m.group(1)) for k in state if (m := re.match(pattern, k))}
    yield from sorted(found)


def _iresnet(state: State) -> nn.Module:
    """IResNet of arcface_torch: layer1 to layer4, fc, features."""
    take = _Take(state)
    layers = [take.conv("conv1"), take.norm("bn1"), take.prelu("prelu")]
    for stage in range(1, 5):
        for i in _numbers(state, rf"layer{stage}\.(\d+)\."):
            at = f"layer{stage}.{i}"
            shortcut: nn.Module = nn.Identity()
            stride = 1
            if f"{at}.downsample.0.weight" in state:
                stride = 2
                shortcut = nn.Sequential(
                    take.conv(f"{at}.downsample.0", 2), take.norm(f"{at}.downsample.1")
                )
            body = nn.Sequential(
                take.norm(f"{at}.bn1"),
                take.conv(f"{at}.conv1"),
                take.norm(f"{at}.bn2"),
                take.prelu(f"{at}.prelu"),
                take.conv(f"{at}.conv2", stride),
                take.norm(f"{at}.bn3"),
            )
            layers.append(_Sum(body, shortcut))
    layers += [take.norm("bn2"), nn.Flatten(), take.linear("fc"), take.last_norm("features")]
    take.check_all_used()
    return nn.Sequential(*layers)


def _ir(state: State) -> nn.Module:
    """IR network of AdaFace: input_layer, body, output_layer."""
    take = _Take(state)
    layers = [
        take.conv("input_layer.0"),
        take.norm("input_layer.1"),
        take.prelu("input_layer.2"),
    ]
    for i in _numbers(state, r"body\.(\d+)\."):
        at = f"body.{i}"
        body_in = state[f"{at}.res_layer.1.weight"].shape[1]
        body_out = state[f"{at}.res_layer.4.weight"].shape[0]
        # The first block of each stage halves the map; that of the first stage keeps its channels.
        stride = 2 if i == 0 or body_in != body_out else 1
        shortcut: nn.Module
        if f"{at}.shortcut_layer.0.weight" in state:
            shortcut = nn.Sequential(
                take.conv(f"{at}.shortcut_layer.0", stride), take.norm(f"{at}.shortcut_layer.1")
            )
        else:
            shortcut = nn.MaxPool2d(1, stride)
        body = nn.Sequential(
            take.norm(f"{at}.res_layer.0"),
            take.conv(f"{at}.res_layer.1"),
            take.norm(f"{at}.res_layer.2"),
            take.prelu(f"{at}.res_layer.3"),
            take.conv(f"{at}.res_layer.4", stride),
            take.norm(f"{at}.res_layer.5"),
        )
        layers.append(_Sum(body, shortcut))
    layers += [
        take.norm("output_layer.0"),
        nn.Flatten(),
        take.linear("output_layer.3"),
        take.last_norm("output_layer.4"),
    ]
    take.check_all_used()
    return nn.Sequential(*layers)


def _mobilefacenet(state: State) -> nn.Module:
    """MobileFaceNet of arcface_torch: layers, conv_sep, features."""
    take = _Take(state)

    def unit(at: str, channels: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
        made = [
            take.conv(f"{at}.layers.0", stride, padding, channels),
            take.norm(f"{at}.layers.1"),
        ]
        if f"{at}.layers.2.weight" in state:
            made.append(take.prelu(f"{at}.layers.2"))
        return made

    def bottleneck(at: str, channels: int, stride: int) -> nn.Module:
        hidden = state[f"{at}.layers.0.layers.0.weight"].shape[0]
        return nn.Sequential(
            *unit(f"{at}.layers.0", channels),
            *unit(f"{at}.layers.1", hidden, stride, 1),
            *unit(f"{at}.layers.2", hidden),
        )

    def stage(at: str, channels: int) -> list[nn.Module]:
        return [
            _Sum(bottleneck(f"{at}.layers.{i}", channels, 1), nn.Identity())
            for i in _numbers(state, rf"{re.escape(at)}\.layers\.(\d+)\.")
        ]

    layers = unit("layers.0", 3, 2, 1)
    channels = state["layers.0.layers.0.weight"].shape[0]
    if "layers.1.layers.0.weight" in state:
        layers += unit("layers.1", channels, 1, 1)
    else:
        layers += stage("layers.1", channels)
    for down in (2, 4, 6):
        layers.append(bottleneck(f"layers.{down}", channels, 2))
        channels = state[f"layers.{down}.layers.2.layers.0.weight"].shape[0]
        layers += stage(f"layers.{down + 1}", channels)
    layers += unit("conv_sep", channels)
    wide = state["conv_sep.layers.0.weight"].shape[0]
    layers += unit("features.layers.0", wide)
    layers += [
        nn.Flatten(),
        take.linear("features.layers.2"),
        take.last_norm("features.layers.3"),
    ]
    take.check_all_used()
    return nn.Sequential(*layers)


# The name of one weight that only this kind has, and the builder.
_KINDS: dict[str, tuple[str, Callable[[State], nn.Module]]] = {
    "IResNet of arcface_torch": ("layer1.0.bn1.weight", _iresnet),
    "MobileFaceNet of arcface_torch": ("conv_sep.layers.0.weight", _mobilefacenet),
    "IR of AdaFace": ("input_layer.0.weight", _ir),
}
