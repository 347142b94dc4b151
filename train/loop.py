"""Training loop: state of a run, one step, checkpoints and logs."""

from __future__ import annotations

import ctypes
import io
import math
import shutil
import time
from collections.abc import Callable
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
from edge.system.atomic_files import write_atomic
from train.data import AugmentedChips, ChipSet, EpochSampler, collate, init_worker, load_chips
from train.distributed import ProcessGroup, init_distributed
from train.loss import Batch, Criterion, Student
from train.network import MfsaNetwork, count_parameters
from train.recipe import Recipe, TrainingRecipe
from train.routed import Network
from train.run_log import RunLog
from train.validation import HEADLINE, Validation
from train.weights import encoder_tensor, load_checkpoint, load_network

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
# Keys that may change when a run is resumed.
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
}
_SAVE_EVERY_S = 180.0


def keep_freed_memory() -> None:
    """Keep freed buffers in glibc: page faults take much of a step on a CPU."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        libc.mallopt(-2, 2**29)  # M_TOP_PAD
    except (OSError, AttributeError):  # no glibc: only slower
        pass


def learning_rate(recipe: TrainingRecipe, progress: float) -> float:
    """Return the rate: warm-up, plateau, then decay to zero; `progress` 0..1 of the run."""
    rise = min(1.0, progress / recipe.warmup) if recipe.warmup else 1.0
    left = max(0.0, min(1.0, (1 - progress) / recipe.decay))
    fall = {"linear": left, "polynomial": left**2, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}[
        recipe.schedule
    ]
    return recipe.learning_rate * min(rise, fall)


def parameter_groups(student: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups with weight decay on matrices and kernels only."""
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
    """State of a run: student, optimizer and number of chips; `step` trains one batch."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        network: Network,
        chips: ChipSet,
        group: ProcessGroup,
    ) -> None:
        self.recipe = recipe
        self.world = group
        self.seen = 0
        self.best = math.inf
        config, loss = network.config, recipe.loss
        with_bank = loss.neighbours > 0 or loss.match > 0 or loss.alikeness > 0
        criterion = Criterion(
            loss,
            config.embedding,
            config.variant,
            chips.identities,
            chips.teacher_bank() if with_bank else None,
        )
        student = Student(network, criterion, group, recipe.bf16)
        # The stubs of `Module.to` lack the overload with a memory format.
        student.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.student = student
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.student, recipe.weight_decay), lr=recipe.learning_rate
        )
        self._module: nn.Module = self.student

    @property
    def network(self) -> Network:
        return self.student.network

    @property
    def total_chips(self) -> int:
        """Number of chips of the run."""
        return self.recipe.stop_at or self.recipe.chips

    @property
    def is_done(self) -> bool:
        return self.seen >= self.total_chips

    @property
    def batch(self) -> int:
        """Chips of one step of all processes."""
        return self.recipe.batch * self.world.size

    def load_initial_weights(self, weights: Path) -> None:
        """Load the weights of an earlier run, without the attention of another variant.

        Raises ConfigError for weights of another network.
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
        """Resume from a checkpoint; raises ConfigError for the network of another recipe."""
        state = load_checkpoint(checkpoint)
        try:
            earlier = parse_json(type(self.recipe), state["recipe"])
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{checkpoint}: made by another version of the recipe: {reason}"
            ) from error
        differing = [
            name
            for name, value in earlier
            if name not in _MAY_CHANGE and value != getattr(self.recipe, name)
        ]
        if differing:
            raise ConfigError(
                f"{checkpoint}: made by a recipe with another {', '.join(differing)}; "
                "name another --out"
            )
        try:
            self.student.load_state_dict(state["student"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["torch_rng"])
            self.seen, self.best = int(state["seen"]), float(state["best"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"{checkpoint}: not of this recipe, or damaged ({reason[:200]}); name another --out"
            ) from error

    def save(self, checkpoint: Path) -> None:
        """Write a checkpoint atomically; raises MfsaError."""
        state = {
            "network": self.network.config.as_dict(),
            **encoder_tensor(self.network),
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seen": self.seen,
            "best": self.best,
            "recipe": self.recipe.model_dump_json(),
            "torch_rng": torch.get_rng_state(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        try:
            write_atomic(checkpoint, buffer.getvalue(), 0o644)
        except OSError as error:
            raise MfsaError(
                f"{checkpoint}: cannot be written: {error.strerror}; the previous one is kept"
            ) from error

    def compile_and_wrap(self) -> None:
        """Compile the network and wrap it for DDP, after its weights are loaded."""
        if self.recipe.compile:
            if self.world.device.type == "cpu" and not (
                shutil.which("g++") or shutil.which("clang++")
            ):
                raise ConfigError(
                    "compile needs a C++ compiler on a CPU; install g++, or add --set compile=false"
                )
            self.student.compile()
        if self.world.size > 1:
            # Losses may be off; the only large buffer is the teacher bank, equal in all processes.
            self._module = DistributedDataParallel(
                self.student, find_unused_parameters=True, broadcast_buffers=False
            )

    def backward(self, batch: Batch) -> dict[str, float]:
        """Compute the gradients of a batch; return its losses and the means of the maps."""
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
        """Run one optimizer step and return its figures; raises MfsaError for a bad gradient."""
        rate = learning_rate(self.recipe, self.seen / self.recipe.chips)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        figures = self.backward(batch)
        norm = float(nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_gradient))
        if not math.isfinite(norm):
            raise MfsaError(
                f"the gradient became {norm} after {self.seen:,} chips; "
                "lower learning_rate and resume"
            )
        self.optimizer.step()
        self.seen += self.batch
        return {"seen": self.seen, "rate": rate, "gradient": norm, **figures}

    def loader(self, chips: ChipSet) -> DataLoader[Batch]:
        """Return a loader of endless batches from here on."""
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
    """Run a recipe to its end, or resume it from `out`; return the checkpoint.

    `start_from` names initial weights of an earlier run. `save_every` is in chips; by default a
    checkpoint is written every three minutes. Raises ConfigError.
    """
    check_output(out, resume)
    if recipe.frozen and start_from is None and not (out / CHECKPOINT).exists():
        raise ConfigError(
            "frozen keeps the first layers of an earlier run; add --start-from WEIGHTS"
        )
    teacher = None if recipe.data.teacher is None else data / recipe.data.teacher
    chips, held_out = load_chips(data, recipe.data, recipe.network.embedding, teacher)
    make_output(out)

    def build() -> MfsaNetwork:
        network = MfsaNetwork(recipe.network.config())
        if recipe.frozen:
            network.freeze()
        return network

    return run_training(
        recipe, build, (chips, held_out), out, start_from=start_from, save_every=save_every
    )


def check_output(out: Path, resume: bool) -> None:
    """Raise ConfigError if the output is no folder, or holds a run that is not to be resumed."""
    if file := next((path for path in (out, *out.parents) if path.is_file()), None):
        raise ConfigError(f"--out {out}: {file} is a file; name a folder")
    if (out / CHECKPOINT).exists() and not resume:
        raise ConfigError(
            f"{out / CHECKPOINT} exists; add --resume to continue, or name another --out"
        )


def make_output(out: Path) -> None:
    """Make the output folder; raises ConfigError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot be made ({error.strerror}); name another --out"
        ) from error


def run_training(
    recipe: TrainingRecipe,
    build: Callable[[], Network],
    data: tuple[ChipSet, ChipSet | None],
    out: Path,
    *,
    start_from: Path | None = None,
    save_every: int | None = None,
) -> Path:
    """Train a network on (training chips, validation chips) to the end of the recipe.

    A checkpoint in `out` is resumed. Return the checkpoint; raises ConfigError.
    """
    chips, held_out = data
    checkpoint = out / CHECKPOINT
    world = init_distributed()
    torch.manual_seed(recipe.seed)
    keep_freed_memory()
    run = TrainingRun(recipe, build(), chips, world)
    if checkpoint.exists():
        run.resume(checkpoint)
    elif start_from is not None:
        run.load_initial_weights(start_from)
    run.student.train()  # parts of an encoder are built in evaluation mode
    world.check_same_start(run.seen, checkpoint)
    run.compile_and_wrap()
    if world.is_first:
        _print_start(run, chips)
    validation = (
        Validation(held_out, world.device) if held_out is not None and world.is_first else None
    )
    _run_steps(run, chips, validation, out, save_every)
    world.close()
    return checkpoint


def _print_start(run: TrainingRun, chips: ChipSet) -> None:
    tqdm.write(
        f"{len(chips):,} chips of {chips.identities:,} identities, "
        f"{count_parameters(run.network):,} parameters, "
        f"{max(0, run.total_chips - run.seen):,} of {run.total_chips:,} chips left "
        f"on {run.world.size} x {run.world.device.type}",
    )


def _run_steps(
    run: TrainingRun,
    chips: ChipSet,
    validation: Validation | None,
    out: Path,
    save_every: int | None,
) -> None:
    run_log = RunLog(run.world.is_first, out, run.total_chips, run.seen)
    saved_at, saved_seen = time.monotonic(), run.seen
    every = run.recipe.validate_every
    batches = iter(run.loader(chips))
    while not run.is_done:
        batch = next(batches)
        run_log.log_step(run.step(batch), run.batch, batch.skipped)
        if not run.world.is_first:
            continue
        # On a fixed grid: a resumed run validates at the same steps.
        if validation is not None and (
            run.is_done or run.seen // every > (run.seen - run.batch) // every
        ):
            figures, pictures = validation.run(run.network)
            run_log.log_validation(run.seen, figures, pictures)
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
    run_log.close()
