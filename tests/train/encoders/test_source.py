from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from edge.chip import to_input
from edge.errors import ConfigError
from edge.system.digest import file_digest
from tests.networks import make_network
from tests.train.encoders.networks import IResNet18, MobileFaceNet, randomize
from tests.train.encoders.onnx_models import encoder_model, onnx_runner, save_encoder
from train.encoders.conventions import CONVENTIONS, LabelledFaces
from train.encoders.source import open_encoder
from train.weights import save_weights

CHIP = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
# All conventions suit the encoders of these tests.
ASKED = "rgb-127.5"


def equal_faces() -> LabelledFaces:
    """Pairs of equal pictures, which any encoder recognises with any input."""
    pictures = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    return LabelledFaces([p for p in pictures for _ in range(2)], np.repeat(np.arange(3), 2))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_onnx_file_is_opened_with_its_facts(tmp_path: Path) -> None:
    path = save_encoder(tmp_path / "mine.onnx")
    encoder = open_encoder(path, ASKED)
    assert encoder.kind == "ONNX" and str(encoder.convention) == ASKED
    assert encoder.source_sha256 == file_digest(path)
    assert encoder.conversion_cosine >= 0.9999 and encoder.measured.faces == "portraits"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.onnx"]


def test_fixed_batch_of_one_is_accepted(tmp_path: Path) -> None:
    path = save_encoder(tmp_path / "one.onnx", shape=[1, 3, 112, 112])
    assert open_encoder(path, ASKED).kind == "ONNX"


def test_weights_listed_as_inputs_are_ignored(tmp_path: Path) -> None:
    model = encoder_model()
    first = model.graph.initializer[0]
    model.graph.input.append(
        onnx.helper.make_tensor_value_info(first.name, first.data_type, list(first.dims))
    )
    onnx.save(model, tmp_path / "old.onnx")
    encoder = open_encoder(tmp_path / "old.onnx", ASKED)
    assert len(onnx.load_model_from_string(encoder.content).graph.input) == 1


def test_state_dict_with_convention_is_opened(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = randomize(MobileFaceNet())
    torch.save({"state_dict": original.state_dict()}, tmp_path / "mbf.pt")
    encoder = open_encoder(tmp_path / "mbf.pt", "bgr-255", equal_faces())
    assert encoder.kind == "MobileFaceNet of arcface_torch"
    content = onnx.load_model_from_string(encoder.content)
    (found,) = onnx_runner(content)(to_input(CHIP[None])).values()
    with torch.no_grad():
        own = original(torch.from_numpy(CONVENTIONS["bgr-255"].to_input(CHIP))).numpy()
    assert cosine(found, own) > 0.9999


def test_own_weights_are_opened(tmp_path: Path) -> None:
    network = make_network()
    save_weights(network, tmp_path / "own.safetensors")
    encoder = open_encoder(tmp_path / "own.safetensors")
    assert encoder.kind == "network of mfsa-train"
    content = onnx.load_model_from_string(encoder.content)
    (found,) = onnx_runner(content)(to_input(CHIP[None])).values()
    with torch.no_grad():
        own = network(torch.from_numpy(to_input(CHIP[None]))).embedding.numpy()
    assert cosine(found, own) > 0.999  # the weights are half precision
    with pytest.raises(ConfigError, match=r"bgr-255: .* whose input is rgb-127\.5; leave out --in"):
        open_encoder(tmp_path / "own.safetensors", "bgr-255")


def test_wrong_input_option_is_refused(tmp_path: Path) -> None:
    path = save_encoder(tmp_path / "bytes.onnx", first_bias=100.0)
    encoder = open_encoder(path, "bgr-255")
    assert encoder.measured.rates["bgr-255"] > 0.7
    with pytest.raises(ConfigError, match=r"--input rgb-1 recognises fewer .* use --input \w+-255"):
        open_encoder(path, "rgb-1")
    with pytest.raises(ConfigError, match=r"--input: expected one of rgb-127\.5, .* found 'yuv'"):
        open_encoder(path, "yuv")


def test_uncertain_input_is_refused(tmp_path: Path) -> None:
    path = save_encoder(tmp_path / "bytes.onnx", first_bias=100.0)
    with pytest.raises(
        ConfigError, match=r"is uncertain .*portraits.* add --input \w+-255 or --in"
    ):
        open_encoder(path)


def test_graph_is_checked_before_the_input(tmp_path: Path) -> None:
    def refuse(graph: torch.fx.GraphModule) -> None:
        raise ConfigError(f"{len(graph.graph.nodes)} nodes")

    path = save_encoder(tmp_path / "bytes.onnx", first_bias=100.0)  # of an uncertain input
    with pytest.raises(ConfigError, match=r"^\d+ nodes$"):
        open_encoder(path, check_graph=refuse)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (["batch", 3, 160, 160], r"its input is \(batch, 3, 160, 160\); MFSA needs .* 112, 112\)"),
        (["batch", 3, "h", "w"], r"its input \(batch, 3, h, w\) has dynamic sizes; export it for"),
        (["batch", 112, 112, 3], r"has the channels last; export it for \(N, 3, 112, 112\)"),
        (["batch", 1, 112, 112], r"its input is \(batch, 1, 112, 112\)"),
        ([2, 3, 112, 112], r"has a fixed batch of 2; export it for \(N, 3, 112, 112\)"),
    ],
)
def test_other_input_shapes_are_refused(tmp_path: Path, shape: list[object], message: str) -> None:
    model = encoder_model()
    value = onnx.helper.make_tensor_value_info("chip", onnx.TensorProto.FLOAT, shape)
    model.graph.input[0].CopyFrom(value)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match=r"other\.onnx: .*" + message):
        open_encoder(tmp_path / "other.onnx", ASKED)


