"""The training loop: one class for the state of a run, one for what is told of it."""

from __future__ import annotations

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
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from edge.errors import ConfigError, MfsaError
from train.data import ChipSet, EpochSampler, Views, collate, load_chips, quiet_worker
from train.loss import Batch, Criterion, Student
from train.network import MASK, UNMASKED, MfsaNetwork, NetworkConfig, count_parameters
from train.recipe import Recipe
from train.weights import load_checkpoint, load_network

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
_MAY_CHANGE = {"chips", "learning_rate", "warmup", "decay", "workers", "compile", "bf16"}  # of a recipe, on resuming
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

    def agree_on(self, seen: int, checkpoint: Path) -> None:
        """Raises ConfigError where processes begin at different places, as they do without a shared disk."""
        if self.size > 1:
            everywhere: list[int | None] = [None] * self.size
            dist.all_gather_object(everywhere, seen)
            if len(set(everywhere)) > 1:
                raise ConfigError(f"{checkpoint}: not seen by all processes; put --out on a disk that they share")

    def leave(self) -> None:
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


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
    """Stop glibc from handing large buffers back after each step: page faults cost much of a step on a CPU."""
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


def move(batch: Batch, device: torch.device) -> Batch:
    moved = {f.name: getattr(batch, f.name).to(device, non_blocking=True) for f in fields(batch)}
    moved["chips"] = moved["chips"].contiguous(memory_format=torch.channels_last)
    return Batch(**moved)


