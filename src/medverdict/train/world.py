"""Several processes that train one model together, as `torchrun` starts them: who this one is, and what they share.

Every process holds the whole model and does every step; of a step's rows each computes its share, and gradients are
summed before anything looks at them. The first process alone writes files and tells a person what happens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from medverdict.console import hush
from medverdict.errors import RunError
from medverdict.model.precision import Placement

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of one training."""

    rank: int = 0
    """Number of this process."""
    size: int = 1
    """How many there are."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, rows: Sequence[T]) -> Sequence[T]:
        """This process's rows of a step: every row is some process's, and none is two processes'."""
        return rows[self.rank :: self.size]

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Add up over all processes, in place; all of them hold the same bytes afterwards.

        As one fp32 vector, because many small messages cost more than their bytes.
        """
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, value: T | None) -> T | None:
        """The first process's value, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def margins(self, own: np.ndarray | None, rows: int) -> np.ndarray:
        """Margins (rows,) that the first process scored, everywhere."""
        found = self.agree(own)
        assert found is not None and found.shape == (rows,)
        return found

    def reseed(self, seed: int, step: int) -> None:
        """Draw the dropout of a step from generators that know seed, step and process.

        So nothing has to be stored of the other processes' generators to continue after a cut. One process alone
        draws on from where it stands instead, as it always did.
        """
        if self.size > 1:
            torch.manual_seed((seed * 1_000_003 + step) * 1_009 + self.rank)


ALONE = World()


@contextmanager
def join_world(placement: Placement) -> Iterator[World]:
    """The world that torchrun's environment describes; `ALONE` without it. All but the first process fall silent.

    Raises RunError where a process has no GPU of its own.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    cuda = placement.device.type == "cuda"
    if cuda and int(os.environ["LOCAL_WORLD_SIZE"]) > torch.cuda.device_count():
        raise RunError(
            f"{os.environ['LOCAL_WORLD_SIZE']} processes and {torch.cuda.device_count()} GPU(s): each process needs "
            "one of its own. Lower --nproc-per-node."
        )
    dist.init_process_group("nccl" if cuda else "gloo", device_id=placement.device if cuda else None)
    world = World(dist.get_rank(), dist.get_world_size())
    try:
        if not world.first:
            hush()
        yield world
    finally:
        dist.destroy_process_group()
