"""Inspect a model before attacking it: gradients, randomness, masking."""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor

from unshaken.attack.engine.attack_run import AttackContext
from unshaken.attack.engine.losses import CrossEntropy, Margin
from unshaken.core.device import widen
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Gradient, Objective
from unshaken.core.trust import answer_gap

RANDOM = 1e-4
"""Largest gap between normalised logits of the same image that is put down to rounding."""
VANISHING = 0.01
"""Share of samples without a gradient from which it counts as masked."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of inspecting a model.

    Args:
        gradient: some gradient comes through.
        random: the same image gets different answers.
        masked: the cross-entropy's gradient is zero for more than 1 % of the samples.
        words: the same for a person.
        seconds_a_pass: wall time of one image's pass.
        dead: samples whose cross-entropy has a zero gradient.
    """

    gradient: bool
    random: bool
    masked: bool
    words: str
    seconds_a_pass: float
    dead: tuple[str, ...] = ()


def inspect_model(context: AttackContext) -> Inspection:
    """Inspect a model by some forward and two backward passes on the run's first samples.

    Raises:
        ParameterError: there are none to look at.
    """
    batch, oracle = context.reference, context.oracle
    if batch is None or not len(batch):
        raise ParameterError("auto: there are no samples to inspect the model with")
    few = batch.images[:16]
    gap = answer_gap(oracle, few)
    random = gap > RANDOM
    began = time.perf_counter()
    oracle.exact(batch.images)
    seconds = (time.perf_counter() - began) / len(batch)
    if not oracle.model.differentiable:
        return Inspection(False, random, False, "the model gives no gradients", seconds)
    labels = required(batch.labels)
    dead, blocked = (_dead(context, batch.images, loss) for loss in (CrossEntropy(labels), Margin(labels, False)))
    share, some = float(widen(dead).mean()), not bool(blocked.all())
    if random:
        words = f"answers to the same image differ by up to {gap:.2g}"
    elif not some:
        words = "no gradient reaches the images: something on the way has none"
    elif share > VANISHING:
        words = f"the gradient of the cross-entropy is zero on {share:.0%} of the samples"
    else:
        words = "gradients come through"
    ids = tuple(name for name, gone in zip(batch.ids, dead.tolist(), strict=True) if gone)
    return Inspection(some, random, share > VANISHING, words, seconds, ids)


def _dead(context: AttackContext, images: Tensor, loss: Objective) -> Tensor:
    """Bool `[N]`: the gradient of a loss is exactly zero."""
    gradient = required(context.oracle.ask(Gradient(images, of=loss)).gradient)
    return gradient.flatten(1).abs().amax(1) == 0
