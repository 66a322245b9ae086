"""Mixtures by hand, moments of the weights, and the recipe in the loop."""

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Step
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.mixup import Mixup, dirichlet_mixup_loss, mixup_batch
from unshaken.harden.recipes.losses.class_balanced import ClassBalanced

QUICK = Training(epochs=2, batch_size=16, lr=0.01, optimizer="adam", schedule="constant", held_out=1, select="last")


def step_of(images, labels, classes=3, epoch=0):
    """A step without a model, for what only looks at the batch."""
    ids = [str(i) for i in range(len(images))]
    return Step(
        model=None, classifier=None, images=images, labels=labels, rng=SampleRng.of(0, "harden", ids).fold(epoch),
        inner=None, epoch=epoch, number=0, share=0, epochs=1, steps=1, classes=classes, second=None, memory={},
        average=lambda tensors: None,
    )  # fmt: skip


def blobs(n=64):
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = torch.randint(0, 90, (n, 1, 8, 8), generator=g).to(torch.uint8)
    images[torch.arange(n), 0, labels] += 100
    return images, labels


def test_two_images_by_hand():
    images = torch.tensor([[1.0, 0], [0, 0.5]]).view(2, 1, 1, 2)
    weights, partners = torch.tensor([0.75, 0.25]), torch.tensor([[0, 1], [1, 0]])
    mixed, soft = mixup_batch(images, torch.eye(2), weights, partners)
    assert mixed.flatten(1).tolist() == [[0.75, 0.125], [0.25, 0.375]]
    assert soft.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    own = torch.tensor([[1.0, 0], [0.5, 0.5]])
    assert mixup_batch(images, torch.eye(2), own, partners)[0].flatten(1).tolist() == [[1, 0], [0.5, 0.25]]


@pytest.mark.parametrize("shape", [(3,), (5, 3)])
def test_the_loss_is_that_of_soft_labels(shape):
    g = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(5, 4, generator=g), torch.tensor([0, 1, 2, 3, 0])
    weights = torch.rand(shape, generator=g)
    weights = weights / weights.sum(-1, keepdim=True)
    partners = torch.stack([torch.randperm(5, generator=g) for _ in range(3)])
    _, soft = mixup_batch(torch.zeros(5, 1, 1, 1), F.one_hot(labels, 4).float(), weights, partners)
    loss = dirichlet_mixup_loss(logits, labels, weights, partners)
    assert loss == pytest.approx(F.cross_entropy(logits, soft).item(), rel=1e-6)
    by_hand = sum(
        weights.expand(5, 3)[i, j] * -logits.log_softmax(1)[i, labels[partners[j, i]]]
        for i in range(5)
        for j in range(3)
    )
    assert loss == pytest.approx(by_hand.item() / 5, rel=1e-6)


def test_equal_images_stay_and_only_labels_are_mixed():
    step = step_of(torch.full((6, 1, 2, 2), 0.3), torch.tensor([0, 1, 2, 0, 1, 2]))
    Mixup(points=3).augment(step)
    assert torch.allclose(step.images, torch.full((6, 1, 2, 2), 0.3))
    assert torch.allclose(step.targets.sum(1), torch.ones(6))
    assert torch.allclose(step.targets.sum(0), torch.full((3,), 2.0))  # permutations keep what there is of each class


@pytest.mark.parametrize("points", [2, 3, 4, 5])
def test_moments_of_the_weights(points):
    recipe = Mixup(points=points, draw="sample")
    step = step_of(torch.zeros(4000, 1, 1, 1), torch.zeros(4000, dtype=torch.int64))
    weights, partners = recipe.drawn(step)
    assert weights.shape == (4000, points)
    assert (weights**2).sum(1).mean() == pytest.approx(2 / (points + 1), abs=4 * 0.3 / math.sqrt(4000))
    assert torch.equal(partners[0], torch.arange(4000))
    assert all(torch.equal(p.sort().values, torch.arange(4000)) for p in partners)


def test_one_draw_for_the_batch_and_others_in_the_next_epoch():
    images, labels = torch.rand(8, 1, 2, 2), torch.arange(8) % 3
    weights = Mixup().drawn(step_of(images, labels))[0]
    assert weights.shape == (2,)
    assert torch.equal(weights, Mixup().drawn(step_of(images, labels))[0])
    assert not torch.equal(weights, Mixup().drawn(step_of(images, labels, epoch=1))[0])
    tight = Mixup(alpha=1e4).drawn(step_of(images, labels))[0]
    assert tight.tolist() == pytest.approx([0.5, 0.5], abs=0.05)


def test_one_point_is_plain_training():
    images, labels = blobs()
    nets = [
        fit(fresh("small-cnn", images, classes=3, seed=0), images, labels, recipes, QUICK).last
        for recipes in ([], [Mixup(points=1)], [Mixup()])
    ]
    weights = [torch.cat([p.flatten() for p in net.parameters()]) for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2], atol=1e-3)


def test_bad_input():
    with pytest.raises(ParameterError, match=r"\[M\] or \[N, M\]"):
        mixup_batch(torch.zeros(2, 1, 1, 1), torch.eye(2), torch.ones(3) / 3, torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(ParameterError, match="points=0"):
        Mixup(points=0)
    images, labels = blobs()
    with pytest.raises(ParameterError, match="both bring mixed labels"):
        fit(fresh("small-cnn", images, classes=3, seed=0), images, labels, [Mixup(), ClassBalanced()], QUICK)
