"""What is verified, searched and attacked for the experiment with verification, as rows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyarrow as pa
import torch
from pydantic import PositiveInt
from torch import Tensor

from unshaken.attack.engine.ball import Ball
from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.smt.smt import SMT, most_extreme
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Context, Part, outcomes

SCHEMAS["verified_pixels"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("eps", pa.float64()),
        ("pixels", pa.int64()),
        ("most", pa.int64()),
        ("calls", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
"""One row an image: the most free pixels at which it is proved safe, of `most` that were tried."""

PIXELS = (5, 10, 20)
EPS = (0.2, 0.5, 1.0)
GRID = 60_000
"""Points of a grid at most: 3^10 = 59,049 are looked at, 2^20 are not."""
SEARCHES = ("corners", "grid")
COUNT_SECONDS = 4.0
"""Limit of the solver on one number of pixels, where the most pixels are looked for."""
MANY = 10
"""Free pixels up to which the full time limit is given."""


class PixelPGD(PGD):
    """PGD that changes only the pixels that a verification leaves free."""

    pixels: PositiveInt

    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        """The linf ball in the free pixels, a point in all others."""
        ball = Ball.of(clean, eps, norm)
        free = torch.zeros_like(clean, dtype=torch.bool)
        for mask, image in zip(free.flatten(1), clean, strict=True):
            mask[most_extreme(image, self.pixels)] = True
        return ball.replace(lower=torch.where(free, ball.lower, clean), upper=torch.where(free, ball.upper, clean))


@dataclass(frozen=True, slots=True)
class Cell:
    """One net, and how its images are verified.

    Args:
        bench: where rows go.
        name: unique, such as `s0.digits.plain`.
        model: in evaluation mode.
        batch: what it classifies rightly.
        seed: of the attack.
        seconds: limit of the solver on an image with up to ten free pixels.
        seconds_many: limit with more.
    """

    bench: Bench
    name: str
    model: Classifier
    batch: Batch
    seed: int
    seconds: float
    seconds_many: float

    def look(self, batch: Batch) -> None:
        """Rows of the net's answers to unchanged images."""
        name = Condition(f"{self.name}.clean", "clean")
        if not self.bench.run.has_rows("outcomes", name.id, 0):
            with evaluating(self.model):
                self.bench.keep([outcomes(name, batch, Oracle(self.model).exact(batch.images))], 0)

    def decide(self) -> None:
        """Exact verification, corners, a grid and PGD on the same pixels, for each number of pixels and each eps."""
        with evaluating(self.model):
            oracle = Oracle(self.model, limit=1024)
            for pixels in PIXELS:
                limit = self.seconds if pixels <= MANY else self.seconds_many
                ways = {"exact": SMT(pixels=pixels, seconds=limit)}
                ways |= {m: SMT(pixels=pixels, mode=m, max_points=GRID) for m in SEARCHES}
                for way, method in ways.items():
                    self.verify(oracle, f"{self.name}.{way}-{pixels}", method)
                self.attack(oracle, pixels)

    def verify(self, oracle: Oracle, label: str, method: SMT) -> None:
        """Rows of one mode at every eps."""
        conditions = method.conditions(label=label, severities=(), eps=EPS, norm="linf")
        left = [c for c in conditions if not self.bench.run.has_rows("outcomes", c.id, 0)]
        for condition in left:
            context = Context(oracle, self.seed, oracle.exact(self.batch.images))
            self.bench.keep(method.evaluate(self.batch, [condition], context), 0)

    def attack(self, oracle: Oracle, pixels: int) -> None:
        """Rows of PGD at every eps."""
        search = PixelPGD(steps=40, restarts=5, pixels=pixels)
        names = [Condition(f"{self.name}.pgd-{pixels}-{e:.4g}", "pgd", eps=e, norm="linf") for e in EPS]
        for name in names:
            if self.bench.run.has_rows("outcomes", name.id, 0):
                continue
            (found,), _ = search.attack(oracle, self.batch, norm="linf", eps=[float(name.eps or 0)], seed=self.seed)
            rows = outcomes(name, self.batch, found.logits, seconds=found.seconds, distance=found.distance)
            self.bench.keep([rows], 0)

    def count(self, eps: float, most: int) -> None:
        """The most free pixels at which each image is proved safe, by bisection: more pixels make nothing safer."""
        condition = Condition(f"{self.name}.verified", "smt", eps=eps, norm="linf")
        if self.bench.run.has_rows("verified_pixels", condition.id, 0):
            return
        found, calls, seconds = [], [], []
        with evaluating(self.model):
            oracle = Oracle(self.model, limit=1024)
            for image, label in zip(self.batch.images, self.model(self.batch.images).argmax(1).tolist(), strict=True):
                began, low, high, asked = time.perf_counter(), 0, most + 1, 0
                while high - low > 1:
                    middle = (low + high) // 2
                    method = SMT(pixels=middle, seconds=min(self.seconds_many, COUNT_SECONDS))
                    got = method.verify(oracle, method.region(image, label, eps))
                    asked += got.calls
                    low, high = (middle, high) if got.verdict == "safe_general" else (low, middle)
                found.append(low)
                calls.append(asked)
                seconds.append(time.perf_counter() - began)
        columns = {
            "id": list(self.batch.ids),
            "pixels": found,
            "most": [most] * len(found),
            "calls": calls,
            "seconds": seconds,
        }
        self.bench.keep([Part("verified_pixels", condition, columns)], 0)
