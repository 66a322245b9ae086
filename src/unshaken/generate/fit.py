"""`fit`: train a diffusion model on images in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.memory import keep_freed_memory
from unshaken.core.progress import track
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.generate.diffusion import Diffusion


class Fitting(Parameters):
    """How long and how fast a diffusion model learns."""

    steps: PositiveInt = Field(2000, description="optimizer steps")
    batch_size: PositiveInt = Field(32, description="images of a step")
    lr: PositiveFloat = Field(2e-3, description="largest learning rate of AdamW; half a cosine down to 0")
    warmup: NonNegativeInt = Field(50, description="steps in which the rate rises to it")
    weight_decay: NonNegativeFloat = Field(0.0, description="of AdamW")
    clip: PositiveFloat = Field(1.0, description="largest l2 norm of the gradient")
    ema: float = Field(0.995, description="largest decay of the average of the weights, which is kept", ge=0, lt=1)
    drop_class: float = Field(0.1, description="share of the labels hidden, so that guidance is possible", ge=0, le=1)
    seed: NonNegativeInt = Field(0, description="decides order, noise and hidden labels")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Args:
        model: with the averaged weights, in evaluation mode.
        losses: one a step.
    """

    model: Diffusion
    losses: tuple[float, ...]


def fit(model: Diffusion, images: Tensor, labels: Tensor | None = None, fitting: Fitting | None = None) -> Fitted:
    """Train a diffusion model; the same arguments give the same weights on a CPU.

    Args:
        model: as it starts; trained in place, on its device.
        images: uint8 `[N, C, H, W]`, all in memory.
        labels: int64 `[N]`, where the model has classes.
        fitting: how long and how fast.

    Returns:
        The same model with the average of its weights over the steps.

    Raises:
        ModelError: images are of another size or number of channels.
        DataError: there is no image, or images are no bytes.
        ParameterError: labels are missing, or there is no such class.
        RunError: the loss is no number any more.
    """
    fitting = fitting or Fitting()
    _check(model, images, labels)
    keep_freed_memory()
    model.train()
    device = next(model.parameters()).device
    keys = SampleRng.of(fitting.seed, "generate", [str(i) for i in range(len(images))])
    weights: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    average = [w.detach().clone() for w in weights]
    optimizer = torch.optim.AdamW(weights, lr=fitting.lr, weight_decay=fitting.weight_decay)
    size, losses = min(fitting.batch_size, len(images)), []
    whole, order = len(images) // size * size, keys.keys
    with track(f"fitting {model.kind}", fitting.steps) as task:
        for step in range(fitting.steps):
            epoch, start = divmod(step * size, whole)
            order = order if start else _order(len(images), fitting.seed, epoch)
            rows = order[start : start + size]
            rng = keys[rows].fold(epoch)
            x = images[rows].to(device).float() / 127.5 - 1
            told = None if labels is None else _hidden(labels[rows], rng, fitting.drop_class, model.classes).to(device)
            loss = model.loss(x, rng.to(device), told).mean()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise RunError(
                    f"the loss is {losses[-1]} at step {step + 1} of {fitting.steps}: lower lr (it was {fitting.lr:g})"
                )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(weights, fitting.clip)
            for group in optimizer.param_groups:
                group["lr"] = fitting.lr * rate(step, fitting.steps, fitting.warmup)
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, weights, 1 - min(fitting.ema, (1 + step) / (10 + step)))
            task.advance(1, f"loss {np.mean(losses[-50:]):.3f}")
    with torch.no_grad():
        torch._foreach_copy_(weights, average)
    return Fitted(model.eval(), tuple(losses))


def rate(step: int, steps: int, warmup: int) -> float:
    """The learning rate of a step as a share of the largest: linear up, then half a cosine down.

    >>> [round(rate(k, 100, 10), 3) for k in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def _order(n: int, seed: int, epoch: int) -> Tensor:
    """The images of an epoch in its order."""
    return SampleRng.of(seed, "generate-order", [str(epoch)]).uniform(n)[0].argsort()


def _hidden(labels: Tensor, rng: SampleRng, share: float, none: int) -> Tensor:
    """Labels, a share of them replaced by "no class"."""
    return torch.where(rng.fold("class").uniform() < share, none, labels)


def _check(model: Diffusion, images: Tensor, labels: Tensor | None) -> None:
    if images.dtype != torch.uint8 or not len(images):
        raise DataError(f"images to learn from must be uint8 [N, C, H, W], not {images.dtype} of {tuple(images.shape)}")
    model.check(images, labels)
    if model.classes and labels is None:
        raise ParameterError(f"this {model.kind} model has {model.classes} classes: give labels")
