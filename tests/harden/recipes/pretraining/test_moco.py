"""MoCo: its keys, its queue and its average in two steps by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.harden.engine.recipe import Setup
from unshaken.harden.recipes.pretraining.moco import KEYS, NEXT, QUEUE, MoCo, queue_info_nce


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


def test_a_queue_of_equal_keys_is_the_log_of_all():
    same = torch.nn.functional.normalize(torch.ones(7, 3), dim=1)
    assert queue_info_nce(same[:2], 5 * same[:2], same).tolist() == pytest.approx([math.log(8)] * 2, abs=1e-5)


def test_rows_of_a_queue_that_are_not_filled_are_no_negatives():
    eye = torch.eye(4)
    queue = torch.cat([eye[2:3], torch.zeros(5, 4)])
    assert queue_info_nce(eye[:1], eye[:1], queue, 1.0).item() == pytest.approx(math.log(math.e + 1) - 1, abs=1e-6)
    assert queue_info_nce(eye[:1], eye[:1], torch.zeros(5, 4)).item() == 0


def test_the_usual_temperature():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    queue = torch.eye(4)
    assert torch.equal(queue_info_nce(z[:3], z[3:], queue), queue_info_nce(z[:3], z[3:], queue, 0.2))
