"""Backward pass of a fixed global batch for each recipe, alone or under torchrun.

The first process writes loss and gradients.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from train.data import AugmentedChips, load_chips
from train.distributed import ProcessGroup, init_distributed
from train.loop import TrainingRun
from train.network import MfsaNetwork
from train.recipe import Recipe, load_recipe


def write_gradients(data: Path, out: Path, recipes: Sequence[Path]) -> None:
    """Write `out`/STEM for each recipe STEM.yaml."""
    torch.set_num_threads(1)
    out.mkdir(exist_ok=True)
    group = init_distributed()
    for recipe in recipes:
        _write(recipe, data, out / recipe.stem, group)
    group.close()


def _write(recipe_file: Path, data: Path, out: Path, group: ProcessGroup) -> None:
    recipe = load_recipe(recipe_file, Recipe)
    assert recipe.data.teacher is not None
    teacher = data / recipe.data.teacher
    chips, _ = load_chips(data, recipe.data, recipe.network.embedding, teacher)
    torch.manual_seed(0)
    run = TrainingRun(recipe, MfsaNetwork(recipe.network.config()), chips, group)
    run.compile_and_wrap()
    run.network.eval()  # batch norm does not depend on the share
    run.seen = recipe.chips // 2  # the adversary grows with progress
    keys = [(epoch, position) for epoch in range(2) for position in range(len(chips))]
    share = len(keys) // group.size
    batch = AugmentedChips(chips, recipe.draw, recipe.seed).__getitems__(
        keys[group.rank * share : (group.rank + 1) * share]
    )
    parts = run.backward(batch)
    if group.is_first:
        gradients = {
            name: p.grad for name, p in run.student.named_parameters() if p.grad is not None
        }
        torch.save({"loss": parts["loss"], "gradients": gradients}, out)


if __name__ == "__main__":
    data, out, *recipes = (Path(argument) for argument in sys.argv[1:])
    write_gradients(data, out, recipes)
