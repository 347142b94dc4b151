from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tflite
import torch
from torch.nn import functional as F

from edge.errors import ConfigError
from tests.train.encoders.onnx_models import onnx_runner
from tests.train.encoders.tflite_files import TfliteFile
from train.encoders.onnx_to_torch import read_encoder
from train.encoders.tflite_to_onnx import convert_tflite

RNG = np.random.default_rng(0)
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID
RELU, RELU6 = tflite.ActivationFunctionType.RELU, tflite.ActivationFunctionType.RELU6


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def converted(tmp_path: Path, file: TfliteFile, x: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime gives for (N,H,W,C), after checking the torch form against it."""
    path = tmp_path / "model.tflite"
    path.write_bytes(file.content())
    model = convert_tflite(path)
    chip = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    (found,) = onnx_runner(model)(chip).values()
    with torch.no_grad():
        again = read_encoder(model.SerializeToString())(torch.from_numpy(chip)).numpy()
    np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-5)
    return found


def flat(file: TfliteFile, source: int, shape: tuple[int, ...]) -> None:
    """End with RESHAPE to (1, H*W*C), as encoders do."""
    size = int(np.prod(shape[1:]))
    file.operator("RESHAPE", [source], (1, size), "ReshapeOptions")


def test_same_padding_is_right_and_bottom(tmp_path: Path) -> None:
    file = TfliteFile()
    weight, bias = floats(4, 3, 3, 3), floats(4)  # (O,H,W,I)
    inputs = [file.tensor(1, 8, 6, 3), file.constant(weight), file.constant(bias)]
    made = file.operator(
        "CONV_2D", inputs, (1, 4, 3, 4), "Conv2DOptions", Padding=SAME, StrideH=2, StrideW=2
    )
    flat(file, made, (1, 4, 3, 4))
    x = floats(2, 8, 6, 3)
    padded = F.pad(torch.from_numpy(x).permute(0, 3, 1, 2), (0, 1, 0, 1))
    expected = F.conv2d(
        padded, torch.from_numpy(weight).permute(0, 3, 1, 2), torch.from_numpy(bias), 2
    )
    found = converted(tmp_path, file, x)
    np.testing.assert_allclose(
        found, expected.permute(0, 2, 3, 1).reshape(2, -1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("fused", "bounds"), [(RELU, (0, np.inf)), (RELU6, (0, 6))])
def test_depthwise_with_fused_activation(
    tmp_path: Path, fused: int, bounds: tuple[float, float]
) -> None:
    file = TfliteFile()
    weight = 3 * floats(1, 3, 3, 3)  # (1,H,W,C)
    inputs = [file.tensor(1, 6, 6, 3), file.constant(weight)]
    made = file.operator(
        "DEPTHWISE_CONV_2D",
        inputs,
        (1, 4, 4, 3),
        "DepthwiseConv2DOptions",
        Padding=VALID,
        StrideH=1,
        StrideW=1,
        FusedActivationFunction=fused,
    )
    flat(file, made, (1, 4, 4, 3))
    x = floats(1, 6, 6, 3)
    plain = F.conv2d(
        torch.from_numpy(x).permute(0, 3, 1, 2),
        torch.from_numpy(weight).permute(3, 0, 1, 2),
        groups=3,
    )
    expected = plain.clamp(*bounds).permute(0, 2, 3, 1).reshape(1, -1)
    assert plain.min() < bounds[0] and plain.max() > min(bounds[1], 6)
    np.testing.assert_allclose(converted(tmp_path, file, x), expected, rtol=1e-4, atol=1e-4)


def keras_prelu(file: TfliteFile, x: int, shape: tuple[int, ...], slope: np.ndarray) -> int:
    """Add relu(x) + slope / 2 * (x - |x|), by which Keras writes PReLU."""
    half = file.constant((slope / 2).astype(np.float32))
    relu = file.operator("RELU", [x], shape)
    absolute = file.operator("ABS", [x], shape)
    difference = file.operator("SUB", [x, absolute], shape, "SubOptions")
    scaled = file.operator("MUL", [half, difference], shape, "MulOptions")
    return file.operator("ADD", [relu, scaled], shape, "AddOptions")


@pytest.mark.parametrize("keras", [True, False])
def test_prelu_of_both_forms_is_one_node(tmp_path: Path, keras: bool) -> None:
    file, slope, shape = TfliteFile(), np.float32([0.1, 0.25, 0.6]), (1, 4, 4, 3)
    source = file.tensor(*shape)
    if keras:
        made = keras_prelu(file, source, shape, slope)
    else:
        made = file.operator("PRELU", [source, file.constant(slope[None, None])], shape)
    flat(file, made, shape)
    x = floats(2, 4, 4, 3)
    found = converted(tmp_path, file, x)
    expected = np.where(x > 0, x, slope * x).reshape(2, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    kinds = [node.op_type for node in convert_tflite(tmp_path / "model.tflite").graph.node]
    assert kinds == ["PRelu", "Transpose", "Flatten"]


def test_pooled_linear_head_is_converted(tmp_path: Path) -> None:
    file, weight, bias = TfliteFile(), floats(5, 3), floats(5)
    made = file.operator(
        "AVERAGE_POOL_2D",
        [file.tensor(1, 4, 4, 3)],
        (1, 1, 1, 3),
        "Pool2DOptions",
        FilterHeight=4,
        FilterWidth=4,
    )
    made = file.operator("RESHAPE", [made], (1, 3), "ReshapeOptions")
    inputs = [made, file.constant(weight), file.constant(bias)]
    file.operator("FULLY_CONNECTED", inputs, (1, 5), "FullyConnectedOptions")
    x = floats(3, 4, 4, 3)
    expected = x.mean(axis=(1, 2)) @ weight.T + bias
    np.testing.assert_allclose(converted(tmp_path, file, x), expected, rtol=1e-4, atol=1e-5)


def refusal(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "model.tflite").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        convert_tflite(tmp_path / "model.tflite")
    return str(caught.value)


def test_unsupported_operator_is_named(tmp_path: Path) -> None:
    file = TfliteFile()
    file.operator("LOGISTIC", [file.tensor(1, 4, 4, 3)], (1, 4, 4, 3))
    assert "model.tflite: operator LOGISTIC is not supported" in refusal(tmp_path, file.content())


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    file = TfliteFile()
    inputs = [file.tensor(1, 4, 4, 3), file.constant(np.zeros((4, 3, 3, 3), np.int8))]
    file.operator("CONV_2D", inputs, (1, 2, 2, 4), "Conv2DOptions", Padding=VALID)
    message = refusal(tmp_path, file.content())
    assert "tensor1 is not float32; use the float form" in message


def test_files_that_are_no_encoder_are_refused(tmp_path: Path) -> None:
    file = TfliteFile()
    file.operator("RELU", [file.tensor(1, 64)], (1, 64))
    assert "expected one picture (N,H,W,3) as input, found (1, 64)" in refusal(
        tmp_path, file.content()
    )
    message = refusal(tmp_path, b"junk")
    assert message.endswith(": not a readable TFLite model; download or export it again")
    with pytest.raises(ConfigError, match=r"none\.tflite: cannot be read"):
        convert_tflite(tmp_path / "none.tflite")
