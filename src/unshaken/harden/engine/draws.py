"""Randomness inside models: of a guard, fresh numbers at every pass, and of a training step, all from one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from unshaken.core.rng import kept_random_state


class Draws(nn.Module):
    """A source of random numbers that a module holds; a pass takes the next generator.

    Pass number n after a reset draws the same numbers whatever was drawn elsewhere. They depend on what else is in the
    batch, as those of any random model do.

    Args:
        seed: of all draws.
        frozen: draw the same numbers at every pass.
    """

    state_attributes: ClassVar[frozenset[str]] = frozenset({"seed", "stream", "passes"})
    """What a fingerprint of the model leaves out."""

    def __init__(self, seed: int = 0, *, frozen: bool = False) -> None:
        super().__init__()
        self.frozen = frozen
        self.reset(seed)

    def reset(self, seed: int | str, stream: int = 0) -> None:
        """Start anew.

        Args:
            seed: of all draws.
            stream: number of the source within its model.
        """
        self.seed, self.stream, self.passes = seed, stream, 0

    def next(self) -> torch.Generator:
        """The generator of this pass, on the CPU."""
        text = f"{self.seed}\x1f{self.stream}\x1f{0 if self.frozen else self.passes}"
        self.passes += 1
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little")
        return torch.Generator().manual_seed(number)


def uniform(generator: torch.Generator, like: Tensor, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform in [low, high), on the device and of the type of a tensor."""
    drawn = torch.rand(shape, generator=generator)
    return drawn.mul_(high - low).add_(low).to(like)


@contextmanager
def drawn_for_step(seed: int, number: int, rank: int, device: torch.device) -> Iterator[None]:
    """Make the draws of modules such as dropout depend on a step alone; the caller's random states stay as they were.

    Args:
        seed: of the run.
        number: of the step, from 0.
        rank: of the process, from 0.
        device: where the modules draw.
    """
    mixed = hash((seed, number, rank)) % 2**63
    with kept_random_state(device):
        torch.set_rng_state(torch.Generator().manual_seed(mixed).get_state())
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(mixed)
        yield
