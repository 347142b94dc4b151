"""The loop as people run it: to its end, killed and resumed, and on two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edge.errors import ConfigError
from train.__main__ import main
from train.loop import learning_rate
from train.recipe import load_recipe
from train.weights import load_checkpoint, load_network, save_weights

WriteRecipe = Callable[..., Path]


def arguments(recipe: Path, faces: Path, out: Path, *more: str) -> list[str]:
    return ["--recipe", str(recipe), "--data", str(faces), "--out", str(out), *more]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_run_ends_with_a_checkpoint_a_log_and_weights(write_recipe: WriteRecipe, faces: Path, tmp_path: Path) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["seen"] == 32 and {"distil", "relation", "arcface", "mask", "adversary", "background"} <= lines[-1].keys()
    network = load_network(tmp_path / "run" / "checkpoint.pt")
    save_weights(network, tmp_path / "weights.safetensors")
    again = load_network(tmp_path / "weights.safetensors")
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        assert torch.allclose(network(x).embedding, again(x).embedding, atol=0.05)
    assert main(arguments(write_recipe(), faces, tmp_path / "fine", "--start-from", str(tmp_path / "weights.safetensors"))) == 0


def test_stopped_and_resumed_is_the_same_as_not_stopped(write_recipe: WriteRecipe, faces: Path, tmp_path: Path) -> None:
    recipe = write_recipe(decay=1e-6, warmup=0.0)  # a rate that does not depend on the length of the run
    assert main(arguments(recipe, faces, tmp_path / "whole")) == 0
    plain = write_recipe(decay=1e-6, warmup=0.0, loss={"arcface": 0.1, "adversary": 0.0})
    assert main(arguments(plain, faces, tmp_path / "straight")) == 0
    assert main(arguments(plain, faces, tmp_path / "parts", "--chips", "16")) == 0
    assert main(arguments(plain, faces, tmp_path / "parts", "--resume")) == 0
    straight, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("straight", "parts"))
    assert straight["seen"] == parts["seen"] == 32
    for name, value in straight["student"].items():
        assert torch.equal(value, parts["student"][name]), name


def test_an_existing_run_is_not_overwritten(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 0
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 2
    assert "add --resume to go on" in capsys.readouterr().err


def test_a_run_is_not_resumed_by_another_recipe(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "run", "--chips", "16")) == 0
    assert main(arguments(write_recipe(seed=7, mask_probability=0.1), faces, tmp_path / "run", "--resume")) == 2
    assert "made by a recipe with another mask_probability, seed" in capsys.readouterr().err


def test_recipes_that_ship_are_valid() -> None:
    recipes = sorted((Path(__file__).resolve().parents[2] / "train" / "recipes").glob("*.yaml"))
    assert len(recipes) >= 3
    for recipe in recipes:
        load_recipe(recipe)


def test_wrong_recipes_are_one_sentence(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(write_recipe(batch=0, speed=9), faces, tmp_path / "run")) == 2
    message = capsys.readouterr().err
    assert "batch" in message and "speed: unknown key" in message


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "junk.pt").write_bytes(b"junk")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    torch.save({"a": 1}, tmp_path / "other.pt")
    for name in ("junk.pt", "junk.safetensors", "none.pt", "other.pt"):
        with pytest.raises(ConfigError, match=name):
            load_network(tmp_path / name)


def test_the_rate_rises_stays_and_falls(write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe(learning_rate=1.0, warmup=0.1, decay=0.5))
    assert [round(learning_rate(recipe, p), 3) for p in (0, 0.05, 0.1, 0.5, 0.75, 1)] == [0, 0.5, 1, 1, 0.5, 0]


def test_two_processes_train_one_network(write_recipe: WriteRecipe, faces: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "train"]
    done = subprocess.run(
        [*command, *arguments(write_recipe(), faces, tmp_path / "run")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["seen"] == 32
    assert len(done.stdout.strip().splitlines()) <= 3
