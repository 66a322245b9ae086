"""RCAL: what it notes before training, its loss in a step by hand, and what it gains in a long tail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.recipes.augmentation.mixup import Mixup, mixup_batch
from unshaken.harden.recipes.noisy_labels.rcal import FROZEN, LACKING, MEANS, RCAL, SHARE

ROWS = torch.tensor([2, 9, 4, 5, 0, 7, 8, 11])
"""Places of the training samples; the data set has 12."""


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    return torch.rand(8, 1, 8, 8, generator=g), torch.tensor([0, 0, 0, 1, 1, 0, 0, 1])


@pytest.fixture
def begun(net, batch, step_of):
    """A recipe that has begun on eight images, five of a class and three of another, and their step."""

    def make(recipe):
        images, labels = batch
        model, memory = net(classes=2, norm=False), {}

        def evaluate(read):
            with torch.no_grad():
                return ROWS, labels, read(images)

        recipe.begin(Setup(model, images[:2], 2, 0, 1, 1, memory, lambda n: (images[:n], labels[:n]), 12, evaluate))
        return model, memory, step_of(model, images, labels, classes=2, memory={"rcal": memory}, rows=ROWS)

    return make


def test_all_parts_off_it_is_cross_entropy(begun, batch):
    recipe = RCAL(gaussians=False, individual=0, mixup=0)
    model, memory, step = begun(recipe)
    assert recipe.loss(step).item() == pytest.approx(F.cross_entropy(model(batch[0]), batch[1]).item(), abs=1e-6)
    assert MEANS not in memory


def test_representations_are_those_of_the_last_layer_in_their_rows(begun, batch):
    model, memory, _ = begun(RCAL(estimator="plain"))
    features = model.features(batch[0], ["4:in"])[1]["4:in"]
    assert torch.equal(memory[FROZEN][ROWS], features)
    assert not memory[FROZEN][[1, 3, 6, 10]].any()
    labels = batch[1].numpy()
    means = np.stack([features.detach().numpy()[labels == k].mean(0) for k in range(2)])
    assert memory[MEANS][0].tolist() == pytest.approx(means[0].tolist(), abs=1e-5)
    assert memory[MEANS][1].tolist() == pytest.approx((0.2 * means[0] + 0.8 * means[1]).tolist(), abs=1e-5)
    assert memory[LACKING].tolist() == [0, 2]
    assert float(memory[SHARE]) == pytest.approx(2 / 10)


def test_an_encoder_that_has_not_moved_is_at_no_distance(begun):
    recipe = RCAL(gaussians=False, mixup=0, individual=7.0)
    model, _, step = begun(recipe)
    plain = F.cross_entropy(model(step.images), step.labels).item()
    assert recipe.loss(step).item() == pytest.approx(plain, abs=1e-6)
    with torch.no_grad():
        model.net[0].bias.add_(0.1)
    moved = model.features(step.images, ["4:in"])[1]["4:in"]
    before = step.memory["rcal"][FROZEN][ROWS]
    ratio = (moved - before).square().sum() / before.square().sum()
    wanted = F.cross_entropy(model(step.images), step.labels) + 7 * ratio
    assert recipe.loss(step).item() == pytest.approx(wanted.item(), abs=1e-5)
    assert step.figures["apart"] == pytest.approx(ratio.item(), abs=1e-6)


def test_images_and_points_weigh_as_their_union(begun):
    recipe = RCAL(estimator="plain", individual=0, points=16)
    model, memory, step = begun(recipe)
    points, classes = recipe.drawn(step, memory)
    assert classes.tolist() == [1] * 16  # the class that lacks any
    images, targets = mixup_batch(step.images, step.soft_labels, *Mixup(alpha=1.0).drawn(step))
    by_hand = 0.8 * F.cross_entropy(model(images), targets) + 0.2 * F.cross_entropy(model.net[4](points), classes)
    assert recipe.loss(step).item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_the_distance_is_of_images_that_are_not_mixed(begun):
    """With mixup a second pass shows them, so that an encoder that has not moved is at no distance still."""
    recipe = RCAL(gaussians=False, individual=7.0)
    model, _, step = begun(recipe)
    images, targets = mixup_batch(step.images, step.soft_labels, *Mixup(alpha=1.0).drawn(step))
    assert recipe.loss(step).item() == pytest.approx(F.cross_entropy(model(images), targets).item(), abs=1e-6)


def test_what_it_cannot_do_is_told(begun, monkeypatch):
    monkeypatch.setattr("unshaken.harden.recipes.noisy_labels.rcal.WIDEST", 100)
    with pytest.raises(ModelError, match="weighs 128 numbers, and 100 are the most"):
        begun(RCAL())
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ParameterError, match=r"train it in one process \(--devices 1\)"):
        begun(RCAL())
