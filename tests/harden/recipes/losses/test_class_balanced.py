"""Weights by hand, and the gradient of a weighted loss."""

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.losses.class_balanced import ClassBalanced, balanced_weights


def skewed(n=320, ratio=9, seed=0):
    """Two classes that overlap, the second `ratio` times rarer."""
    g = torch.Generator().manual_seed(seed)
    labels = (torch.arange(n) % (ratio + 1) == 0).long()
    images = torch.randint(60, 200, (n, 1, 4, 4), generator=g)
    return (images + 25 * labels[:, None, None, None]).to(torch.uint8), labels


def test_weights_by_hand():
    shares = torch.tensor([0.5, 0.3, 0.2])
    assert balanced_weights(shares, 100).tolist() == pytest.approx([1 / 1.5, 1 / 0.9, 1 / 0.6])
    assert balanced_weights(shares, 100, 0.0).tolist() == pytest.approx([1, 1, 1])
    numbers = [(1 - 0.9) / (1 - 0.9**n) for n in (50, 30, 20)]
    mean = sum(w * s for w, s in zip(numbers, shares.tolist(), strict=True))
    assert balanced_weights(shares, 100, 0.9).tolist() == pytest.approx([w / mean for w in numbers])


class Spy(Recipe):
    """Keeps what the loop learned from."""

    seen: list = []

    def penalty(self, step):
        logits = step.model(step.shown)
        self.seen.append((logits.detach(), step.labels, step.targets, step.cross_entropy(logits).item()))


@pytest.mark.parametrize("adversarial", [False, True])
def test_the_loss_is_the_weighted_cross_entropy(monkeypatch, adversarial):
    images, labels = skewed()
    spy = Spy.model_construct(seen=[])
    monkeypatch.setattr(Spy, "info", ClassBalanced.info.__class__("spy", "harden", Spy, ""), raising=False)
    recipes = [ClassBalanced(), spy, *([AdversarialTraining(eps=0.02, steps=1)] if adversarial else [])]
    training = Training(epochs=2, batch_size=32, lr=0.01, held_out=1, select="last", check_every=2)
    fit(fresh("small-cnn", images, classes=2, seed=0), images, labels, recipes, training)
    logits, y, targets, loss = spy.seen[-1]
    ratio = targets[y == 1].sum(1).mean() / targets[y == 0].sum(1).mean()
    assert ratio == pytest.approx(9, rel=0.1)
    weights = targets.sum(1)
    by_hand = (weights * F.cross_entropy(logits, y, reduction="none")).mean()
    assert loss == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_search_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(Spy, "info", ClassBalanced.info.__class__("spy", "harden", Spy, ""), raising=False)
    monkeypatch.setattr(Spy, "penalty", lambda self, step: self.seen.append(step.adversarial))
    images, labels = skewed()
    found = []
    for recipes in ([], [ClassBalanced()]):
        spy = Spy.model_construct(seen=[])
        training = Training(epochs=1, batch_size=32, lr=0.01, held_out=1, select="last")
        net = fresh("small-cnn", images, classes=2, seed=0)
        fit(net, images, labels, [*recipes, spy, AdversarialTraining(eps=0.02, steps=3)], training)
        found.append(spy.seen[0])
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_the_rare_class_is_found_again():
    images, labels = skewed()
    test, truth = skewed(400, 1, seed=1)
    training = Training(epochs=15, batch_size=32, lr=0.01, optimizer="adam", held_out=1, select="last", check_every=15)
    found = {}
    for name, recipes in {"plain": [], "balanced": [ClassBalanced()]}.items():
        net = fit(fresh("small-cnn", images, classes=2, seed=0), images, labels, recipes, training).model
        with torch.no_grad():
            right = net(test.float() / 255).argmax(1) == truth
        found[name] = right[truth == 1].float().mean().item()
    assert found["balanced"] > found["plain"]


def test_bad_input():
    with pytest.raises(ParameterError, match=r"beta=1\.5"):
        ClassBalanced(beta=1.5)
