"""`mfsa-train`, `python -m train` or `torchrun -m train`: one loop for a laptop and for many GPUs."""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from edge.errors import ConfigError, MfsaError
from train.data import EpochSampler, Views, collate, load_chips, quiet_worker
from train.loss import Batch, Criterion, Student
from train.network import MASK, UNMASKED, MfsaNetwork, NetworkConfig, count_parameters
from train.recipe import Recipe, load_recipe
from train.weights import load_checkpoint, load_network

CHECKPOINT = "checkpoint.pt"
_SAVE_EVERY_S = 180.0
_LOG_EVERY_STEPS = 20
_VALIDATION_CHIPS = 1024


@dataclass(frozen=True)
class World:
    """Where this process stands among those of torchrun; alone without it."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


def join_world() -> World:
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if "WORLD_SIZE" not in os.environ:
        return World(0, 1, device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size(), device)


def keep_freed_memory() -> None:
    """Stop glibc from handing large buffers back after each step: page faults cost half of a step on a CPU."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        libc.mallopt(-2, 2**29)  # M_TOP_PAD
    except (OSError, AttributeError):  # no glibc: only slower
        pass


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Warm-up, a plateau, then a linear fall to zero; `progress` 0..1 of the whole run."""
    rise = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    fall = min(1.0, (1 - progress) / recipe.decay)
    return recipe.learning_rate * max(0.0, min(rise, fall))


def parameter_groups(student: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only, never on biases, norms and PReLU slopes."""
    trained = [p for p in student.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def save_checkpoint(path: Path, student: Student, optimizer: torch.optim.Optimizer, seen: int, recipe: Recipe) -> None:
    """Written beside and renamed, so that a kill leaves the old or the new one."""
    state = {
        "network": student.network.config.as_dict(),
        "student": student.state_dict(),
        "optimizer": optimizer.state_dict(),
        "seen": seen,
        "recipe": recipe.model_dump_json(),
        "torch_rng": torch.get_rng_state(),
    }
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def move(batch: Batch, device: torch.device) -> Batch:
    moved = {f.name: getattr(batch, f.name).to(device, non_blocking=True) for f in fields(batch)}
    moved["chips"] = moved["chips"].contiguous(memory_format=torch.channels_last)
    return Batch(**moved)


@torch.no_grad()
def validate(network: MfsaNetwork, clean: Views, masked: Views, device: torch.device) -> dict[str, float]:
    """Mean cosine to the teacher on kept-apart identities, clean and masked; how well and where masks are seen."""
    network.eval()
    figures: dict[str, float] = {}
    stride = max(1, len(clean) // _VALIDATION_CHIPS)
    keys = [(0, i) for i in range(0, len(clean), stride) if not clean.chips.items[i].real_mask][:_VALIDATION_CHIPS]
    for name, views in (("clean", clean), ("masked", masked)):
        cosine, right, maps = [], [], []
        for start in range(0, len(keys), 128):
            batch = move(views.__getitems__(keys[start : start + 128]), device)
            out = network(batch.chips)
            cosine.append((F.normalize(out.embedding) * batch.target).sum(dim=1))
            right.append(((out.mask_logit > 0) == (batch.mask_worn > 0.5)).float())
            maps.append(out.attention.mean(dim=(2, 3)))
        figures[f"cosine_{name}"] = float(torch.cat(cosine).mean())
        figures[f"mask_right_{name}"] = float(torch.cat(right).mean())
        figures[f"a_u_{name}"] = float(torch.cat(maps)[:, UNMASKED].mean())
        figures[f"a_m_{name}"] = float(torch.cat(maps)[:, MASK].mean())
    network.train()
    return figures


def train(recipe: Recipe, data: Path, out: Path, *, resume: bool, validate_every: int, start_from: Path | None = None) -> Path:
    """Run a recipe to its end, or on from `out`'s checkpoint; returns the checkpoint's path.

    `start_from` names weights of an earlier run to begin with instead of random ones.
    """
    world = join_world()
    torch.manual_seed(recipe.seed)
    keep_freed_memory()
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{checkpoint} exists: add --resume to go on, or name another --out")

    chips = load_chips(data, recipe.data, validation=False, embedding=recipe.network.embedding)
    held_out = load_chips(data, recipe.data, validation=True, embedding=recipe.network.embedding) if recipe.data.split else None
    network = MfsaNetwork(NetworkConfig(**recipe.network.model_dump())).to(world.device, memory_format=torch.channels_last)
    criterion = Criterion(recipe.loss, recipe.network.embedding, chips.identities).to(world.device)
    student = Student(network, criterion, recipe.bf16)
    optimizer = torch.optim.AdamW(parameter_groups(student, recipe.weight_decay), lr=recipe.learning_rate)
    seen = 0
    if start_from is not None and not (resume and checkpoint.exists()):
        earlier = load_network(start_from)
        if earlier.config != network.config:
            raise ConfigError(f"{start_from}: weights of {earlier.config}, the recipe asks for {network.config}")
        network.load_state_dict(earlier.state_dict())
    if resume and checkpoint.exists():
        state = load_checkpoint(checkpoint)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])
        seen = int(state["seen"])
    if recipe.compile:
        student.compile()
    step_module: nn.Module = DistributedDataParallel(student) if world.size > 1 else student

    sampler = EpochSampler(len(chips), recipe.seed, world.rank, world.size, start=seen)
    loader = DataLoader(
        Views(chips, recipe.mask_probability, recipe.seed),
        batch_size=recipe.batch,
        sampler=sampler,
        num_workers=recipe.workers,
        collate_fn=collate,
        worker_init_fn=quiet_worker,
        persistent_workers=recipe.workers > 0,
        prefetch_factor=4 if recipe.workers else None,
    )
    if world.first:
        print(
            f"{len(chips)} chips of {chips.identities} identities, {count_parameters(network):,} parameters, "
            f"{recipe.chips - seen:,} of {recipe.chips:,} chips to go on {world.size} x {world.device.type}",
            flush=True,
        )
    log = (out / "log.jsonl").open("a", encoding="utf-8") if world.first else None
    bar = tqdm(total=recipe.chips, initial=seen, unit="chip", disable=not world.first or not sys.stderr.isatty())
    step_size = recipe.batch * world.size
    started, saved, next_validation = time.monotonic(), time.monotonic(), seen + validate_every
    for step, batch in enumerate(loader, 1):
        if seen >= recipe.chips:
            break
        progress = seen / recipe.chips
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, progress)
        loss, parts, maps = step_module(move(batch, world.device), progress)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(student.parameters(), recipe.clip_gradient)
        if not math.isfinite(float(norm)):
            raise MfsaError(f"the gradient became {float(norm)} after {seen:,} chips: lower learning_rate and resume")
        optimizer.step()
        seen += step_size
        bar.update(step_size)
        if log is not None and (step % _LOG_EVERY_STEPS == 0 or seen >= recipe.chips):
            rate = step * step_size / (time.monotonic() - started)
            line = {
                "seen": seen,
                "chips_per_s": round(rate, 1),
                "lr": optimizer.param_groups[0]["lr"],
                "gradient": round(float(norm), 3),
                **{k: round(v, 4) for k, v in parts.items()},
                **{f"a_{k}": round(float(v), 3) for k, v in zip("umb", maps, strict=True)},
            }
            print(json.dumps(line), file=log, flush=True)
        if world.first and time.monotonic() - saved > _SAVE_EVERY_S:
            save_checkpoint(checkpoint, student, optimizer, seen, recipe)
            saved = time.monotonic()
        if log is not None and held_out is not None and (seen >= next_validation or seen >= recipe.chips):
            next_validation = seen + validate_every
            clean, masked = (Views(held_out, p, recipe.seed, augment=False) for p in (0.0, 1.0))
            figures = validate(network, clean, masked, world.device)
            print(json.dumps({"seen": seen, **{k: round(v, 4) for k, v in figures.items()}}), file=log, flush=True)
            tqdm.write(f"{seen:,} chips: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    bar.close()
    if world.first:
        save_checkpoint(checkpoint, student, optimizer, seen, recipe)
    if log is not None:
        log.close()
    if world.size > 1:
        dist.barrier()
        dist.destroy_process_group()
    return checkpoint


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mfsa-train",
        description="Train the MFSA network by a recipe; a run that was stopped goes on with --resume.",
        epilog="example: mfsa-train --recipe train/recipes/reference.yaml --data ../faces --out runs/reference",
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file, see train/recipes/")
    parser.add_argument("--data", type=Path, required=True, help="folder that the recipe's sources are under")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.jsonl")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start-from", type=Path, metavar="WEIGHTS", help="checkpoint or .safetensors to begin with")
    parser.add_argument("--chips", type=int, help="see this many chips instead of the recipe's number")
    parser.add_argument("--validate-every", type=int, default=50_000, metavar="CHIPS", help="default %(default)s")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        recipe = load_recipe(args.recipe, {"chips": args.chips} if args.chips else None)
        checkpoint = train(
            recipe, args.data, args.out, resume=args.resume, validate_every=args.validate_every, start_from=args.start_from
        )
    except ConfigError as error:
        print(f"mfsa-train: {error}", file=sys.stderr)
        return 2
    except MfsaError as error:
        print(f"mfsa-train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mfsa-train: stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        return 1
    print(f"done: {checkpoint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
