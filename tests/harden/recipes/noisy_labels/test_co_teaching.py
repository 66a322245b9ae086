"""Small-loss selection and co-teaching in a step by hand: who learns from what."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import ensemble, members_of, redrawn
from unshaken.harden.recipes.noisy_labels.co_teaching import CoTeaching
from unshaken.harden.recipes.noisy_labels.small_loss_selection import SmallLossSelection


def test_one_network_learns_from_its_smallest_losses(net, step_of, batch):
    images, labels = batch
    model = net(classes=3)
    step = step_of(model, images, labels, classes=3, epoch=9)
    losses = F.cross_entropy(model(images), labels, reduction="none")
    wanted = losses.sort().values[:3].mean()  # int((1 - 0.4) 6)
    assert SmallLossSelection(noise_rate=0.4).loss(step).item() == pytest.approx(wanted.item(), abs=1e-6)


def test_in_the_first_epoch_all_are_learned_from(net, step_of, batch):
    images, labels = batch
    model = net(classes=3)
    found = SmallLossSelection(noise_rate=0.4).loss(step_of(model, images, labels, classes=3))
    assert found.item() == pytest.approx(F.cross_entropy(model(images), labels).item(), abs=1e-6)


def test_each_of_two_learns_from_the_smallest_losses_of_the_other(net, step_of, batch):
    images, labels = batch
    recipe = CoTeaching(noise_rate=0.5, ramp=1)
    model = recipe.rebuild(net(classes=3, norm=False)).train()
    members = members_of(model)
    losses = [F.cross_entropy(m(images), labels, reduction="none") for m in members]
    first, second = (torch.argsort(one)[:3] for one in losses)
    assert first.sort().values.tolist() != second.sort().values.tolist()
    wanted = losses[0][second].mean() + losses[1][first].mean()
    found = recipe.loss(step_of(model, images, labels, classes=3))
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    weight = members[0].net[-1].weight
    (gradient,) = torch.autograd.grad(found, weight)
    (by_hand,) = torch.autograd.grad(losses[0][second].mean(), weight)
    assert torch.allclose(gradient, by_hand, atol=1e-6)


def test_they_answer_by_the_mean_of_their_logits(net, batch):
    model = CoTeaching(noise_rate=0.2).rebuild(net(classes=3)).eval()
    first, second = (m(batch[0]) for m in members_of(model))
    assert not torch.allclose(first, second)
    assert torch.allclose(model(batch[0]), (first + second) / 2, atol=1e-6)


def test_three_networks_are_refused(net, batch, begun):
    three = ensemble([net(classes=3), *(redrawn(net(classes=3), i) for i in (1, 2))])
    with pytest.raises(ParameterError, match="an ensemble of 2, not of 3"):
        begun(CoTeaching(noise_rate=0.2), three, batch[0])
