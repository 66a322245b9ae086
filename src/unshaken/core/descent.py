"""`descend`: make a loss small over samples in memory, for small models that no training recipe knows.

Classifiers are trained by the loop of `harden`, which composes recipes, checks on held-out images and keeps
checkpoints. Rooms below it (`generate`, `detect`) cannot import it and need none of that: denoisers, watermarks and
filters descend one loss for a number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unshaken.core.device import keep_freed_memory
from unshaken.core.errors import RunError
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng

Loss = Callable[[Tensor, SampleRng], Tensor]
"""From the rows of a batch, int64 `[n]`, and their streams of this epoch to a number."""


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    n: int,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    name: str,
    order: str | None = None,
    title: str | None = None,
    warmup: int = 20,
    clip: float | None = None,
    after_step: Callable[[int], None] = lambda step: None,
) -> list[float]:
    """Make a loss small; the same arguments give the same weights on a CPU.

    Args:
        optimizer: of what is trained, in place; its learning rate is the largest.
        loss: see `Loss`.
        n: samples; each is seen once an epoch, but for those that fill no batch.
        steps: optimizer steps.
        batch_size: samples a step.
        seed: of order and streams.
        name: of the streams.
        order: name of the stream that draws the order; default `<name>/order`.
        title: of the progress bar; default `training <name>`.
        warmup: steps in which the learning rate rises, before it falls along half a cosine; see `rate`.
        clip: largest l2 norm of the gradient; None for any.
        after_step: called with the number of each step, from 0, when it is done.

    Returns:
        The loss of each step.

    Raises:
        RunError: the loss is no number any more.
    """
    keep_freed_memory()
    largest = [group["lr"] for group in optimizer.param_groups]
    weights = [w for group in optimizer.param_groups for w in group["params"]]
    keys = SampleRng.of(seed, name, [str(i) for i in range(n)])
    size, losses = min(batch_size, n), []
    whole, rows = n // size * size, torch.arange(n)
    with track(title or f"training {name}", steps) as task:
        for step in range(steps):
            epoch, first = divmod(step * size, whole)
            if not first:
                rows = SampleRng.of(seed, order or f"{name}/order", [str(epoch)]).uniform(n)[0].argsort()
            batch = rows[first : first + size]
            value = loss(batch, keys[batch].fold(epoch))
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                raise RunError(
                    f"{name}: the loss is {losses[-1]} at step {step + 1} of {steps}: lower lr (it was {largest[0]:g})"
                )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(value)
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(weights, clip)
            for group, lr in zip(optimizer.param_groups, largest, strict=True):
                group["lr"] = lr * rate(step, steps, warmup)
            optimizer.step()
            after_step(step)
            task.advance(1, f"loss {sum(losses[-50:]) / len(losses[-50:]):.3f}")
    return losses


def rate(step: int, steps: int, warmup: int) -> float:
    """The learning rate of a step as a share of the largest: linear up, then half a cosine down.

    >>> [round(rate(k, 100, 10), 3) for k in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
