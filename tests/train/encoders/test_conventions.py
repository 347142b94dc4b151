from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest

from edge.chip import to_input
from edge.errors import ConfigError
from tests.train.encoders.onnx_models import encoder_model, onnx_runner
from train.encoders.conventions import (
    CONVENTIONS,
    NATIVE,
    LabelledFaces,
    Measured,
    choose_convention,
    measure_conventions,
    portrait_views,
    with_convention,
)

RNG = np.random.default_rng(0)
CHIP = RNG.integers(0, 256, (112, 112, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_matrix_converts_the_project_input(name: str) -> None:
    weight, bias = CONVENTIONS[name].matrix()
    converted = np.einsum("oc,nchw->nohw", weight, to_input(CHIP[None])) + bias[:, None, None]
    assert np.allclose(converted, CONVENTIONS[name].to_input(CHIP), atol=1e-4)


def test_known_conventions_are_their_formulas() -> None:
    blue, _green, red = CHIP[0, 0].astype(float)
    first = {name: c.to_input(CHIP)[0, :, 0, 0] for name, c in CONVENTIONS.items()}
    assert first["rgb-127.5"][0] == pytest.approx((red - 127.5) / 127.5)
    assert first["bgr-255"][0] == blue and first["rgb-1"][2] == pytest.approx(blue / 255)
    assert first["rgb-imagenet"][0] == pytest.approx((red / 255 - 0.485) / 0.229, abs=1e-4)


@pytest.mark.parametrize("name", ["bgr-255", "rgb-imagenet"])
def test_convention_is_part_of_the_model(name: str) -> None:
    model = encoder_model()
    (expected,) = onnx_runner(model)(CONVENTIONS[name].to_input(CHIP)).values()
    made = with_convention(model, CONVENTIONS[name])
    onnx.checker.check_model(made, full_check=True)
    (found,) = onnx_runner(made)(to_input(CHIP[None])).values()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert with_convention(model, NATIVE) is model


def blue_faces() -> LabelledFaces:
    """People whose blue channel is their own; the other channels are noise."""
    chips, person = [], []
    for i in range(6):
        own = RNG.integers(0, 256, (112, 112))
        for _ in range(4):
            chip = RNG.integers(0, 256, (112, 112, 3), dtype=np.uint8)
            chip[..., 0] = own
            chips.append(chip)
            person.append(i)
    return LabelledFaces(chips, np.array(person))


def first_channel(x: np.ndarray) -> np.ndarray:
    """Encoder that reads the first channel in steps of 16: values of 0..1 are one step."""
    steps = np.round(x[:, 0, ::4, ::4] / 16).reshape(len(x), -1)
    return steps - steps.mean(axis=1, keepdims=True)


def test_measured_convention_is_the_encoders_own() -> None:
    measured = measure_conventions(first_channel, blue_faces(), "24 faces")
    assert str(measured.best) == "bgr-255" and measured.rates["bgr-255"] == 1
    assert measured.rivals() == [] and str(measured).startswith("bgr-255 100.0 %")
    assert choose_convention(measured, None, "e.onnx") is CONVENTIONS["bgr-255"]
    assert choose_convention(measured, "bgr-255", "e.onnx") is CONVENTIONS["bgr-255"]
    with pytest.raises(ConfigError, match=r"--input rgb-255 recognises fewer .* use --input bgr-2"):
        choose_convention(measured, "rgb-255", "e.onnx")


def test_uncertain_convention_names_candidates() -> None:
    rates = dict.fromkeys(CONVENTIONS, 0.1) | {"rgb-127.5": 0.91, "bgr-127.5": 0.90}
    measured = Measured(rates, "portraits")
    message = r"e\.onnx: colour order or .* uncertain .*rgb-127\.5 91\.0 %, bgr-127\.5 90\.0 %.*"
    with pytest.raises(ConfigError, match=message + r"add --input rgb-127\.5 or --input bgr-127"):
        choose_convention(measured, None, "e.onnx")
    assert choose_convention(measured, "bgr-127.5", "e.onnx") is CONVENTIONS["bgr-127.5"]


def test_encoder_that_recognises_no_face() -> None:
    rates = dict.fromkeys(CONVENTIONS, 0.01) | {"rgb-255": 0.12, "bgr-1": 0.05}
    measured = Measured(rates, "160 faces of the data")
    message = (
        r"e\.onnx: the encoder does not recognise .*160 faces.*rgb-255 12\.0 %.*20 % are needed"
    )
    with pytest.raises(ConfigError, match=message + r".*; then name its input by --input"):
        choose_convention(measured, None, "e.onnx")
    with pytest.raises(ConfigError, match=message + ".* alignment and names of the chips$"):
        choose_convention(measured, "rgb-127.5", "e.onnx")


def test_used_convention_is_among_the_ranked() -> None:
    rates = dict(zip(CONVENTIONS, np.linspace(0.3, 1, len(CONVENTIONS)), strict=True))
    measured = Measured(rates, "portraits")
    assert measured.ranked(NATIVE).endswith(", rgb-127.5 30.0 %")
    assert measured.ranked(measured.best) == str(measured)
    assert all(len(text.split(", ")) == 4 for text in (measured.ranked(NATIVE), str(measured)))


def test_slow_measurement_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure_conventions(first_channel, blue_faces(), "24 faces")
    assert capsys.readouterr().err == ""
    clock = itertools.count(0.0, 2.0)
    monkeypatch.setattr("tqdm.std.time", lambda: next(clock))
    measure_conventions(first_channel, blue_faces(), "24 faces")
    assert "input conventions: 100%" in capsys.readouterr().err


def test_portrait_views_keep_the_person() -> None:
    faces = portrait_views([CHIP, CHIP[::-1]])
    assert len(faces.chips) == len(faces.person) == 12
    assert all(chip.shape == CHIP.shape and chip.dtype == np.uint8 for chip in faces.chips)
    assert faces.person.tolist() == [0] * 6 + [1] * 6
