"""One backward pass of a fixed global batch, alone or under torchrun; the first process writes loss and gradients."""

import sys
from pathlib import Path

import torch

from train.data import Views, load_chips
from train.distributed import join_world
from train.loop import Run
from train.recipe import load_recipe


def main(recipe_file: Path, data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    recipe = load_recipe(recipe_file)
    chips, _ = load_chips(data, recipe.data, recipe.network.embedding)
    world = join_world()
    torch.manual_seed(0)
    run = Run(recipe, chips, world)
    run.get_ready()
    run.network.eval()
    run.seen = recipe.chips // 2  # the adversary grows with progress
    keys = [(epoch, position) for epoch in range(2) for position in range(len(chips))]
    share = len(keys) // world.size
    batch = Views(chips, recipe.draw, recipe.seed).__getitems__(
        keys[world.rank * share : (world.rank + 1) * share]
    )
    told = run.gradients(batch)
    if world.first:
        gradients = {
            name: p.grad for name, p in run.student.named_parameters() if p.grad is not None
        }
        torch.save({"loss": told["loss"], "gradients": gradients}, out)
    world.leave()


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
