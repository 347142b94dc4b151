"""The loop as people run it: to its end, killed and resumed, and on two processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from calibration.chips import is_validation_identity
from edge.errors import ConfigError
from tests.processes import Process, run, until
from tests.train.gradients import write_gradients
from train.cli.train import main
from train.loop import learning_rate
from train.recipe import AdaptRecipe, Recipe, load_recipe
from train.validation import HEADLINE
from train.weights import load_checkpoint, load_network, save_weights

WriteRecipe = Callable[..., Path]
GRADIENTS = Path(__file__).with_name("gradients.py")
SMALL_NETWORK = {"embedding": 32, "widths": [8, 8, 16, 16], "blocks": [0, 1, 1, 1]}


def last_line(run: Path) -> dict[str, float]:
    return json.loads((run / "log.jsonl").read_text().splitlines()[-1])


def arguments(recipe: Path, faces: Path, out: Path, *more: str) -> list[str]:
    return ["--recipe", str(recipe), "--data", str(faces), "--out", str(out), *more]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_run_writes_checkpoint_log_and_weights(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert (
        lines[-1]["seen"] == 32
        and {"distil", "relation", "arcface", "mask", "adversary", "background"} <= lines[-1].keys()
    )
    network = load_network(tmp_path / "run" / "checkpoint.pt")
    save_weights(network, tmp_path / "weights.safetensors")
    again = load_network(tmp_path / "weights.safetensors")
    x = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        assert torch.allclose(network(x).embedding, again(x).embedding, atol=0.05)
    assert (
        main(
            arguments(
                write_recipe(),
                faces,
                tmp_path / "fine",
                "--start-from",
                str(tmp_path / "weights.safetensors"),
            )
        )
        == 0
    )


def test_resumed_run_equals_uninterrupted_run(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    """Eager FP32 on one thread, where arithmetic repeats to the last bit."""
    recipe = write_recipe(chips=400)

    def options(out: str) -> list[str]:
        return arguments(recipe, faces, tmp_path / out, "--save-every", "40")

    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    with Process("train", *options("killed"), log=tmp_path / "killed.log") as run:
        until(
            lambda: checkpoint.exists() or run.popen.poll() is not None, "a checkpoint", poll_s=0.01
        )
    assert 0 < load_checkpoint(checkpoint)["seen"] < 400
    assert main([*options("killed"), "--resume"]) == 0
    assert main(options("uninterrupted")) == 0
    killed, uninterrupted = (
        load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("killed", "uninterrupted")
    )
    assert killed["seen"] == uninterrupted["seen"] == 400
    for name, value in uninterrupted["student"].items():
        assert torch.equal(value, killed["student"][name]), name


def test_an_existing_run_is_not_overwritten(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 0
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 2
    assert "add --resume to continue" in capsys.readouterr().err


def test_a_run_is_not_resumed_by_another_recipe(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "run", "--set", "chips=16")) == 0
    assert main(arguments(write_recipe(seed=7, batch=8), faces, tmp_path / "run", "--resume")) == 2
    assert "made by a recipe with another batch, seed" in capsys.readouterr().err


def test_recipes_that_ship_are_valid() -> None:
    recipes = sorted((Path(__file__).resolve().parents[2] / "train" / "recipes").glob("*.yaml"))
    assert len(recipes) >= 3
    for recipe in recipes:
        load_recipe(recipe, AdaptRecipe if recipe.stem.startswith("adapt") else Recipe)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("absent", "mask_absent"),
        ("shown", "mask_area_min"),
        ("filled", "mask_area_batch"),
        ("cover", "area_min"),
        ("decided", "map_entropy"),
    ],
)
def test_recipe_renamed_loss_names_the_new(write_recipe: WriteRecipe, old: str, new: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"loss\.{old} \(line \d+\): renamed; write loss\.{new}$"
    ):
        load_recipe(write_recipe(loss={old: 1.0}), Recipe)


def test_recipe_keys_change_by_option(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = load_recipe(
        write_recipe(),
        Recipe,
        ["network.variant=none", "loss.mask=0", "draw.families=[kn95]", "seed=4"],
    )
    assert (
        recipe.network.variant == "none"
        and recipe.loss.mask == 0
        and recipe.draw.families == ("kn95",)
        and recipe.seed == 4
    )
    for change, part in (
        ("seed", "KEY=VALUE"),
        ("seed.a=1", "seed is not a section"),
        ("seed=[", "not valid YAML"),
        ("seeds=1", "unknown"),
    ):
        with pytest.raises(ConfigError, match=part):
            load_recipe(write_recipe(seed=0), Recipe, [change])


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"data": {"sources": ["people"]}, "loss": {"arcface": 0}}, "no loss for identities"),
        (
            {"data": {"sources": ["people"], "unlabelled": ["people"]}, "loss": {"arcface": 1}},
            "no loss for identities",
        ),
        (
            {"data": {"sources": ["people"]}, "loss": {"arcface": 1, "neighbours": 1}},
            "neighbours needs data.teacher",
        ),
        (
            {"data": {"sources": ["people"]}, "loss": {"arcface": 1, "alikeness": 1}},
            "alikeness needs data.teacher",
        ),
        ({"draw": {"families": ["duckbill"]}}, "for measurements only"),
        ({"network": {"encoder": "ir18", "blocks": [0, 1, 1, 1]}}, "four numbers of 1 or more"),
        ({"network": {"widths": [4, 4, 4, 4]}}, "four numbers of 8 or more"),
        ({"seed": -1}, "seed"),
        ({"frozen": True}, "add --start-from"),
    ],
)
def test_recipes_that_cannot_work_are_refused(
    write_recipe: WriteRecipe,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    part: str,
) -> None:
    assert main(arguments(write_recipe(**changes), faces, tmp_path / "run")) == 2
    assert part in capsys.readouterr().err


def test_a_frozen_part_keeps_weights_and_norms(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "first")) == 0
    before = tmp_path / "first" / "checkpoint.pt"
    assert (
        main(
            arguments(
                write_recipe(frozen=True), faces, tmp_path / "second", "--start-from", str(before)
            )
        )
        == 0
    )
    old, new = (
        load_checkpoint(path)["student"] for path in (before, tmp_path / "second" / "checkpoint.pt")
    )
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert not any(
        name.startswith(
            ("network.stem.0.", "network.stem.1.", "network.stem.2.", "network.stem.3.")
        )
        for name in moved
    )
    assert {"network.stem.4.body.0.0.weight", "network.attention.maps.bias"} <= moved


def test_other_attention_starts_open(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    assert main(arguments(write_recipe(), faces, tmp_path / "first")) == 0
    start = (
        "--start-from",
        str(tmp_path / "first" / "checkpoint.pt"),
        "--set",
        "network.variant=cal",
    )
    assert main(arguments(write_recipe(), faces, tmp_path / "second", *start)) == 0
    assert load_network(tmp_path / "second" / "checkpoint.pt").config.variant == "cal"


def test_stopped_run_continues(write_recipe: WriteRecipe, faces: Path, tmp_path: Path) -> None:
    assert main(arguments(write_recipe(stop_at=16), faces, tmp_path / "run")) == 0
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["seen"] == 16
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write(
            '{"seen": 20}\n{"seen": 2'
        )  # what a kill leaves of steps after the last checkpoint
    assert main(arguments(write_recipe(), faces, tmp_path / "run", "--resume")) == 0
    seen = [
        json.loads(line)["seen"]
        for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    assert seen == [16, 32]


def test_wrong_recipes_are_one_sentence(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(write_recipe(batch=0, speed=9), faces, tmp_path / "run")) == 2
    message = capsys.readouterr().err
    assert "batch" in message and "speed (line 24): unknown key" in message


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "junk.pt").write_bytes(b"junk")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    torch.save({"a": 1}, tmp_path / "other.pt")
    for name in ("junk.pt", "junk.safetensors", "none.pt", "other.pt"):
        with pytest.raises(ConfigError, match=name):
            load_network(tmp_path / name)


def test_the_rate_rises_stays_and_falls(write_recipe: WriteRecipe) -> None:
    for schedule, later in (("linear", 0.25), ("cosine", 0.146), ("polynomial", 0.062)):
        recipe = load_recipe(
            write_recipe(learning_rate=1.0, warmup=0.1, decay=0.5, schedule=schedule), Recipe
        )
        assert [round(learning_rate(recipe, p), 3) for p in (0, 0.05, 0.1, 0.5, 0.875, 1)] == [
            0,
            0.5,
            1,
            1,
            later,
            0,
        ]


def test_unreadable_pictures_are_reported(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (faces / "people" / "hopper" / "u_1.jpg").write_bytes(b"junk")
    assert main(arguments(write_recipe(), faces, tmp_path / "run")) == 0
    assert last_line(tmp_path / "run")["unreadable"] == 1
    assert "people/hopper/u_1.jpg" in caplog.text and "1 pictures could not be read" in caplog.text


def test_best_checkpoint_has_best_headline(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    kept = next(f"p{i}" for i in range(1000) if is_validation_identity(f"p{i}"))
    (faces / "people" / "hopper").rename(faces / "people" / kept)
    also = next(f"q{i}" for i in range(1000) if is_validation_identity(f"q{i}"))
    shutil.copytree(faces / "people" / "collins", faces / "people" / also)
    recipe = write_recipe(data={"sources": ["people"]}, loss={"arcface": 1.0}, validate_every=8)
    assert main(arguments(recipe, faces, tmp_path / "run")) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    exams = [line for line in lines if HEADLINE in line]
    assert [line["seen"] for line in exams] == [8, 16, 24, 32]
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    assert best["best"] == pytest.approx(min(line[HEADLINE] for line in exams), abs=1e-4)
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    assert {"training/loss", f"exam/{HEADLINE}"} <= set(board.Tags()["scalars"]) and board.Tags()[
        "images"
    ] == ["attention"]


def test_two_processes_train_one_network(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    launcher = ["--standalone", "--nproc-per-node=2", "-m", "train"]
    options = arguments(write_recipe(), faces, tmp_path / "run")
    done = run("torch.distributed.run", *launcher, *options)
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["seen"] == 32
    assert len(done.stdout.strip().splitlines()) <= 3


def test_two_processes_compute_gradients_of_one(
    write_recipe: WriteRecipe, faces: Path, tmp_path: Path
) -> None:
    """Compare one global batch; losses that compare chips must see those of both processes."""
    losses = {"arcface": 0.5, "neighbours": 0.5}
    recipes = []
    for variant in ("mfsa", "none"):
        network = {**SMALL_NETWORK, "variant": variant}
        recipe = write_recipe(loss=losses, network=network, draw={"mask_probability": 0.5})
        recipes.append(recipe.rename(tmp_path / f"{variant}.yaml"))
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    write_gradients(faces, alone, recipes)
    launcher = ["--standalone", "--nproc-per-node=2", GRADIENTS]
    done = run("torch.distributed.run", *launcher, faces, shared, *recipes)
    assert done.returncode == 0, done.stderr
    for recipe in recipes:
        _compare_gradients(alone / recipe.stem, shared / recipe.stem)


def _compare_gradients(alone: Path, shared: Path) -> None:
    one, two = (torch.load(path, weights_only=True) for path in (alone, shared))
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
    assert one["gradients"].keys() == two["gradients"].keys()
    for name, gradient in one["gradients"].items():
        # Another order of sums can switch single activations: allow 1 %. A wrong share is 50 %.
        assert (gradient - two["gradients"][name]).norm() <= 0.01 * gradient.norm() + 1e-6, name
    assert sum(bool(g.abs().sum() > 0) for g in one["gradients"].values()) > 20
