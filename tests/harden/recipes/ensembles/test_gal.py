"""GAL's coherence by hand, and what the recipe does to a network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import members_of
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.ensembles.gal import GAL, gal_coherence
from unshaken.models.networks.small import SmallNet


def test_aligned_gradients():
    assert float(gal_coherence(torch.ones(3, 1, 2, 2))) == pytest.approx(2.098612, abs=1e-6)


def test_gradients_at_120_degrees():
    angles = [0.0, 2 * math.pi / 3, 4 * math.pi / 3]
    fan = torch.tensor([[[math.cos(a), math.sin(a)]] for a in angles])
    assert float(gal_coherence(fan)) == pytest.approx(0.598612, abs=1e-6)
    lengths = torch.tensor([1.0, 7.0, 0.2]).view(3, 1, 1)
    assert float(gal_coherence(fan * lengths)) == pytest.approx(0.598612, abs=1e-6)


def test_training_lowers_the_coherence_of_two_members():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    images = torch.randint(0, 60, (64, 1, 8, 8), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 4 * label : 4 * label + 4] += 150
    training = Training(
        epochs=5, batch_size=16, lr=3e-3, optimizer="adam", held_out=4, check_images=4, select="last", check_every=5
    )
    found = {}
    for weight in (0.0, 2.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = Classifier(SmallNet(classes=2, channels=1, side=8), mean=[0.3], std=[0.3])
        fitted = fit(net, images.to(torch.uint8), labels, [GAL(members=2, weight=weight)], training)
        x = (images.float() / 255).requires_grad_(True)
        slopes = [
            torch.autograd.grad(nn.functional.cross_entropy(m(x), labels, reduction="sum"), x)[0]
            for m in members_of(fitted.last)
        ]
        found[weight] = float(gal_coherence(torch.stack(slopes)).mean())
        assert not any(type(m) is nn.ReLU for m in fitted.last.modules())
    assert found[2.0] < found[0.0] - 0.2


def test_bad_input():
    with pytest.raises(ParameterError, match="slope"):
        GAL(slope=1.0)