class Run:
    """Student, optimizer and how many chips they have seen; `step` takes one batch further."""

    def __init__(self, recipe: Recipe, identities: int, world: World) -> None:
        self.recipe = recipe
        self.world = world
        self.seen = 0
        network = MfsaNetwork(NetworkConfig(**recipe.network.model_dump()))
        criterion = Criterion(recipe.loss, recipe.network.embedding, identities)
        self.student = Student(network, criterion, recipe.bf16).to(world.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.student, recipe.weight_decay), lr=recipe.learning_rate)
        self._module: nn.Module = self.student

    @property
    def network(self) -> MfsaNetwork:
        return self.student.network

    @property
    def done(self) -> bool:
        return self.seen >= self.recipe.chips

    @property
    def batch(self) -> int:
        """Chips of one step, of all processes together."""
        return self.recipe.batch * self.world.size

    def begin_with(self, weights: Path) -> None:
        """Take the network's weights from an earlier run; raises ConfigError where they are of another network."""
        earlier = load_network(weights)
        if earlier.config != self.network.config:
            raise ConfigError(f"{weights}: weights of {earlier.config}, the recipe asks for {self.network.config}")
        self.network.load_state_dict(earlier.state_dict())

    def resume(self, checkpoint: Path) -> None:
        """Go on where a checkpoint stands; raises ConfigError where it is of another recipe's network."""
        state = load_checkpoint(checkpoint)
        earlier = Recipe.model_validate_json(state["recipe"])
        differing = [name for name, value in earlier if name not in _MAY_CHANGE and value != getattr(self.recipe, name)]
        if differing:
            raise ConfigError(f"{checkpoint}: made by a recipe with another {', '.join(differing)}; name another --out")
        try:
            self.student.load_state_dict(state["student"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(f"{checkpoint}: not of this recipe: {str(error).splitlines()[0]}") from error
        torch.set_rng_state(state["torch_rng"])
        self.seen = int(state["seen"])

    def save(self, checkpoint: Path) -> None:
        """Written beside and renamed, so that a kill leaves the old or the new one."""
        state = {
            "network": self.network.config.as_dict(),
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seen": self.seen,
            "recipe": self.recipe.model_dump_json(),
            "torch_rng": torch.get_rng_state(),
        }
        fresh = checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(checkpoint)

    def get_ready(self) -> None:
        """Compile and join the other processes; after the weights are what they shall be."""
        if self.recipe.compile:
            self.student.compile()
        if self.world.size > 1:
            self._module = DistributedDataParallel(self.student)

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimizer; what the log says of it. Raises MfsaError where the gradient is not finite."""
        progress = self.seen / self.recipe.chips
        rate = learning_rate(self.recipe, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, parts, maps = self._module(move(batch, self.world.device), progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_gradient))
        if not math.isfinite(norm):
            raise MfsaError(f"the gradient became {norm} after {self.seen:,} chips: lower learning_rate and resume")
        self.optimizer.step()
        self.seen += self.batch
        return {"seen": self.seen, "rate": rate, "gradient": norm, **parts, **_map_means(maps)}

    def loader(self, chips: ChipSet) -> DataLoader[Batch]:
        """Endless batches from here on."""
        workers = self.recipe.workers
        return DataLoader(
            Views(chips, self.recipe.mask_probability, self.recipe.seed),  # type: ignore[arg-type]
            batch_size=self.recipe.batch,
            sampler=EpochSampler(len(chips), self.recipe.seed, self.world.rank, self.world.size, start=self.seen),
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=quiet_worker,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
        )


def _map_means(maps: Tensor) -> dict[str, float]:
    return {f"a_{name}": float(value) for name, value in zip("umb", maps, strict=True)}


@torch.no_grad()
def validate(network: MfsaNetwork, held_out: ChipSet, device: torch.device) -> dict[str, float]:
    """Mean cosine to the teacher on people kept apart, clean and masked; how often masks are seen, and the maps' means."""
    network.eval()
    stride = max(1, len(held_out) // _VALIDATION_CHIPS)
    keys = [(0, i) for i in range(0, len(held_out), stride) if not held_out.items[i].real_mask][:_VALIDATION_CHIPS]
    figures: dict[str, float] = {}
    for name, probability in (("clean", 0.0), ("masked", 1.0)):
        views = Views(held_out, probability, seed=0, augment=False)
        rows = []
        for start in range(0, len(keys), 128):
            batch = move(views.__getitems__(keys[start : start + 128]), device)
            out = network(batch.chips)
            cosine = (F.normalize(out.embedding) * batch.target).sum(dim=1)
            right = ((out.mask_logit > 0) == (batch.mask_worn > 0.5)).float()
            rows.append(torch.column_stack([cosine, right, out.attention.mean(dim=(2, 3))[:, [UNMASKED, MASK]]]))
        means = torch.cat(rows).mean(dim=0)
        figures |= {f"{what}_{name}": float(v) for what, v in zip(("cosine", "mask_right", "a_u", "a_m"), means, strict=True)}
    network.train()
    return figures


class Journal:
    """Progress bar and `log.jsonl` of the first process; the others keep silent."""

    def __init__(self, run: Run, out: Path) -> None:
        self._run = run
        self._file = (out / LOG).open("a", encoding="utf-8") if run.world.first else None
        shown = run.world.first and sys.stderr.isatty()
        self._bar = tqdm(total=run.recipe.chips, initial=run.seen, unit="chip", disable=not shown)
        self._started, self._from, self._steps = time.monotonic(), run.seen, 0

    def after_step(self, line: dict[str, float]) -> None:
        self._bar.update(self._run.batch)
        self._steps += 1
        if self._steps % _LOG_EVERY_STEPS == 0 or self._run.done:
            per_s = (self._run.seen - self._from) / (time.monotonic() - self._started)
            self._write({**line, "chips_per_s": per_s})

    def after_validation(self, figures: dict[str, float]) -> None:
        self._write({"seen": self._run.seen, **figures})
        if self._file is not None:
            tqdm.write(f"{self._run.seen:,} chips: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))

    def close(self) -> None:
        self._bar.close()
        if self._file is not None:
            self._file.close()

    def _write(self, line: dict[str, float]) -> None:
        if self._file is not None:
            rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in line.items()}
            print(json.dumps(rounded), file=self._file, flush=True)


def train(recipe: Recipe, data: Path, out: Path, *, resume: bool, validate_every: int, start_from: Path | None = None) -> Path:
    """Run a recipe to its end, or on from `out`'s checkpoint; returns the checkpoint's path.

    `start_from` names weights of an earlier run to begin with instead of random ones. Raises ConfigError.
    """
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{checkpoint} exists: add --resume to go on, or name another --out")
    embedding = recipe.network.embedding
    chips = load_chips(data, recipe.data, validation=False, embedding=embedding)
    held_out = load_chips(data, recipe.data, validation=True, embedding=embedding) if recipe.data.split != () else None
    out.mkdir(parents=True, exist_ok=True)
    world = join_world()
    torch.manual_seed(recipe.seed)
    keep_freed_memory()
    run = Run(recipe, chips.identities, world)
    if checkpoint.exists():
        run.resume(checkpoint)
    elif start_from is not None:
        run.begin_with(start_from)
    world.agree_on(run.seen, checkpoint)
    run.get_ready()
    if world.first:
        print(
            f"{len(chips):,} chips of {chips.identities:,} identities, {count_parameters(run.network):,} parameters, "
            f"{recipe.chips - run.seen:,} of {recipe.chips:,} chips to go on {world.size} x {world.device.type}",
            flush=True,
        )
    _go(run, chips, held_out, out, validate_every)
    world.leave()
    return checkpoint


def _go(run: Run, chips: ChipSet, held_out: ChipSet | None, out: Path, validate_every: int) -> None:
    journal = Journal(run, out)
    saved_at, next_validation = time.monotonic(), run.seen + validate_every
    batches = iter(run.loader(chips))
    while not run.done:
        journal.after_step(run.step(next(batches)))
        if not run.world.first:
            continue
        if run.done or time.monotonic() - saved_at > _SAVE_EVERY_S:
            run.save(out / CHECKPOINT)
            saved_at = time.monotonic()
        if held_out is not None and (run.done or run.seen >= next_validation):
            journal.after_validation(validate(run.network, held_out, run.world.device))
            next_validation = run.seen + validate_every
    journal.close()
