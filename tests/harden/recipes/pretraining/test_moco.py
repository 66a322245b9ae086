"""MoCo: its keys, its queue and its average in two steps by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from unshaken.harden.engine.contrastive import queue_info_nce
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.recipes.pretraining.moco import KEYS, NEXT, QUEUE, MoCo


@pytest.fixture
def ready(net, photos, step_of):
    images, labels = photos[0][:4].float() / 255, photos[1][:4]
    recipe = MoCo(queue=6, projected=3, hidden=5, momentum=0.75)
    model, memory = recipe.rebuild(net(norm=False)), {}
    recipe.begin(Setup(model, images[:2], 10, 5, 1, 1, memory, lambda n: (images[:n], labels[:n])))
    return recipe, model, memory, lambda: step_of(model, images, labels, memory={"moco": memory})


def test_keys_are_of_the_average_and_enter_the_queue_after_the_step(ready):
    recipe, model, memory, make = ready
    average = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01)
    step = make()
    one, two = recipe.views(step)
    with model.net.giving("projection"), average.net.giving("projection"):
        queries, keys = model(one), average(two)
    found = recipe.loss(step)
    assert found.item() == pytest.approx(queue_info_nce(queries, keys, torch.zeros(6, 3)).mean().item(), abs=1e-6)
    assert not memory[QUEUE].any()
    recipe.after_step(step)
    assert torch.allclose(memory[QUEUE][:4], F.normalize(keys, dim=1), atol=1e-6)
    assert not memory[QUEUE][4:].any()
    assert int(memory[NEXT]) == 4


def test_the_oldest_keys_are_replaced(ready):
    recipe, _, memory, make = ready
    step = make()
    for _ in range(2):
        recipe.loss(step)
        before = memory[QUEUE].clone()
        recipe.after_step(step)
    assert int(memory[NEXT]) == 2
    keys = step.extra[QUEUE]
    assert torch.equal(memory[QUEUE], torch.cat([keys[2:], before[2:4], keys[:2]]))


def test_the_average_by_hand(ready):
    recipe, model, memory, make = ready
    first = {k: v.clone() for k, v in memory.items() if k.startswith(KEYS)}
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2)
    step = make()
    recipe.loss(step)
    recipe.after_step(step)
    for name, weight in model.net.named_parameters():
        assert torch.allclose(memory[KEYS + name], 0.75 * first[KEYS + name] + 0.25 * weight, atol=1e-6)
