"""`Inner`: the search inside a training step: any attack of the suite, the batch kept whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.problem import Problem, ProblemSearch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.driver import drive
from unshaken.core.live_copy import LiveCopy, live_copy
from unshaken.core.meter import Meter
from unshaken.core.oracle import Oracle
from unshaken.core.query import Objective
from unshaken.core.rng import SampleRng


class Inner:
    """The live model as the inner search sees it: in evaluation mode, without weight gradients, counted.

    Args:
        model: the live classifier.
        images: a few, to check the search copy on.
        precision: of the search, `fp32` or `bf16`; the images found are float32 either way.
        copied: whether to look for a faster copy of the network at all.
    """

    def __init__(self, model: Classifier, images: Tensor, *, precision: str = "fp32", copied: bool = True) -> None:
        self.model, self.precision, self.meter = model, precision, Meter(device=images.device)
        self._images, self._wanted = images, copied

    @cached_property
    def copied(self) -> LiveCopy | None:
        """The search copy, made when it is first needed: most recipes search for nothing."""
        return live_copy(self.model, self._images) if self._wanted else None

    @contextmanager
    def oracle(self, n: int) -> Iterator[Oracle]:
        """An oracle of the model as it is now.

        Args:
            n: images in one pass.
        """
        quick = self.copied
        if quick is not None:
            quick.refresh()
            yield Oracle(self.model, limit=n, precision=self.precision, search_copy=quick, meter=self.meter)
            return
        with evaluating(self.model):
            yield Oracle(self.model, limit=n, precision=self.precision, meter=self.meter)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits `[N, K]` in evaluation mode, counted."""
        with self.oracle(len(images)) as oracle:
            return oracle.forward(images)[0]

    def find(
        self,
        attack: Attack[Any],
        images: Tensor,
        labels: Tensor,
        rng: SampleRng,
        *,
        norm: str,
        eps: float | Tensor,
        objective: Objective | None = None,
        logits: Tensor | None = None,
    ) -> Tensor:
        """The point that the attack ends with for each image, success or not.

        Args:
            attack: any single search of the suite.
            images: `[N, C, H, W]` in [0, 1].
            labels: int64 `[N]`.
            rng: the samples' streams.
            norm: `linf`, `l2` or `l1`.
            eps: radius, one for all or `[N]`.
            objective: what to raise in the place of the cross-entropy.
            logits: of the images, where already known; else they are asked for if the attack starts from them.

        Returns:
            `[N, C, H, W]`, inside the balls and [0, 1].
        """
        radius = torch.as_tensor(eps, dtype=images.dtype, device=images.device).expand(len(images))
        with self.oracle(len(images)) as oracle:
            if logits is None:
                with torch.no_grad():
                    logits = oracle.forward(images)[0] if attack.reads_clean else images.new_empty(len(images), 0)
            ball = attack.ball(images, radius, norm, rng)
            problem = Problem(ball, labels, False, logits, self.model.reject, objective=objective)
            return drive(ProblemSearch(attack, early=False), problem, oracle, rng, whole=True).result.x
