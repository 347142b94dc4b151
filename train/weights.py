"""Read networks from checkpoints and .safetensors weights; neither executes code."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from edge.errors import ConfigError
from edge.system.strict_json import read_json
from train.network import MfsaNetwork, NetworkConfig
from train.routed import EncoderOrigin, Network, RoutedConfig, RoutedNetwork


def read_torch_file(path: Path) -> Any:
    """Return the tensors and plain values of a file; torch raises many types for other files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle protocol; such files are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint, tensors and plain values only; raises ConfigError."""
    try:
        state = read_torch_file(path)
    except Exception as error:  # torch raises many types for invalid files
        raise ConfigError(
            f"{path}: not a readable checkpoint of mfsa-train ({type(error).__name__}); "
            "name another file, or remove it and start again"
        ) from error
    missing = {"network", "student", "seen", "best", "recipe"} - set(
        state if isinstance(state, dict) else ()
    )
    if missing:
        raise ConfigError(
            f"{path}: expected a checkpoint of mfsa-train, missing {', '.join(sorted(missing))}"
        )
    return dict(state)


_ENCODER = "encoder_onnx"  # the frozen encoder, an ONNX file's content as bytes


def load_network(path: Path) -> Network:
    """Load the network of a checkpoint or .safetensors file in eval mode; raises ConfigError."""
    if path.suffix == ".safetensors":
        fields, weights = _read_weights(path)
        encoder = weights.pop(_ENCODER, None)
    else:
        state = load_checkpoint(path)
        prefix = "network."
        fields, student = state["network"], state["student"]
        encoder = state.get(_ENCODER)
        if not isinstance(student, dict):
            raise ConfigError(f"{path}: not weights written by this project; name another file")
        weights = {k.removeprefix(prefix): v for k, v in student.items() if k.startswith(prefix)}
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: not weights written by this project; name another file")
    network = _build(fields, encoder, path)
    published = {f"base.{k}": v for k, v in _base_state(network).items()} | weights
    try:
        network.load_state_dict(published)
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: weights do not fit the network of this version: {str(error).splitlines()[0]}"
        ) from error
    return network.eval()


def _build(fields: dict[str, Any], encoder: torch.Tensor | None, path: Path) -> Network:
    if encoder is None:
        return MfsaNetwork(network_config(fields, path))
    try:
        config = RoutedConfig(**{**fields, "encoder": EncoderOrigin(**fields["encoder"])})
        return RoutedNetwork(encoder.numpy().tobytes(), config)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: this version cannot build its network: {reason}") from error


def _base_state(network: Network) -> dict[str, torch.Tensor]:
    """Return the frozen weights, which the encoder brings."""
    return network.base.state_dict() if isinstance(network, RoutedNetwork) else {}


def encoder_tensor(network: Network) -> dict[str, torch.Tensor]:
    """Return the encoder of a routed network as a tensor for checkpoints; empty for others."""
    if not isinstance(network, RoutedNetwork):
        return {}
    return {_ENCODER: torch.frombuffer(bytearray(network.encoder), dtype=torch.uint8)}


def network_config(fields: dict[str, Any], path: Path) -> NetworkConfig:
    """Return the network config of a file; raises ConfigError if this version cannot build it."""
    try:
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
        }
        return NetworkConfig(**plain)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: this version cannot build its network: {error}") from error


def save_weights(network: Network, path: Path) -> None:
    """Save half-precision weights, small enough to publish; an encoder is kept as it is."""
    halves = {
        k: (v.half() if v.is_floating_point() else v).contiguous()
        for k, v in network.state_dict().items()
        if not k.startswith("base.")
    }
    save_file(
        halves | encoder_tensor(network),
        path,
        metadata={"network": json.dumps(network.config.as_dict())},
    )


def _read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            fields = read_json((file.metadata() or {})["network"])
        return fields, {
            k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()
        }
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{path}: not weights written by this project ({type(error).__name__}: {error})"
        ) from error
