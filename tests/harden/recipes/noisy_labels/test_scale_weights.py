"""Weights of scales that ADELE learns: the loss by hand, and that they train, resume and leave."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.harden.recipes.noisy_labels.conftest import Grey
from unshaken.core.classifier import Classifier
from unshaken.core.masks import IGNORED
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.noisy_labels.adele import ADELE
from unshaken.store.run_dir import RunDir


def test_learned_scales_weigh_the_mixture_and_the_logits(scene, step_of):
    """`w = softmax(0, ln 3)`: q is of 1/4 and 3/4, and so are the logits of the cross-entropy."""
    images, _, given = scene
    recipe = ADELE(scales="0.75+1", learned_scales=True, sure=0.5)
    model = recipe.rebuild(Classifier(Grey()))
    setup = Setup(model, images, 3, 0, 1, 1, {}, lambda n: (images[:n], torch.zeros(n).long()), 10)
    recipe.begin(setup)
    weights = torch.zeros(2, requires_grad=True)
    with torch.no_grad():
        for one in (weights, model.net.get_parameter("scale_logarithms")):
            one.copy_(torch.tensor([1.0, 3.0]).log())
    step = step_of(model, images, given, classes=3, memory={"adele": setup.memory}, rows=torch.arange(4, 10))
    small = F.interpolate(images, (6, 6), mode="bilinear", align_corners=True)
    logits = [F.interpolate(model(small), (8, 8), mode="bilinear", align_corners=True), model(images)]
    w, p = weights.softmax(0), [z.softmax(1) for z in logits]
    assert w.tolist() == pytest.approx([0.25, 0.75])
    q = (w[0] * p[0] + w[1] * p[1]).clamp(1e-3, 1 - 1e-3)
    kl = sum((one * (one / q).log()).sum(1) for one in p)
    sure = (q.amax(1).masked_fill(given == IGNORED, 0).amax((1, 2)) >= 0.5)[:, None, None]
    entropies = [F.cross_entropy(w[s] * logits[s], given, ignore_index=IGNORED, reduction="none") for s in range(2)]
    wanted = (sum(e.mean() for e in entropies) + (kl * sure).mean()) / 2
    found = recipe.loss(step)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    (by_hand,) = torch.autograd.grad(wanted, weights)
    (gradient,) = torch.autograd.grad(found, model.net.get_parameter("scale_logarithms"))
    assert by_hand.abs().max() > 1e-4
    assert torch.allclose(gradient, by_hand, atol=1e-6)
    assert step.figures == {"scale_0.75": pytest.approx(0.25), "scale_1": pytest.approx(0.75)}


def test_learned_scales_are_trained_resumed_and_left_out(squares, tmp_path):
    images, wrong, _ = squares
    recipe = ADELE(scales="0.5+1", learned_scales=True)
    options = {"batch_size": 8, "lr": 0.01, "optimizer": "adam", "held_out": 8, "check_images": 4, "select": "last"}
    training = Training(epochs=2, save_every=1, **options)
    whole = fit(fresh("unet", images, classes=2, seed=0), images, wrong, [recipe], training)
    weights = [c["scale_1"] for c in whole.progress.curves]
    assert len({0.5, *weights}) == 3
    assert "scale_logarithms" not in whole.last.net.state_dict()

    def loop():
        model = recipe.rebuild(fresh("unet", images, classes=2, seed=0))
        return Loop(model, Samples.of(images, wrong, 2), [recipe], training, run=RunDir(tmp_path))

    first, steps = loop(), []

    def stop():
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    first.renew = stop
    with pytest.raises(KeyboardInterrupt):
        first.train()
    again = loop()
    again.train(resume=True)
    for name, weight in whole.last.net.state_dict().items():
        assert torch.equal(again.kept().net.state_dict()[name], weight), name
