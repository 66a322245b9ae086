"""Three steps of the training loop against three steps written out, for every registered recipe."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from torch import nn

from tests.battery.test_recipes import RECIPES, cheap, every, labels_for, together
from unshaken.core.classifier import Classifier
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.weights.awp import AWP
from unshaken.harden.recipes.weights.ema import EMA

STEPS, BATCH, LR = 3, 16, 0.05
TRAINING = Training(
    epochs=1, batch_size=BATCH, lr=LR, momentum=0.0, weight_decay=0.0, nesterov=False, schedule="constant", warmup=0,
    held_out=16, check_images=8, check_steps=2, select="last", channels_last=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def gray():
    """Three batches and some held-out images of ten classes, `[N, 1, 28, 28]`."""
    samples = Samples(load_data("demo"), None, 10, limit=STEPS * BATCH + 16)
    return samples.resident, samples.labels[torch.from_numpy(samples.good)]


class WrittenOut(Loop):
    """The loop with its step as the documentation of `Recipe` has it, in plain words of torch."""

    def _descend(self, step):
        recipes, parameters = self.together.recipes, list(self.live.parameters())
        for recipe in recipes:
            recipe.augment(step)
        for recipe in recipes:
            found = recipe.inner(step)
            step.adversarial = step.adversarial if found is None else found
        self.live.train()

        def objective():
            losses = [loss for loss in (r.loss(step) for r in recipes) if loss is not None]
            penalties = [more for more in (r.penalty(step) for r in recipes) if more is not None]
            plain = [] if losses else [nn.functional.cross_entropy(step.model(step.shown), step.soft_labels)]
            return sum([*losses[:1], *plain, *penalties])

        with ExitStack() as stack:
            for recipe in recipes:
                stack.enter_context(recipe.around(step, objective))
            for p in parameters:
                p.grad = None
            objective().backward()
            with torch.no_grad():
                for p in parameters:
                    if p.grad is not None:
                        p -= LR * p.grad
        self.progress.number += 1
        for recipe in recipes:
            recipe.after_step(step)


def trained(kind, recipe, images, labels):
    """The live weights after three steps, those kept as the chosen model, those the recipe keeps, the first ones."""
    recipes, kept = together(recipe), {}
    model = fresh(recipe.first_try.arch, images, classes=10, seed=0)
    for one in recipes:
        model = one.rebuild(model)

    def keep(found, name, progress):
        kept[name] = {k: v.detach().clone() for k, v in found.net.state_dict().items()}

    first = {k: v.detach().clone() for k, v in model.net.state_dict().items()}
    loop = kind(model, Samples.of(images, labels, 10), recipes, TRAINING, keep=keep)
    loop.train()
    averages = [found for r in recipes if (found := r.kept(loop.memory[r.info.name])) is not None]
    live = {k: v.detach().clone() for k, v in loop.live.net.state_dict().items()}
    return live, kept["model"], (averages or [live])[0], first


@every(RECIPES)
def test_three_steps_are_those_written_out(method, gray):
    images, labels = gray
    whole = "demo" in str(method.cls.first_try)  # an embedded network is to see them: no pixels are left out
    images = images if whole else images[..., ::2, ::2].contiguous()
    labels = labels_for(method, images, labels)
    loop, written = (trained(kind, cheap(method), images, labels) for kind in (Loop, WrittenOut))
    first = loop[3]
    assert loop[0].keys() == written[0].keys()
    moved, apart = 0.0, 0.0  # sign steps decide by rounding where a gradient is nearly 0: so not to the bit
    for name in first.keys() & written[0].keys():  # the others are made when the training begins
        moved += float((written[0][name] - first[name]).double().square().sum())
        apart += float((written[0][name] - loop[0][name]).double().square().sum())
    assert apart <= moved / 50**2
    assert all(torch.equal(loop[1][name], weight) for name, weight in loop[2].items() if name in loop[1])


class Linear(nn.Module):
    """Logits of a flat image by one matrix."""

    def __init__(self, size, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-0.1, 0.1, size * classes).view(classes, size))

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


def whole_batches(recipe, images, labels):
    """The weights that are kept after three steps, each on all images but one."""
    settings = TRAINING.model_dump() | {"epochs": STEPS, "batch_size": len(images) - 1, "held_out": 1}
    net = Linear(images[0].numel(), 10)
    return fit(Classifier(net), images, labels, [recipe], Training(**settings), classes=10).model.net.weight.detach()


def learned(images, labels):
    """The images that `whole_batches` learns from, flat in float64, with their labels."""
    rows = torch.as_tensor(Samples.of(images, labels, 10).split(1, TRAINING.seed)[0])
    return images[rows].flatten(1).double() / 255, labels[rows]


def slope(weight, x, labels):
    """The gradient of the mean cross-entropy of `softmax(W x)`: `(p - y) x^T / N`."""
    return (torch.softmax(x @ weight.T, 1) - nn.functional.one_hot(labels, 10)).T @ x / len(x)


def test_awp_by_its_formula(gray):
    """`w <- w - lr dL(w + v)/dw` with `v = gamma |w| g / |g|`: the perturbation goes, the step stays."""
    (x, labels), gamma = learned(*gray), 0.5
    weight = Linear(x.shape[1], 10).weight.detach().double()
    plain = weight.clone()
    for _ in range(STEPS):
        ascent = slope(weight, x, labels)
        moved = weight + gamma * ascent * weight.norm() / ascent.norm()
        weight = weight - LR * slope(moved, x, labels)
        plain = plain - LR * slope(plain, x, labels)
    made = whole_batches(AWP(gamma=gamma), *gray).double()
    assert torch.allclose(made, weight, atol=1e-5)
    assert not torch.allclose(made, plain, atol=1e-3)


def test_ema_by_its_formula(gray):
    """`w_ema <- t w_ema + (1 - t) w` with `t = min(decay, (1 + step) / (10 + step))` is what is kept."""
    x, labels = learned(*gray)
    weight = Linear(x.shape[1], 10).weight.detach().double()
    average = weight.clone()
    for step in range(STEPS):
        weight = weight - LR * slope(weight, x, labels)
        t = (1 + step) / (10 + step)
        average = t * average + (1 - t) * weight
    made = whole_batches(EMA(decay=0.99), *gray).double()
    assert torch.allclose(made, average, atol=1e-5)
    assert not torch.allclose(made, weight, atol=1e-4)
