"""The training loop: the state of a run, one step, and the way from the first chip to the last."""

from __future__ import annotations

import ctypes
import math
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from edge.errors import ConfigError, MfsaError
from edge.parsing import parse_json
from train.data import AugmentedChips, ChipSet, EpochSampler, collate, init_worker, load_chips
from train.distributed import ProcessGroup, init_distributed
from train.loss import Batch, Criterion, Student
from train.network import MfsaNetwork, count_parameters
from train.recipe import Recipe
from train.run_log import RunLog
from train.validation import HEADLINE, Validation
from train.weights import load_checkpoint, load_network

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
_MAY_CHANGE = {
    "stop_at",
    "chips",
    "learning_rate",
    "warmup",
    "decay",
    "schedule",
    "workers",
    "compile",
    "bf16",
    "validate_every",
}  # on resuming
_SAVE_EVERY_S = 180.0


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
    """Warm-up, a plateau, then the schedule's way to zero; `progress` 0..1 of the whole run."""
    rise = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    left = max(0.0, min(1.0, (1 - progress) / recipe.decay))
    fall = {"linear": left, "polynomial": left**2, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}[
        recipe.schedule
    ]
    return recipe.learning_rate * min(rise, fall)


def parameter_groups(student: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only, never on biases, norms and PReLU slopes."""
    trained = [p for p in student.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def to_device(batch: Batch, device: torch.device) -> Batch:
    moved: dict[str, Any] = {
        name: value.to(device, non_blocking=True) for name, value in batch.tensors().items()
    }
    moved["chips"] = moved["chips"].contiguous(memory_format=torch.channels_last)
    return replace(batch, **moved)


class TrainingRun:
    """Student, optimizer and how many chips they have seen; `step` takes one batch further."""

    def __init__(self, recipe: Recipe, chips: ChipSet, group: ProcessGroup) -> None:
        self.recipe = recipe
        self.world = group
        self.seen = 0
        self.best = math.inf
        config = recipe.network.config()
        bank = torch.from_numpy(chips.teacher_bank()) if recipe.loss.neighbours > 0 else None
        criterion = Criterion(recipe.loss, config, chips.identities, bank)
        network = MfsaNetwork(config)
        if recipe.frozen:
            network.freeze()
        student = Student(network, criterion, group, recipe.bf16)
        # The stubs of `Module.to` lack the overload with a memory format.
        student.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.student = student
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.student, recipe.weight_decay), lr=recipe.learning_rate
        )
        self._module: nn.Module = self.student

    @property
    def network(self) -> MfsaNetwork:
        return self.student.network

    @property
    def total_chips(self) -> int:
        """How many chips the run sees."""
        return self.recipe.stop_at or self.recipe.chips

    @property
    def is_done(self) -> bool:
        return self.seen >= self.total_chips

    @property
    def batch(self) -> int:
        """Chips of one step, of all processes together."""
        return self.recipe.batch * self.world.size

    def load_initial_weights(self, weights: Path) -> None:
        """Take the weights of an earlier run; its attention may be another, which then begins open.

        Raises ConfigError where they are of another network.
        """
        earlier = load_network(weights)
        ours = self.network.config
        if replace(earlier.config, variant=ours.variant) != ours:
            raise ConfigError(f"{weights}: weights of {earlier.config}, the recipe asks for {ours}")
        state = earlier.state_dict()
        if earlier.config.variant != ours.variant:
            state = {
                name: value for name, value in state.items() if not name.startswith("attention.")
            }
        self.network.load_state_dict(state, strict=earlier.config.variant == ours.variant)

    def resume(self, checkpoint: Path) -> None:
        """Go on where a checkpoint stands; raises ConfigError where it is of another recipe's network."""
        state = load_checkpoint(checkpoint)
        try:
            earlier = parse_json(Recipe, state["recipe"])
        except ValueError as error:
            raise ConfigError(
                f"{checkpoint}: made by another version of the recipe: {error}"
            ) from error
        differing = [
            name
            for name, value in earlier
            if name not in _MAY_CHANGE and value != getattr(self.recipe, name)
        ]
        if differing:
            raise ConfigError(
                f"{checkpoint}: made by a recipe with another {', '.join(differing)}; name another --out"
            )
        try:
            self.student.load_state_dict(state["student"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{checkpoint}: not of this recipe: {str(error).splitlines()[0]}"
            ) from error
        torch.set_rng_state(state["torch_rng"])
        self.seen, self.best = int(state["seen"]), float(state["best"])

    def save(self, checkpoint: Path) -> None:
        """Written beside and renamed, so that a kill leaves the old or the new one."""
        state = {
            "network": self.network.config.as_dict(),
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seen": self.seen,
            "best": self.best,
            "recipe": self.recipe.model_dump_json(),
            "torch_rng": torch.get_rng_state(),
        }
        fresh = checkpoint.with_suffix(".new")
        try:
            torch.save(state, fresh)
            fresh.replace(checkpoint)
        except (OSError, RuntimeError) as error:  # torch wraps a full disk in a RuntimeError
            raise MfsaError(
                f"{checkpoint}: cannot be written: {str(error).splitlines()[0]}; the one before it stays"
            ) from error

    def compile_and_wrap(self) -> None:
        """Compile and join the other processes; after the weights are what they shall be."""
        if self.recipe.compile:
            if self.world.device.type == "cpu" and not (
                shutil.which("g++") or shutil.which("clang++")
            ):
                raise ConfigError(
                    "compile needs a C++ compiler on a CPU; install g++, or add --set compile=false"
                )
            self.student.compile()
        if self.world.size > 1:
            # Losses may be switched off, and the only large buffer is the teacher's bank, which is the same everywhere.
            self._module = DistributedDataParallel(
                self.student, find_unused_parameters=True, broadcast_buffers=False
            )

    def backward(self, batch: Batch) -> dict[str, float]:
        """Leave the gradients of one batch in the parameters; its losses and the means of the maps."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, parts, maps = self._module(
            to_device(batch, self.world.device), self.seen / self.recipe.chips
        )
        loss.backward()
        return {
            "loss": float(loss.detach()),
            **{name: float(part) for name, part in parts.items()},
            **{f"a_{name}": float(value) for name, value in zip("umb", maps, strict=True)},
        }

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimizer; what the log says of it. Raises MfsaError where the gradient is not finite."""
        rate = learning_rate(self.recipe, self.seen / self.recipe.chips)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        told = self.backward(batch)
        norm = float(nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_gradient))
        if not math.isfinite(norm):
            raise MfsaError(
                f"the gradient became {norm} after {self.seen:,} chips: lower learning_rate and resume"
            )
        self.optimizer.step()
        self.seen += self.batch
        return {"seen": self.seen, "rate": rate, "gradient": norm, **told}

    def loader(self, chips: ChipSet) -> DataLoader[Batch]:
        """Endless batches from here on."""
        workers = self.recipe.workers
        return DataLoader(
            AugmentedChips(chips, self.recipe.draw, self.recipe.seed),  # type: ignore[arg-type]
            batch_size=self.recipe.batch,
            sampler=EpochSampler(
                len(chips), self.recipe.seed, self.world.rank, self.world.size, start=self.seen
            ),
            num_workers=workers,
            collate_fn=collate,  # type: ignore[arg-type]
            worker_init_fn=init_worker,
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            pin_memory=self.world.device.type == "cuda",
        )


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    resume: bool,
    start_from: Path | None = None,
    save_every: int | None = None,
) -> Path:
    """Run a recipe to its end, or on from `out`'s checkpoint; returns the checkpoint's path.

    `start_from` names weights of an earlier run to begin with instead of random ones; `save_every` is in chips, by
    default a checkpoint is written every three minutes. Raises ConfigError.
    """
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{checkpoint} exists: add --resume to go on, or name another --out")
    if recipe.frozen and start_from is None and not checkpoint.exists():
        raise ConfigError(
            "frozen keeps the first layers as an earlier run made them: add --start-from WEIGHTS"
        )
    chips, held_out = load_chips(data, recipe.data, recipe.network.embedding)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot be made ({error.strerror}); name another --out"
        ) from error
    world = init_distributed()
    torch.manual_seed(recipe.seed)
    keep_freed_memory()
    run = TrainingRun(recipe, chips, world)
    if checkpoint.exists():
        run.resume(checkpoint)
    elif start_from is not None:
        run.load_initial_weights(start_from)
    world.check_same_start(run.seen, checkpoint)
    run.compile_and_wrap()
    if world.is_first:
        tqdm.write(
            f"{len(chips):,} chips of {chips.identities:,} identities, {count_parameters(run.network):,} parameters, "
            f"{max(0, run.total_chips - run.seen):,} of {run.total_chips:,} chips to go on {world.size} x {world.device.type}",
        )
    exam = Validation(held_out, world.device) if held_out is not None and world.is_first else None
    _run_steps(run, chips, exam, out, save_every)
    world.close()
    return checkpoint


def _run_steps(
    run: TrainingRun, chips: ChipSet, exam: Validation | None, out: Path, save_every: int | None
) -> None:
    journal = RunLog(run.world.is_first, out, run.total_chips, run.seen)
    saved_at, saved_seen = time.monotonic(), run.seen
    every = run.recipe.validate_every
    batches = iter(run.loader(chips))
    while not run.is_done:
        batch = next(batches)
        journal.log_step(run.step(batch), run.batch, batch.skipped)
        if not run.world.is_first:
            continue
        # On a fixed grid, so that a resumed run sits the exams of one that was not stopped.
        if exam is not None and (
            run.is_done or run.seen // every > (run.seen - run.batch) // every
        ):
            figures, pictures = exam.run(run.network)
            journal.log_validation(run.seen, figures, pictures)
            if figures.get(HEADLINE, math.inf) < run.best:
                run.best = figures[HEADLINE]
                run.save(out / BEST)
        due = (
            run.seen - saved_seen >= save_every
            if save_every
            else time.monotonic() - saved_at > _SAVE_EVERY_S
        )
        if run.is_done or due:
            run.save(out / CHECKPOINT)
            saved_at, saved_seen = time.monotonic(), run.seen
    journal.close()
