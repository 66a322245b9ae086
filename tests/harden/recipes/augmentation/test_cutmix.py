"""The box rule with its published numbers, and labels by area."""

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Step
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.cutmix import CutMix, cut_batch, cut_edges


def step_of(n, epoch=0, side=8):
    ids = [str(i) for i in range(n)]
    images = torch.arange(n).view(n, 1, 1, 1).expand(n, 1, side, side) / n
    return Step(
        model=None, classifier=None, images=images, labels=torch.arange(n), rng=SampleRng.of(0, "h", ids).fold(epoch),
        inner=None, epoch=epoch, number=0, share=0, epochs=1, steps=1, classes=n, second=None, memory={},
        average=lambda tensors: None,
    )  # fmt: skip


@pytest.mark.parametrize(("centre", "edges", "stayed"), [(16, (5, 27), 0.52734), (0, (0, 11), 0.88184)])
def test_published_boxes(centre, edges, stayed):
    assert cut_edges(0.5, centre, 32) == edges
    images = torch.stack([torch.zeros(1, 32, 32), torch.ones(1, 32, 32)])
    cut, soft, kept = cut_batch(images, torch.eye(2), 0.5, (centre, centre), torch.tensor([1, 0]))
    assert kept == pytest.approx(stayed, abs=6e-6)
    a, b = edges
    assert cut[0].sum() == (b - a) ** 2
    assert bool((cut[0, 0, a:b, a:b] == 1).all())
    assert soft[0].tolist() == pytest.approx([stayed, 1 - stayed], abs=6e-6)


def test_all_or_nothing():
    images, targets = torch.rand(3, 1, 8, 6), torch.eye(3)
    partners = torch.tensor([1, 2, 0])
    same, soft, kept = cut_batch(images, targets, 1.0, (4, 3), partners)
    assert torch.equal(same, images)
    assert torch.equal(soft, targets)
    assert kept == 1
    other, soft, kept = cut_batch(images, targets, 0.0, (4, 3), partners)
    assert torch.equal(other, images[partners])
    assert kept == 0
    assert torch.equal(soft, targets[partners])


def test_labels_are_the_share_of_pixels_and_half_the_batches_stay():
    cut = 0
    for epoch in range(200):
        step = step_of(5, epoch)
        CutMix().augment(step)
        if step.targets is None:
            continue
        cut += 1
        pixels = torch.stack([(step.images == k / 5).float().mean((1, 2, 3)) for k in range(5)], 1)
        assert torch.allclose(pixels, step.targets, atol=1e-6)
    assert 75 < cut < 125
    step = step_of(5)
    CutMix(probability=0).augment(step)
    assert step.targets is None


def test_in_the_loop():
    images = torch.randint(0, 256, (48, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels = torch.arange(48) % 2
    training = Training(epochs=2, batch_size=16, held_out=1, select="last", lr=0.01)
    nets = [
        fit(fresh("small-cnn", images, classes=2, seed=0), images, labels, [CutMix(probability=p)], training).last
        for p in (0, 1, 1)
    ]
    weights = [torch.cat([p.flatten() for p in net.parameters()]) for net in nets]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_bad_input():
    with pytest.raises(ParameterError, match=r"probability=1\.5"):
        CutMix(probability=1.5)
    with pytest.raises(ParameterError, match="alpha=0"):
        CutMix(alpha=0)
