from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")

from calibration.cli.quantize import main as quantize
from calibration.int8.graph import plan_quantization
from calibration.prelu import has_prelu, join_prelu
from edge.chip import to_input
from edge.face.embed import OUTPUTS
from export.cli.export import main
from export.cli.parity import main as parity
from export.parity import check_parity
from export.parity_data import portrait_chips
from export.to_onnx import export
from tests.networks import make_network
from train.network import VARIANTS, MfsaNetwork, NetworkConfig
from train.torch_engine import TorchEngine
from train.weights import save_weights


@pytest.fixture(scope="module")
def network() -> MfsaNetwork:
    return make_network()


def test_the_file_is_what_tensorrt_8_reads(network: MfsaNetwork, tmp_path: Path) -> None:
    export(network, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert model.ir_version == 8 and model.opset_import[0].version == 17
    assert [o.name for o in model.graph.output] == list(OUTPUTS)
    assert {p.key: p.value for p in model.metadata_props}[
        "preprocessing"
    ] == "arcface-112-rgb-127.5/1"
    assert not any(node.op_type in ("BatchNormalization", "Dropout") for node in model.graph.node)


def test_it_says_the_same_as_torch_on_real_chips(network: MfsaNetwork, tmp_path: Path) -> None:
    export(network, tmp_path / "net.onnx")
    chips = portrait_chips()
    parity = check_parity(tmp_path / "net.onnx", chips, TorchEngine(network).run(to_input(chips)))
    assert (
        parity.chips == len(chips) and parity.min_cosine > 0.9999 and parity.attention_error < 1e-4
    )


@pytest.mark.parametrize(
    ("variant", "encoder"), [(v, "mbf") for v in VARIANTS] + [("mfsa", "ir18")]
)
def test_every_variant_and_encoder_is_exported(variant: str, encoder: str, tmp_path: Path) -> None:
    config = NetworkConfig(
        encoder=encoder, variant=variant, embedding=32, widths=(8, 8, 16, 16), blocks=(1, 1, 1, 1)
    )
    network = MfsaNetwork(config).eval()
    export(network, tmp_path / "net.onnx")
    chips = portrait_chips()[:4]
    assert check_parity(
        tmp_path / "net.onnx", chips, TorchEngine(network).run(to_input(chips))
    ).is_rounding_only
    assert {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}[
        "network"
    ] == f"{encoder} {variant}"


def test_swapped_colours_are_no_parity(network: MfsaNetwork, tmp_path: Path) -> None:
    export(network, tmp_path / "net.onnx")
    chips = portrait_chips()
    swapped = np.ascontiguousarray(chips[..., ::-1])
    assert (
        check_parity(
            tmp_path / "net.onnx", swapped, TorchEngine(network).run(to_input(chips))
        ).min_cosine
        < 0.9999
    )


def test_a_wrong_mask_output_is_no_parity(network: MfsaNetwork, tmp_path: Path) -> None:
    export(network, tmp_path / "net.onnx")
    chips = portrait_chips()
    expected = TorchEngine(network).run(to_input(chips))
    assert check_parity(tmp_path / "net.onnx", chips, expected).is_rounding_only
    for name in ("mask_worn", "expected_similarity", "attention"):
        assert not check_parity(
            tmp_path / "net.onnx", chips, {**expected, name: expected[name] + 0.1}
        ).is_rounding_only
        assert not check_parity(
            tmp_path / "net.onnx", chips, {**expected, name: expected[name] * np.nan}
        ).is_rounding_only


def test_a_run_that_has_not_ended_is_not_exported(
    network: MfsaNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    student = {f"network.{k}": v for k, v in network.state_dict().items()}
    state = {
        "network": network.config.as_dict(),
        "student": student,
        "seen": 5,
        "best": 1.0,
        "recipe": '{"chips": 9}',
    }
    torch.save(state, tmp_path / "c.pt")
    command = ["--checkpoint", str(tmp_path / "c.pt"), "--out", str(tmp_path / "net.onnx")]
    assert main(command) == 2
    assert "has seen 5 of 9 chips" in capsys.readouterr().err
    assert main([*command, "--unfinished"]) == 0


def test_the_command(
    network: MfsaNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(network, tmp_path / "w.safetensors")
    assert (
        main(["--checkpoint", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "net.onnx")])
        == 0
    )
    assert "chips: cosine min" in capsys.readouterr().out
    assert (
        main(["--checkpoint", str(tmp_path / "none.pt"), "--out", str(tmp_path / "net.onnx")]) == 2
    )
    assert "none.pt" in capsys.readouterr().err


def test_prelu_network_is_split_and_joined(
    tmp_path: Path, collins_chip: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    config = NetworkConfig(
        embedding=32, widths=(8, 8, 16, 16), blocks=(0, 1, 1, 1), activation="prelu"
    )
    save_weights(MfsaNetwork(config).eval(), tmp_path / "w.safetensors")
    out, half = tmp_path / "net.onnx", tmp_path / "half.onnx"
    assert (
        main(
            [
                "--checkpoint",
                str(tmp_path / "w.safetensors"),
                "--out",
                str(out),
                "--half",
                str(half),
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.count("chips: cosine min") == 2
    with_prelu = join_prelu(onnx.load(out))
    assert has_prelu(with_prelu) and not has_prelu(onnx.load(out))
    assert has_prelu(onnx.load(half))
    assert len(plan_quantization(with_prelu).gates) == 6  # attention, mask worn, similarity
    for i in range(-8, 8):
        (tmp_path / "faces" / "p").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "faces" / "p" / f"{i}.png"), np.roll(collins_chip, i, axis=1))
    command = [
        "--embedder",
        str(out),
        "--chips",
        str(tmp_path / "faces"),
        "--all-identities",
        "--bound",
        "0.01",
    ]
    assert quantize([*command, "--out", str(tmp_path / "int8.onnx")]) == 0
    assert has_prelu(onnx.load(tmp_path / "int8.onnx"))
    command = ["--checkpoint", str(tmp_path / "w.safetensors"), "--out", str(out)]
    assert main([*command, "--batch", "4"]) == 0
    assert parity([str(out), str(out)]) == 0  # also of a fixed batch


def test_an_export_that_differs_is_not_kept(
    network: MfsaNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_weights(network, tmp_path / "w.safetensors")
    real = export

    def wrong(network: MfsaNetwork, path: Path, **options: object) -> bool:
        real(network, path)
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if "tail" in tensor.name and tensor.name.endswith(".weight"):
                tensor.CopyFrom(
                    numpy_helper.from_array(numpy_helper.to_array(tensor)[::-1].copy(), tensor.name)
                )
        onnx.save(model, path)
        return False

    monkeypatch.setattr("export.cli.export.export", wrong)
    out = tmp_path / "out" / "net.onnx"
    out.parent.mkdir()
    assert main(["--checkpoint", str(tmp_path / "w.safetensors"), "--out", str(out)]) == 1
    assert "differs from the checkpoint" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []
    for wrong_option, part in (
        (["--batch", "0"], "--batch"),
        (["--max-chips", "0"], "--max-chips"),
        (["--out", "/none/net.onnx"], "folder"),
    ):
        assert (
            main(
                ["--checkpoint", str(tmp_path / "w.safetensors"), "--out", str(out), *wrong_option]
            )
            == 2
        )
        assert part in capsys.readouterr().err
