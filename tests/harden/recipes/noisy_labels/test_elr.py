"""ELR: its table, its loss in a step, and what it withstands."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ParameterError
from unshaken.harden.recipes.noisy_labels.elr import ELR, TABLE
from unshaken.labels.losses import early_learning, update_targets


def test_without_strength_it_is_cross_entropy_and_the_table_fills(net, step_of, batch, begun):
    images, labels = batch
    model, recipe, rows = net(classes=3), ELR(strength=0), torch.tensor([3, 1, 19, 0, 7, 5])
    memory = begun(recipe, model, images)
    step = step_of(model, images, labels, classes=3, memory={"elr": memory}, rows=rows)
    assert recipe.loss(step).item() == F.cross_entropy(model(images), labels).item()
    assert memory[TABLE][rows].sum(1).tolist() == pytest.approx([0.3] * 6, abs=1e-6)
    assert memory[TABLE].count_nonzero(1).bool().sum() == 6


def test_the_loss_of_a_second_step_by_hand(net, step_of, batch, begun):
    images, labels = batch
    model, recipe, rows = net(classes=3), ELR(strength=2.0, beta=0.9), torch.arange(6)
    memory = begun(recipe, model, images)
    step = step_of(model, images, labels, classes=3, memory={"elr": memory}, rows=rows)
    recipe.loss(step)
    found = recipe.loss(step)
    logits = model(images)
    targets = torch.zeros(6, 3)
    for _ in range(2):
        targets = update_targets(targets, logits.detach(), 0.9)
    wanted = F.cross_entropy(logits, labels) + 2 * early_learning(targets, logits).mean()
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    (gradient,) = torch.autograd.grad(found, model.net[-1].bias)
    (by_hand,) = torch.autograd.grad(wanted, model.net[-1].bias)
    assert torch.allclose(gradient, by_hand, atol=1e-6)


def test_several_processes_are_refused(net, batch, begun, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(ParameterError, match=r"train it in one process \(--devices 1\)"):
        begun(ELR(), net(classes=3), batch[0])
