"""Small pieces to train on."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.recipe import Step

CARD_CLEAN = torch.tensor([[2.0, 0, -1], [0.5, 0.2, 0]])
CARD_ADVERSARIAL = torch.tensor([[0.5, 1, -1], [0, 1, 0.3]])
CARD_THIRD = torch.tensor([[0.0, 0, 0], [0.1, 0.4, 0.2]])
CARD_LABELS = torch.tensor([0, 2])


@pytest.fixture(scope="session")
def card() -> SimpleNamespace:
    """Logits and labels with known losses."""
    return SimpleNamespace(clean=CARD_CLEAN, adversarial=CARD_ADVERSARIAL, third=CARD_THIRD, labels=CARD_LABELS)


@pytest.fixture(scope="session")
def photos() -> tuple[Tensor, Tensor]:
    """Bytes and labels of 200 embedded images, 20 a class."""
    samples = Samples(load_data("demo"), None, 10, limit=200)
    rows = torch.from_numpy(samples.good)
    assert samples.resident is not None
    return samples.resident, samples.labels[rows]


class Converted(nn.Module):
    """The same numbers in another type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def make_net(*, channels: int = 1, classes: int = 10, norm: bool = True, wide: bool = False) -> Classifier:
    """A tiny convolutional net with fixed weights, for any size of image.

    Where it is wide it computes in float64 and rounds its logits once, so that they and their gradients are the same
    float32 numbers on any processor.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(5).get_state())
        layers: list[nn.Module] = [nn.Conv2d(channels, 8, 3, padding=1, bias=not norm)]
        layers += [nn.BatchNorm2d(8)] if norm else []
        layers += [nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, classes)]
        if wide:
            layers = [Converted(torch.float64), *(layer.double() for layer in layers), Converted(torch.float32)]
        return Classifier(nn.Sequential(*layers), mean=[0.3] * channels, std=[0.4] * channels)


@pytest.fixture
def net() -> Callable[..., Classifier]:
    return make_net


@pytest.fixture
def step_of() -> Callable[..., Step]:
    """One step by hand: a model, images and labels, and what a recipe should find there."""

    def make(model: Classifier, images: Tensor, labels: Tensor, **given: Any) -> Step:
        classes = given.pop("classes", 10)
        rng = SampleRng.of(0, "harden", [str(i) for i in range(len(images))])
        return Step(
            model=model,
            classifier=model,
            images=images,
            labels=labels,
            rng=rng,
            inner=Inner(model, images[:2]),
            epoch=given.pop("epoch", 0),
            number=given.pop("number", 0),
            share=0.0,
            epochs=2,
            steps=10,
            classes=classes,
            second=given.pop("second", lambda: (torch.arange(len(labels)).flip(0), images.flip(0), labels.flip(0))),
            memory=given.pop("memory", {}),
            average=lambda tensors: None,
            **given,
        )

    return make
