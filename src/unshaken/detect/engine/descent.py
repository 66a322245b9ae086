"""`descend`: Adam over batches of images in memory, for the small networks of this room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from unshaken.core.errors import RunError
from unshaken.core.memory import keep_freed_memory
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.generate.fit import rate

Loss = Callable[[Tensor, SampleRng], Tensor]
"""From the rows of a batch, int64 `[n]`, and their streams to a number."""


def descend(
    weights: Iterable[nn.Parameter], loss: Loss, n: int, *, steps: int, batch_size: int, lr: float, seed: int, name: str
) -> None:
    """Make a loss small; the same arguments give the same weights on a CPU.

    Args:
        weights: what is trained, in place.
        loss: see `Loss`.
        n: samples; each is seen once an epoch.
        steps: optimizer steps.
        batch_size: samples a step.
        lr: largest learning rate; it rises over 20 steps and falls along half a cosine.
        seed: of order and streams.
        name: of the streams, and for progress.

    Raises:
        RunError: the loss is no number any more.
    """
    keep_freed_memory()
    optimizer = torch.optim.Adam(list(weights), lr=lr)
    keys = SampleRng.of(seed, name, [str(i) for i in range(n)])
    size = min(batch_size, n)
    whole, order = n // size * size, torch.arange(n)
    with track(f"training {name}", steps) as task:
        for step in range(steps):
            epoch, first = divmod(step * size, whole)
            if not first:
                order = SampleRng.of(seed, f"{name}/order", [str(epoch)]).uniform(n)[0].argsort()
            rows = order[first : first + size]
            value = loss(rows, keys[rows].fold(epoch))
            if not math.isfinite(value.item()):
                raise RunError(f"{name}: the loss is {value.item()} at step {step + 1}: lower lr (it was {lr:g})")
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            for group in optimizer.param_groups:
                group["lr"] = lr * rate(step, steps, 20)
            optimizer.step()
            task.advance()
