"""What an attack leaves behind, and the last look that decides what counts."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.attack.problem import Problem
from unshaken.core.driver import Outcome
from unshaken.core.oracle import Oracle
from unshaken.core.state import State


class Found(State):
    """Where a search ended: points `[N, C, H, W]`."""

    x: Tensor


class Attacked(State):
    """What an attack did to each sample, in the order of the batch.

    Args:
        images: the adversarial image where fooled, else where the search ended (clean where none was needed).
        fooled: bool `[N]`: misclassified (targeted: as the target) by a fresh float32 pass, inside ball and box.
        logits: `[N, K]` of `images` by that pass.
        distance: norm of the change, float64 `[N]`.
        survives_8bit: int8 `[N]`: 1 still fooled after rounding to 8 bits, 0 not, -1 not fooled.
        forwards: passes of this budget, int64 `[N]`; a sample wrong from the start costs none.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
        step: answers told before the success, int64 `[N]`.
        restart: the restart that succeeded, or the last one.
    """

    images: Tensor
    fooled: Tensor
    logits: Tensor
    distance: Tensor
    survives_8bit: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    step: Tensor
    restart: Tensor


class Judged(State):
    """The end points of one search under a fresh float32 pass."""

    images: Tensor
    fooled: Tensor
    logits: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    step: Tensor


def judged(oracle: Oracle, problem: Problem, outcome: Outcome[Found], logits: Tensor) -> Judged:
    """The last look: where no success ended the search, its end point may fool all the same.

    Args:
        oracle: the model's counted door.
        problem: the samples' tasks.
        outcome: of the search.
        logits: `[N, K]`, already those of the confirming pass where the search was stopped by success.
    """
    x, fooled = outcome.result.x, outcome.stopped.clone()
    rows = (~fooled).nonzero().flatten()
    spent = torch.zeros_like(outcome.forwards)
    if len(rows):
        looks = [oracle.exact(x[rows]) for _ in range(oracle.draws)]  # of a random model, most must agree
        hits = torch.stack([problem[rows].fooled(x[rows], z) for z in looks]).sum(0)
        fooled[rows], spent[rows] = hits * 2 > oracle.draws, oracle.draws
        logits = logits.index_copy(0, rows, looks[0])
    return Judged(
        x,
        fooled,
        logits,
        problem.ball.distance(x),
        outcome.forwards + spent,
        outcome.backwards,
        outcome.seconds,
        outcome.steps,
    )


def untouched(images: Tensor, clean: Tensor, labels: Tensor, targeted: bool) -> Attacked:
    """The state before any search: a sample that is wrong already counts as fooled, at no cost."""
    n, device = len(images), images.device
    zeros = torch.zeros(n, dtype=torch.int64, device=device)
    hit = clean.argmax(1) == labels
    return Attacked(
        images,
        hit if targeted else ~hit,
        clean,
        zeros.double(),
        zeros.to(torch.int8) - 1,
        zeros,
        zeros,
        zeros.double(),
        zeros,
        zeros,
    )


def merged(result: Attacked, rows: Tensor, new: Judged, restart: int) -> Attacked:
    """The rows of a further restart written over those it worked on; costs add up."""

    def put(old: Tensor, values: Tensor) -> Tensor:
        return old.index_copy(0, rows, values.to(old))

    return result.replace(
        images=put(result.images, new.images),
        fooled=put(result.fooled, new.fooled),
        logits=put(result.logits, new.logits),
        distance=put(result.distance, new.distance),
        forwards=result.forwards.index_add(0, rows, new.forwards.to(result.forwards)),
        backwards=result.backwards.index_add(0, rows, new.backwards.to(result.backwards)),
        seconds=result.seconds.index_add(0, rows, new.seconds.to(result.seconds)),
        step=put(result.step, new.step),
        restart=result.restart.index_fill(0, rows, restart),
    )


def survival(oracle: Oracle, result: Attacked, labels: Tensor, targeted: bool) -> Attacked:
    """Whether each example, where not known yet, still fools when its pixels are rounded to 8 bits."""
    rows = (result.fooled & (result.distance > 0) & (result.survives_8bit < 0)).nonzero().flatten()
    if not len(rows):
        return result
    hit = oracle.exact((result.images[rows] * 255).round() / 255).argmax(1) == labels[rows]
    kept = (hit if targeted else ~hit).to(torch.int8)
    return result.replace(survives_8bit=result.survives_8bit.index_copy(0, rows, kept))
