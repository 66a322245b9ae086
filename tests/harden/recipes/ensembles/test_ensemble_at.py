"""Adversarial training of an ensemble: what is attacked is the whole."""

from __future__ import annotations

import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.harden.engine.ensemble import ensemble, members_of
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.ensembles.ensemble_at import EnsembleAT


def test_each_member_learns_from_the_worst_images_of_the_whole():
    def single(weight):
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        with torch.no_grad():
            net[1].weight.copy_(torch.tensor([weight, [-w for w in weight]]))
        return Classifier(net)

    # the mean prediction falls along the sign of the stronger member's weights
    model = ensemble([single([4.0, 4.0, -4.0, 0.0]), single([0.1, 0.1, 0.1, 0.0])])
    images = torch.full((18, 1, 2, 2), 128, dtype=torch.uint8)
    labels = torch.arange(18) % 2
    training = Training(
        epochs=1, batch_size=16, lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant", held_out=2,
        check_images=2, select="last",
    )  # fmt: skip
    fitted = fit(model, images, labels, [EnsembleAT(eps=0.1, steps=1, rel_stepsize=2.0)], training)
    for member in members_of(fitted.last):
        assert member.net[1].weight.shape == (2, 4)
    _, weak = (m.net[1].weight[0] for m in members_of(fitted.last))
    # images of class 0 are shown darker where the strong member's weight is positive, those of class 1 brighter, and
    # the third pixel the other way round; an attack on the weak member alone would darken all three
    assert bool((weak[:2] < 0.1).all())
    assert float(weak[2].detach()) > 0.1
