"""Models whose answer is known by hand, and a tiny net."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from unshaken.core import Batch, Classifier


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
    """Two convolutions and a linear layer; any size, channels and classes."""

    def __init__(self, classes: int = 3, channels: int = 1, seed: int = 7) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, classes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x).relu()).relu().mean((2, 3)))


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
        images=lambda n, *shape, seed=0: torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)),
    )
