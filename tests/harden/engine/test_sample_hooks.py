"""What a recipe may ask of all training samples: evaluate each, and weigh how often each is drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unshaken.data.resident import Samples, order
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training

QUICK = Training(epochs=1, batch_size=32, held_out=40, select="last", check_images=8)


class Watched(Recipe):
    """Keeps what its hooks were given, and draws as told."""

    seen: dict = {}
    drawn: list = []
    weights: list = []

    def begin(self, setup):
        self.seen["begin"] = setup.evaluate(lambda images: images.mean((1, 2, 3)))

    def sampling(self, memory):
        return self.weights[0] if self.weights else None

    def augment(self, step):
        self.drawn.append(step.rows)

    def after_epoch(self, epoch):
        epoch.model.train()
        modes = self.seen["modes"] = []
        self.seen["end"] = epoch.evaluate(lambda images: modes.append(epoch.model.training) or epoch.model(images))
        assert epoch.model.training


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.setattr(Watched, "info", SimpleNamespace(name="watched"), raising=False)
    return Watched()


def test_all_training_samples_are_evaluated_in_their_order(photos, net, recipe):
    done = fit(net(), *photos, [recipe], QUICK)
    rows, labels, means = recipe.seen["begin"]
    training, _ = Samples.of(*photos, 10).split(40, QUICK.seed)
    assert rows.tolist() == training.tolist()
    assert torch.equal(labels, photos[1][rows])
    assert torch.allclose(means, photos[0][rows].float().div(255).mean((1, 2, 3)), atol=1e-6)
    logits = recipe.seen["end"][2]
    assert logits.shape == (len(training), 10)
    assert not logits.requires_grad
    assert not any(recipe.seen["modes"])
    assert done.progress.forwards == 160 + 2 * len(training)


def test_weighted_samples_are_drawn_in_proportion(photos, net, recipe):
    weights = torch.zeros(len(photos[1]))
    weights[photos[1] == 3] = 1.0
    recipe.weights.append(weights)
    fit(net(), *photos, [recipe], QUICK)
    drawn = torch.cat(recipe.drawn)
    assert len(drawn) == 160
    assert set(photos[1][drawn].tolist()) == {3}


def test_an_order_with_weights_is_a_function_of_seed_and_epoch():
    rows, weights = np.arange(10, 20), torch.arange(30.0)
    drawn = order(rows, 0, 1, weights=weights)
    assert drawn.tolist() == order(rows, 0, 1, weights=weights).tolist()
    assert drawn.tolist() != order(rows, 0, 2, weights=weights).tolist()
    many = np.concatenate([order(rows, 0, epoch, weights=weights) for epoch in range(4000)])
    shares = np.bincount(many, minlength=20)[10:] / len(many)
    expected = np.arange(10, 20) / np.arange(10, 20).sum()
    assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / len(many))
    assert sorted(order(rows, 0, 1).tolist()) == rows.tolist()
