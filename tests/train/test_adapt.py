"""mfsa-adapt as people run it, on a tiny encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.errors import ConfigError
from tests.networks import make_network
from tests.train.encoders.onnx_models import ModelBuilder, encoder_model, save_encoder
from train.adapt import (
    choose_cuts,
    labelled_faces,
    missing_people,
    read_bare_chips,
    statistics_faces,
)
from train.cli.adapt import main
from train.data import ChipItem, ChipSet, load_chips
from train.encoders.onnx_to_torch import read_encoder
from train.recipe import DataRecipe, RoutedRecipe
from train.routed import RoutedNetwork
from train.weights import load_checkpoint, load_network, save_weights

WriteRecipe = Callable[..., Path]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return save_encoder(tmp_path / "encoder.onnx")


@pytest.fixture
def recipe(write_recipe: WriteRecipe) -> Path:
    return write_recipe(
        network={"shared_blocks": 1},
        data={"sources": ["people"], "split": []},
        loss={"match": 0.2, "alikeness": 10.0, "adversary": 0.0, "neighbours": 1.0},
        draw={"mask_probability": 0.8, "both_probability": 0.5, "border_probability": 0.5},
        chips=16,
    )


def arguments(encoder: Path, recipe: Path, faces: Path, out: Path, *more: str) -> list[str]:
    given = ["--input", "rgb-127.5", "--licence", "MIT", "--origin", "the tests"]
    paths = ["--recipe", str(recipe), "--data", str(faces), "--out", str(out)]
    return [str(encoder), *paths, *given, *more]


def test_run_writes_a_routed_network(
    encoder: Path, recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(arguments(encoder, recipe, faces, out)) == 0
    printed = capsys.readouterr()
    assert "Next: mfsa-export --checkpoint" in printed.out
    assert "training: 100%" in printed.err and "16/16" in printed.err
    assert "conversion: least cosine 1.000000" in printed.out + printed.err
    assert "<- gated by A_u, the branch begins" in printed.out + printed.err
    line = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert line["seen"] == 16
    assert {"distil", "match", "alike", "similarity", "covered"} <= line.keys()
    network = load_network(out / "checkpoint.pt")
    assert isinstance(network, RoutedNetwork)
    assert network.config.encoder.licence == "MIT" and network.config.encoder.origin == "the tests"
    with np.load(out / "targets.npz") as targets:
        assert len(targets["names"]) == 6 and not any("m_" in name for name in targets["names"])
        assert np.allclose(
            np.linalg.norm(targets["embeddings"].astype(float), axis=1), 1, atol=0.01
        )


def test_resumed_run_equals_uninterrupted_run(recipe: Path, faces: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder.onnx", norm=True)

    def options(out: str, *more: str) -> list[str]:
        return arguments(encoder, recipe, faces, tmp_path / out, *more)

    assert main(options("stopped", "--set", "stop_at=8")) == 0
    assert load_checkpoint(tmp_path / "stopped" / "checkpoint.pt")["seen"] == 8
    assert main(options("stopped", "--resume")) == 0
    assert main(options("straight")) == 0
    one, two = (
        load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("stopped", "straight")
    )
    assert one["seen"] == two["seen"] == 16
    for name, value in two["student"].items():
        assert torch.equal(value, one["student"][name]), name


def test_other_encoder_is_not_resumed(
    encoder: Path, recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(arguments(encoder, recipe, faces, out, "--set", "stop_at=8")) == 0
    before = (out / "targets.npz").read_bytes()
    save_encoder(encoder, seed=1)
    assert main(arguments(encoder, recipe, faces, out, "--resume")) == 2
    assert "made for another encoder, input," in capsys.readouterr().err
    assert (out / "targets.npz").read_bytes() == before
    (out / "checkpoint.pt").unlink()
    assert main(arguments(encoder, recipe, faces, out)) == 0
    assert (out / "targets.npz").read_bytes() != before


def test_targets_of_changed_chips_are_made_again(
    encoder: Path, recipe: Path, faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert main(arguments(encoder, recipe, faces, out, "--set", "stop_at=8")) == 0
    before = (out / "targets.npz").read_bytes()
    pictures = [p for p in sorted((faces / "people").rglob("*.jpg")) if p.name[:2] != "m_"]
    pictures[0].write_bytes(pictures[-1].read_bytes())
    assert main(arguments(encoder, recipe, faces, out, "--resume")) == 0
    assert (out / "targets.npz").read_bytes() != before


def test_own_add_on_is_no_encoder(
    encoder: Path, recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(encoder, recipe, faces, tmp_path / "run", "--set", "stop_at=8")) == 0
    made = tmp_path / "run" / "checkpoint.pt"
    assert main(arguments(made, recipe, faces, tmp_path / "again")) == 2
    assert "an add-on of mfsa-adapt already" in capsys.readouterr().err


def random_people(root: Path) -> None:
    """Write 20 people of eight unrelated pictures each: no encoder recognises them."""
    rng = np.random.default_rng(0)
    for person in range(20):
        folder = root / "people" / f"random{person}"
        folder.mkdir()
        for photo in range(8):
            picture = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{photo}.png"), picture)


def test_own_encoder_of_no_face_is_warned_of(
    recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random_people(faces)
    save_weights(make_network(), tmp_path / "own.safetensors")
    given = arguments(tmp_path / "own.safetensors", recipe, faces, tmp_path / "run")
    assert main([*given, "--set", "chips=4"]) == 0
    printed = capsys.readouterr().out
    assert "warning: the encoder does not recognise these faces" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("input: "))
    assert line.startswith("input: rgb-127.5 (known from the checkpoint; 160 faces of the data: ")
    assert line.count("rgb-127.5 ") == 2


def test_truncated_targets_are_made_again(
    encoder: Path, recipe: Path, faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert main(arguments(encoder, recipe, faces, out, "--set", "stop_at=8")) == 0
    before = (out / "targets.npz").read_bytes()
    (out / "targets.npz").write_bytes(before[: len(before) // 2])
    assert main(arguments(encoder, recipe, faces, out, "--resume")) == 0
    assert (out / "targets.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("student", 3),
        ("optimizer", None),
        ("torch_rng", torch.zeros(3)),
        ("seen", "x"),
        ("best", None),
        ("recipe", "{}"),
        ("recipe", None),
    ],
    ids=str,
)
def test_damaged_checkpoint_is_not_resumed(
    encoder: Path,
    recipe: Path,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: object,
) -> None:
    out = tmp_path / "run"
    assert main(arguments(encoder, recipe, faces, out, "--set", "stop_at=8")) == 0
    torch.save(load_checkpoint(out / "checkpoint.pt") | {key: value}, out / "checkpoint.pt")
    capsys.readouterr()
    assert main(arguments(encoder, recipe, faces, out, "--resume")) == 2
    message = capsys.readouterr().err.strip()
    assert "checkpoint.pt: " in message and len(message.splitlines()) == 1


def test_encoder_in_its_output_folder_is_kept(
    recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    encoder = save_encoder(tmp_path / "run" / "encoder.onnx")
    before = encoder.read_bytes()
    assert main(arguments(encoder, recipe, faces, tmp_path / "run")) == 2
    assert "would be replaced by its converted form" in capsys.readouterr().err
    assert encoder.read_bytes() == before


def test_unreadable_chips_are_not_measured(tmp_path: Path) -> None:
    chip = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    for person in range(21):
        folder = tmp_path / "people" / str(person)
        folder.mkdir(parents=True)
        for photo in range(8):
            broken = person == 0 and photo == 0
            (folder / f"{photo}.png").write_bytes(b"broken" if broken else chip)
    section = DataRecipe(sources=("people",))
    found = labelled_faces(read_bare_chips(tmp_path, section), section)
    assert found is not None and len(found.chips) == 160


def grey_chips(count: int) -> ChipSet:
    """Return chips of the grey levels 0, 1, ...; those after the first `count` have real masks."""
    items = []
    for level in range(2 * count):
        encoded = cv2.imencode(".png", np.full((112, 112, 3), level, np.uint8))[1].tobytes()
        is_bare = level < count
        items.append(ChipItem(f"s/p/{level}", encoded, 0, level if is_bare else -1, not is_bare))
    return ChipSet(tuple(items), np.zeros((count, 4), np.float32), 1)


def test_statistics_faces_are_spread_bare_chips() -> None:
    chips = grey_chips(7)
    found = statistics_faces(chips, ("scarf",), 4)
    assert found.shape == (4, 112, 112, 3)
    assert found[:, 0, 0, 0].tolist() == [0, 1, 3, 5]  # masks leave the forehead
    assert [len(np.unique(face)) > 1 for face in found] == [True, False, True, False]
    assert np.array_equal(found, statistics_faces(chips, ("scarf",), 4))
    assert len(statistics_faces(chips, ("scarf",), 500)) == 7


def no_14x14(path: Path) -> None:
    made = ModelBuilder()
    made.conv((3, 8), 7, stride=7)
    made.add("GlobalAveragePool")
    made.add("Flatten")
    path.write_bytes(made.build(["batch", 3, 112, 112]).SerializeToString())


@pytest.mark.parametrize(
    ("make", "more", "part"),
    [
        (lambda path: None, (), "no such file; name an encoder"),
        (lambda path: path.write_bytes(b"junk"), (), "not an ONNX file"),
        (no_14x14, (), "no 14x14 feature"),
        (save_encoder, ("--input", "yuv"), "--input: expected one of"),
        (save_encoder, ("--save-every", "0"), "--save-every: expected at least 1"),
        (
            save_encoder,
            ("--set", "network.shared_blocks=7"),
            "has 3 features at 14x14, found 7; add --set network.shared_blocks=N with N from 0, "
            "the first, to 2, the last",
        ),
        (save_encoder, ("--licence", "MIT\nX: y"), r"--licence: expected one line of 1 to 300"),
        (save_encoder, ("--origin", " "), "--origin: expected one line of 1 to 300"),
        (save_encoder, ("--set", "frozen=true"), "frozen"),
        (save_encoder, ("--set", "data.teacher=t.npz"), "data.teacher: the encoder is the teacher"),
        (save_encoder, ("--data", "/nowhere"), "/nowhere"),
        (save_encoder, ("--set", "loss={}"), "loss: the section is empty; name weights such as"),
        (
            save_encoder,
            ("--set", "loss={distil: 0, relation: 0}"),
            "no loss for identities: loss.distil, loss.relation, loss.neighbours, loss.match are 0",
        ),
    ],
)
def test_bad_input_is_one_line(
    recipe: Path,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], object],
    more: tuple[str, ...],
    part: str,
) -> None:
    path = tmp_path / "bad.onnx"
    make(path)
    assert main(arguments(path, recipe, faces, tmp_path / "run", *more)) == 2
    message = capsys.readouterr().err.strip()
    assert part in message and len(message.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("section", "people", "parts"),
    [
        ({}, 2, ["0 people with two bare photos are kept for validation, at least 2 are"]),
        (
            {"unlabelled": ["people"]},
            2,
            ["no person is named in the data to train on", "0 people with two bare photos"],
        ),
        ({}, 1, ["the data to train on contains one person", "0 people with two bare photos"]),
    ],
)
def test_missing_people_are_named(
    encoder: Path,
    write_recipe: WriteRecipe,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    section: dict[str, object],
    people: int,
    parts: list[str],
) -> None:
    for folder in sorted((faces / "people").iterdir())[people:]:
        shutil.rmtree(folder)
    recipe = write_recipe(
        network={"shared_blocks": 1},
        data={"sources": ["people"], "split": [], **section},
        chips=4,
    )
    assert main(arguments(encoder, recipe, faces, tmp_path / "run")) == 0
    printed = "".join(capsys.readouterr())
    lines = [line for line in printed.splitlines() if line.startswith("warning: ")]
    assert len(lines) == len(parts)
    assert all(part in line for part, line in zip(parts, lines, strict=True))


def test_several_people_are_not_missed(faces: Path) -> None:
    section = DataRecipe(sources=("people",), split=())
    trained, _ = load_chips(faces, section, 32, None)
    assert missing_people(trained, trained) == []
    bare = [item for item in trained.items if not item.real_mask]
    one_photo = bare[0]
    again = replace(one_photo, name=one_photo.name.replace("people/", "copy/"))
    other = next(item for item in bare if item.label != one_photo.label)
    worn = [item for item in trained.items if item.real_mask]
    # Neither a photo with a mask nor the same photo in another source is a second bare photo.
    few = replace(trained, items=(one_photo, again, other, *worn))
    (missing,) = missing_people(trained, few)
    assert missing.startswith("0 people with two bare photos are kept for validation")
    few = replace(trained, items=(*(i for i in bare if i.label == other.label), one_photo))
    (missing,) = missing_people(trained, few)
    assert missing.startswith("1 people with two bare photos are kept for validation")


@pytest.mark.parametrize("inside", ["", "run"])
def test_file_as_output_is_refused_first(
    recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "encoder.onnx").write_bytes(b"junk, which is not read")
    out = tmp_path / "file" / inside
    assert main(arguments(tmp_path / "encoder.onnx", recipe, faces, out)) == 2
    assert f"{tmp_path / 'file'} is a file; name a folder" in capsys.readouterr().err


def test_existing_run_is_not_overwritten(
    encoder: Path, recipe: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"earlier")
    assert main(arguments(encoder, recipe, faces, tmp_path / "run")) == 2
    assert "add --resume to continue" in capsys.readouterr().err
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == b"earlier"


def test_cuts_are_in_the_trunk() -> None:
    graph = read_encoder(encoder_model().SerializeToString())
    first, last = choose_cuts(graph, RoutedRecipe())
    assert (first.channels, last.channels) == (16, 16) and first != last
    assert choose_cuts(graph, RoutedRecipe(shared_blocks=-1)) == (last, last)
    with pytest.raises(ConfigError, match=r"network\.shared_blocks: .* 3 features .* found 3"):
        choose_cuts(graph, RoutedRecipe(shared_blocks=3))
