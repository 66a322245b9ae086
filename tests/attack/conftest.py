"""Models whose answer is known by hand, and a tiny net."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.problem import Problem
from unshaken.core import Answer, Batch, Classifier, SampleRng
from unshaken.core.query import Query


class Affine(nn.Module):
    """Two classes: logits (m, -m) / 2 with the margin m = w.x + b, so that class 0 is robust iff m > eps |w|_dual."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(w), b
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        m = (x * self.w).flatten(1).sum(1) + self.b
        return torch.stack([m, -m], 1) / 2


class TinyNet(nn.Module):
    """Two convolutions and a linear layer; any size, channels and classes.

    It computes in float64 and rounds its logits once, so that they and their gradients are the same float32 numbers
    on any processor and in a batch of any size: what an attack then does differently is the attack's own doing. With
    `rounded` off the logits stay float64, for searches that are followed in that precision throughout.
    """

    rounded = True

    def __init__(self, classes: int = 3, channels: int = 1, seed: int = 7) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, classes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.6)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.head.weight.dtype)
        logits = self.head(self.body(self.stem(x).relu()).relu().mean((2, 3)))
        return logits.float() if self.rounded and logits.dtype == torch.float64 else logits


class InFloat64:
    """Answers a search's queries in float64, where the oracle rounds to float32: then rounding turns no decision."""

    def __init__(self, model: Classifier) -> None:
        self.model, self.draws = model, 1
        model.net.rounded = False

    def ask(self, query: Query) -> Answer:
        return query.evaluate(self, None)

    def forward(self, images: Tensor, layers: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model(images), {}

    def gradient(self, value: Tensor, points: Tensor, *, keep: bool = False) -> Tensor:
        return torch.autograd.grad(value.sum(), points)[0]

    def method(self) -> AbstractContextManager[None]:
        return torch.enable_grad()


def points_of(attack: Attack, model: Classifier, problem: Problem, rng: SampleRng) -> list[Tensor]:
    """The points that a search asks about in float64, and what it returns."""
    answers, state, points = InFloat64(model), attack.start(problem, rng), []
    while not bool(attack.done(state).all()):
        points.append(state.x.clone())
        state = attack.tell(state, answers.ask(attack.ask(state)))
    return [*points, attack.result(state).x]


def own_labels(model: nn.Module, images: Tensor, prefix: str = "s") -> Batch:
    """Images labelled as the model predicts them."""
    with torch.no_grad():
        labels = model(images).argmax(1)
    return Batch(images, labels, tuple(f"{prefix}{i}" for i in range(len(images))))


DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}
"""The norm of the weights that a change in the named norm meets."""


def spread_margins(norm: str, n: int) -> tuple[Classifier, Batch, Tensor]:
    """An affine model; images near grey, so that no wall is met, with margins of their own; what eps each holds."""
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = 0.5 + 0.08 * (torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5)
    raw = (images * w).flatten(1).sum(1)
    batch = Batch(images, torch.zeros(n, dtype=torch.int64), tuple(f"s{i}" for i in range(n)))
    model = Classifier(Affine(w, 0.01 - float(raw.min())), name="affine").eval()
    return model, batch, (raw - raw.min() + 0.01) / float(torch.linalg.vector_norm(w, DUAL[norm]))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(
        affine=lambda w, b=0.0: Classifier(Affine(w, b), name="affine").eval(),
        net=lambda **options: Classifier(TinyNet(**options), name="tiny").eval(),
        spread=spread_margins,
        batch=own_labels,
        points=points_of,
        images=lambda n, *shape, seed=0: torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)),
    )
