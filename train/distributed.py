"""Process group of distributed training under torchrun, or a single process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from edge.errors import ConfigError


class _Gather(torch.autograd.Function):
    """Gather rows of all processes by rank; each process keeps the gradient of its own rows.

    Every process computes the same loss of all rows, and DDP averages their gradients. Each
    gradient is multiplied by the number of processes, so that the mean is the gradient of the loss.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, world: ProcessGroup) -> Tensor:
        ctx.world, ctx.count = world, len(rows)
        parts = [torch.empty_like(rows) for _ in range(world.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        start = ctx.world.rank * ctx.count
        return grad[start : start + ctx.count] * ctx.world.size, None


@dataclass(frozen=True)
class ProcessGroup:
    """Rank, size and device of this process."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows (B,...) of all processes (size * B,...), differentiable."""
        if self.size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, self)  # type: ignore[no-untyped-call]
        return gathered

    def check_same_start(self, seen: int, checkpoint: Path) -> None:
        """Raise ConfigError if processes start at different steps, as without a shared disk."""
        if self.size > 1:
            everywhere: list[int | None] = [None] * self.size
            dist.all_gather_object(everywhere, seen)
            if len(set(everywhere)) > 1:
                raise ConfigError(
                    f"{checkpoint}: not visible to all processes; put --out on a shared disk"
                )

    def close(self) -> None:
        """Leave the group after all processes arrived."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


def init_distributed() -> ProcessGroup:
    """Join the process group of torchrun, or form one of a single process."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {local} has no GPU: torchrun starts more processes than the "
                f"{torch.cuda.device_count()} GPUs"
            )
        torch.cuda.set_device(device)
    if "WORLD_SIZE" not in os.environ:
        return ProcessGroup(0, 1, device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
