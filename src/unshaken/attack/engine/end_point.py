"""The end points of an attack on a model, verified or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.problem import Problem, ProblemSearch
from unshaken.attack.engine.step_length import check_step_size
from unshaken.core.batch import Batch, batch_for
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.driver import drive
from unshaken.core.meter import Meter
from unshaken.core.oracle import Oracle, required
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.core.state import State

WORTH = 200
"""Passes of single images that a search takes at least where a quicker copy of the model is made for it: tracing and
comparing one takes as long as dozens of them."""


class EndPoints(State):
    """The end points of a search.

    Args:
        x: `[N, C, H, W]`, inside the balls and [0, 1].
        forwards: passes spent on each sample, int64 `[N]`.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
    """

    x: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


def find_end_points(
    model: Classifier,
    attack: Attack[Any],
    batch: Batch,
    *,
    norm: str,
    eps: float,
    seed: int,
    draws: int = 1,
    early: bool = False,
    meter: Meter | None = None,
) -> EndPoints:
    """Find the point where an attack ends for each image, whether it succeeds or not.

    Args:
        model: searched, in evaluation mode, without weight gradients.
        attack: a single search.
        batch: labelled images.
        norm: of the budget.
        eps: radius in [0, 1] pixel units.
        seed: of the search.
        draws: passes averaged at each step, for a random model.
        early: end a sample's search with its first success, instead of after all steps.
        meter: where to count.
    """
    check_step_size(attack, [eps])
    labels = required(batch.labels)
    rng = SampleRng.of(seed, attack.info.name, batch.ids).to(batch.images.device)
    with evaluating(model):
        worth = draws == 1 and len(batch) * sum(attack.cost(2)) >= WORTH
        quick = search_copy(model, batch.images[:2]) if worth else None
        oracle = Oracle(model, limit=batch_for(batch.images), draws=draws, search_copy=quick, meter=meter)
        clean = oracle.exact(batch.images) if attack.reads_clean else batch.images.new_empty(len(batch), 0)
        radius = torch.full((len(batch),), eps, dtype=batch.images.dtype, device=batch.images.device)
        problem = Problem(attack.ball(batch.images, radius, norm, rng), labels, False, clean, model.reject)
        outcome = drive(ProblemSearch(attack, early=early), problem, oracle, rng)
    return EndPoints(outcome.result.x, outcome.forwards, outcome.backwards, outcome.seconds)
