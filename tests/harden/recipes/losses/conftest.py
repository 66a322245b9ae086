"""Pictures of three classes, a net that learns them at once, and recipes on given logits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe, Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.losses.temperature import Temperature

QUICK = Training(epochs=4, batch_size=32, lr=0.1, held_out=24, check_every=4, select="last", weight_decay=0)


def make_data(n: int = 192) -> tuple[Tensor, Tensor]:
    """Faint noise with one bright band, the label."""
    images = torch.randint(0, 120, (n, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(n) % 3
    images[torch.arange(n), 0, labels * 2, :] += 100
    return images, labels


def make_net(seed: int = 0, classes: int = 3) -> Classifier:
    """An untrained net for them."""
    return fresh("small-cnn", make_data()[0], classes=classes, seed=seed)


def loss_on(recipe: Recipe, logits: Tensor, labels: Tensor | None = None, targets: Tensor | None = None) -> float:
    """The loss of a recipe on given logits."""
    shown = torch.zeros(len(logits), 1, 8, 8)
    return float(recipe.loss(SimpleNamespace(model=lambda x: logits, shown=shown, labels=labels, targets=targets)))


def begun(recipe: Recipe, classes: int = 3) -> Recipe:
    """The recipe at the start of a training."""
    images = make_data()[0][:8].float() / 255
    recipe.begin(Setup(make_net(), images, classes, 0, 1, 1, {}, lambda n: (images, torch.zeros(8).long())))
    return recipe


@pytest.fixture(scope="session")
def bands() -> SimpleNamespace:
    """What the tests of losses build from."""
    return SimpleNamespace(quick=QUICK, data=make_data, net=make_net, loss_on=loss_on, begun=begun)


class Swap(nn.Module):
    """Gives each class's logit to the next class."""

    def forward(self, z: Tensor) -> Tensor:
        return z.roll(1, 1)


@pytest.fixture(scope="session")
def swapped_teacher() -> Classifier:
    """It knows the pictures, and calls each by the name of the next class."""
    images, labels = make_data()
    learned = fit(make_net(1), images, labels, [Temperature()], QUICK).last
    assert float((learned(images.float() / 255).argmax(1) == labels).float().mean()) > 0.9
    mean, std = learned.mean.flatten().tolist(), learned.std.flatten().tolist()
    return Classifier(nn.Sequential(learned.net, Swap()), mean=mean, std=std).eval()