def test_half_precision_input_is_refused(tmp_path: Path) -> None:
    model = encoder_model()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(ConfigError, match="has the type float16; export it with a float32 input"):
        open_encoder(tmp_path / "half.onnx", ASKED)


def test_embedding_of_four_axes_is_flattened(tmp_path: Path) -> None:
    model = encoder_model()
    output = model.graph.output[0]
    axes = onnx.numpy_helper.from_array(np.array([2, 3]), "axes")
    model.graph.initializer.append(axes)
    model.graph.node.append(onnx.helper.make_node("Unsqueeze", [output.name, "axes"], ["map"]))
    output.CopyFrom(onnx.helper.make_tensor_value_info("map", onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "map.onnx")
    content = open_encoder(tmp_path / "map.onnx", ASKED).content
    run = onnx_runner(onnx.load_model_from_string(content))
    (found,) = run(np.zeros((1, 3, 112, 112), np.float32)).values()
    assert found.shape == (1, 32)


def test_empty_operand_at_the_end_is_absent(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 crashes on the empty bias of a LayerNormalization."""
    model = encoder_model()
    output = model.graph.output[0].name
    scale = onnx.numpy_helper.from_array(np.ones(32, np.float32), "scale")
    model.graph.initializer.append(scale)
    model.graph.node.append(
        onnx.helper.make_node("LayerNormalization", [output, "scale", ""], ["normed"])
    )
    model.graph.output[0].name = "normed"
    onnx.save(model, tmp_path / "normed.onnx")
    content = open_encoder(tmp_path / "normed.onnx", ASKED).content
    (node,) = (
        node
        for node in onnx.load_model_from_string(content).graph.node
        if node.op_type == "LayerNormalization"
    )
    assert "" not in node.input


def test_encoder_of_damaged_weights_is_refused(tmp_path: Path) -> None:
    model = encoder_model()
    last = model.graph.initializer[-1]
    last.CopyFrom(onnx.numpy_helper.from_array(np.full(32, np.nan, np.float32), last.name))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(ConfigError, match=r"nan\.onnx: gives an embedding .* not finite; its we"):
        open_encoder(tmp_path / "nan.onnx", ASKED)
    with pytest.raises(ConfigError, match=r"nan\.onnx: gives an embedding .* not finite; its we"):
        open_encoder(tmp_path / "nan.onnx", None, equal_faces())


def test_state_dict_for_larger_chips_is_refused(tmp_path: Path) -> None:
    state = IResNet18().state_dict()
    state["fc.weight"] = torch.zeros(len(state["fc.weight"]), 512 * 100)
    torch.save(state, tmp_path / "large.pt")
    with pytest.raises(ConfigError, match=r"large\.pt: the encoder does not take 112x112 pictures"):
        open_encoder(tmp_path / "large.pt", ASKED)


@pytest.mark.parametrize(
    "fields", [[1], {"encoder": {}}, {"gate_at": "x", "attend_at": "x"}], ids=str
)
def test_foreign_safetensors_are_refused(tmp_path: Path, fields: object) -> None:
    if isinstance(fields, dict) and fields.get("gate_at"):
        names = ("kind", "sha256", "convention", "licence", "origin")
        fields |= {"channels": 16, "embedding": 32, "encoder": dict.fromkeys(names, "x")}
    encoder = bytearray(encoder_model().SerializeToString())
    save_file(
        {"encoder_onnx": torch.frombuffer(encoder, dtype=torch.uint8)},
        tmp_path / "other.safetensors",
        metadata={"network": json.dumps(fields)},
    )
    with pytest.raises(ConfigError, match=r"other\.safetensors: (not weights|this version cannot)"):
        open_encoder(tmp_path / "other.safetensors")


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    model = encoder_model()
    value = onnx.helper.make_tensor_value_info("age", onnx.TensorProto.FLOAT, [1])
    model.graph.input.append(value)
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ConfigError, match="expected one input, found 2: chip, age"):
        open_encoder(tmp_path / "two.onnx", ASKED)


def test_external_data_is_refused(tmp_path: Path) -> None:
    onnx.save(
        encoder_model(),
        tmp_path / "big.onnx",
        save_as_external_data=True,
        location="big.data",
        size_threshold=0,
    )
    with pytest.raises(ConfigError, match=r"big\.onnx: its weights are in another file"):
        open_encoder(tmp_path / "big.onnx", ASKED)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name, message in (
        ("none.onnx", r"none\.onnx: no such file; name an encoder"),
        ("junk.onnx", r"junk\.onnx: not an ONNX file, or truncated; download or export it again$"),
        ("junk.pt", r"junk\.pt: not a readable file of torch .*; download or export it again$"),
        ("junk.h5", r"junk\.h5: unknown kind of file; expected \.onnx, \.tflite"),
    ):
        if not name.startswith("none"):
            (tmp_path / name).write_bytes(b"\xff\xd8junk")
        with pytest.raises(ConfigError, match=message):
            open_encoder(tmp_path / name)
    with pytest.raises(ConfigError, match="is a folder; name the encoder's file"):
        open_encoder(tmp_path)
