"""What free pixels allow: PGD on them alone, and the most of them that are proved safe."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.smt.smt import SMT, most_extreme
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng


class PixelPGD(PGD):
    """PGD that changes only the pixels that a verification leaves free."""

    pixels: PositiveInt

    @override
    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        ball = Ball.of(clean, eps, norm)
        free = torch.zeros_like(clean, dtype=torch.bool)
        for mask, image in zip(free.flatten(1), clean, strict=True):
            mask[most_extreme(image, self.pixels)] = True
        return ball.replace(lower=torch.where(free, ball.lower, clean), upper=torch.where(free, ball.upper, clean))


@dataclass(frozen=True, slots=True)
class Bisection:
    """Looks for the most free pixels that are proved safe: more pixels make nothing safer.

    Args:
        oracle: of the network.
        most: pixels that are tried.
        seconds: limit of the solver on one number of pixels.
        eps: radius of the free pixels.
    """

    oracle: Oracle
    most: int
    seconds: float
    eps: float

    def largest(self, image: Tensor, label: int) -> tuple[int, int, float]:
        """The number of pixels, calls of the solver, and seconds."""
        began, low, high, calls = time.perf_counter(), 0, self.most + 1, 0
        while high - low > 1:
            middle = (low + high) // 2
            method = SMT(pixels=middle, seconds=self.seconds)
            got = method.verify(self.oracle, method.region(image, label, self.eps))
            calls += got.calls
            low, high = (middle, high) if got.verdict == "safe_general" else (low, middle)
        return low, calls, time.perf_counter() - began
