"""The class weights after each epoch, from errors counted outside."""

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.losses.class_balanced import ClassBalanced
from unshaken.harden.recipes.losses.worst_class import WorstClass, hedge


def overlapping(n=240):
    """Class 2 can be told apart, 0 and 1 hardly."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = torch.randint(40, 160, (n, 1, 4, 4), generator=g)
    images[labels == 2] += 90
    images[labels == 1] += 6
    return images.to(torch.uint8), labels


def trained(recipes, epochs=4):
    images, labels = overlapping()
    training = Training(epochs=epochs, batch_size=48, lr=0.01, optimizer="adam", held_out=1, select="last")
    return fit(fresh("small-cnn", images, classes=3, seed=0), images, labels, recipes, training)


def test_hedge_by_hand():
    q = hedge(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.0, 1.0, 0.0]), 1.0)
    e = 2.718281828
    assert q.tolist() == pytest.approx(
        [0.5 / (0.75 + 0.25 * e), 0.25 * e / (0.75 + 0.25 * e), 0.25 / (0.75 + 0.25 * e)]
    )
    assert hedge(q, torch.ones(3), 5.0).tolist() == pytest.approx(q.tolist(), rel=1e-5)


class Watch(Recipe):
    """Counts the errors by itself, and keeps the weights."""

    wrong: list = []
    weights: list = []

    def after_step(self, step):
        with torch.no_grad():
            step.classifier.eval()
            missed = step.classifier(step.shown).argmax(1) != step.labels
            step.classifier.train()
        self.wrong.append(torch.tensor([[missed[step.labels == k].sum(), (step.labels == k).sum()] for k in range(3)]))
        self.weights.append(step.memory["worst-class"]["q"].clone())


@pytest.mark.parametrize("adversarial", [False, True])
def test_weights_follow_the_errors_of_each_epoch(monkeypatch, adversarial):
    watch = Watch.model_construct(wrong=[], weights=[])
    monkeypatch.setattr(Watch, "info", WorstClass.info.__class__("watch", "harden", Watch, ""), raising=False)
    recipes = [WorstClass(eta=2), watch, *([AdversarialTraining(eps=0.02, steps=2)] if adversarial else [])]
    fitted = trained(recipes)
    steps = len(watch.wrong) // 4
    q = torch.full((3,), 1 / 3, dtype=torch.float64)
    for epoch in range(3):
        wrong, seen = torch.stack(watch.wrong[epoch * steps : (epoch + 1) * steps]).sum(0).T
        q = hedge(q, wrong / seen, 2.0)
        assert watch.weights[(epoch + 1) * steps].tolist() == pytest.approx(q.tolist(), rel=1e-6)
    assert watch.weights[0].tolist() == pytest.approx([1 / 3] * 3)
    last = fitted.progress.curves[-1]
    assert 0 < last["worst_class_error"] <= 1
    assert last["worst_class_weight"] > 1 / 3
    assert watch.weights[-1].argmin() == 2


def test_without_a_step_it_is_class_balanced():
    nets = [trained([recipe], 2).last for recipe in (WorstClass(eta=0), ClassBalanced())]
    one, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.allclose(one, other, atol=1e-6)


def test_bad_input():
    with pytest.raises(ParameterError, match="eta=-1"):
        WorstClass(eta=-1)
    with pytest.raises(ParameterError, match="floor=1"):
        WorstClass(floor=1)
