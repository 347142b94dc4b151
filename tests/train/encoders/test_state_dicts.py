from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edge.errors import ConfigError
from tests.train.encoders.networks import IR18, IResNet18, MobileFaceNet, randomize
from train.encoders.state_dicts import build, load_state

ENCODERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "iresnet18": (IResNet18, "IResNet of arcface_torch"),
    "mbf": (MobileFaceNet, "MobileFaceNet of arcface_torch"),
    "mbf_large": (lambda: MobileFaceNet((2, 2, 2, 1)), "MobileFaceNet of arcface_torch"),
    "adaface": (IR18, "IR of AdaFace"),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_built_encoder_equals_the_original(name: str) -> None:
    make, kind = ENCODERS[name]
    original = randomize(make())
    found, found_kind = build(original.state_dict(), name)
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        expected = original(x)
        assert found_kind == kind and expected.std() > 0.01
        torch.testing.assert_close(found(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"state_dict_backbone": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {"model": state},
        lambda state: {f"module.{k}": v for k, v in state.items()},
        lambda state: {f"backbone.{k}": v for k, v in state.items()} | {"head.w": torch.zeros(2)},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
    ],
)
def test_checkpoint_forms_are_read(
    tmp_path: Path, wrapped: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    state = MobileFaceNet().state_dict()
    torch.save(wrapped(state), tmp_path / "mbf.pt")
    found = load_state(tmp_path / "mbf.pt")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], v) for k, v in state.items())


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    torch.save(MobileFaceNet().half().state_dict(), tmp_path / "mbf.pt")
    weights = load_state(tmp_path / "mbf.pt").values()
    assert {v.dtype for v in weights} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("fc.weight"),
            r"i\.pt: looks like IResNet .* weight is missing: fc\.weight",
        ),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected weights extra"),
        (lambda s: s.update({"fc.bias": torch.zeros(3)}), "do not fit"),
        (lambda s: s.update({"conv1.weight": torch.zeros(5)}), "do not fit"),
        (lambda s: s.update({"bn1.running_mean": torch.tensor(1.0)}), "do not fit"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    state = IResNet18().state_dict()
    change(state)
    with pytest.raises(ConfigError, match=message):
        build(state, "i.pt")


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"v\.pt: unknown weights, such as patch\.w.*known are"):
        build({"patch.w": torch.zeros(1)}, "v.pt")


def test_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(MobileFaceNet(), tmp_path / "module.pt")
    with pytest.raises(ConfigError, match=r"module\.pt: contains pickled objects.*state_dict\(\)"):
        load_state(tmp_path / "module.pt")


@pytest.mark.filterwarnings("error")
def test_raw_pickle_is_refused_without_warning(tmp_path: Path) -> None:
    (tmp_path / "raw.pt").write_bytes(pickle.dumps({"a": Path("b")}))
    with pytest.raises(ConfigError, match=r"raw\.pt: contains pickled objects"):
        load_state(tmp_path / "raw.pt")


@pytest.mark.parametrize("name", ["empty", "text", "truncated", "truncated_raw"])
def test_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    torch.save(MobileFaceNet().state_dict(), tmp_path / "mbf.pt")
    content = {
        "empty": b"",
        "text": b"Not found: log in to download this file.\n",
        "truncated": (tmp_path / "mbf.pt").read_bytes()[:-1000],
        "truncated_raw": pickle.dumps({"a": Path("b")})[:-2],
    }[name]
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.pt: not a readable file .* or export it again$"):
        load_state(tmp_path / "bad.pt")


def test_file_without_weights_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ConfigError, match="expected a state dict of tensors, found list"):
        load_state(tmp_path / "list.pt")
