from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.recipes.weights.ema import EMA


def follow(net, step_of, photos, recipe, values, epoch=0):
    """The average of a weight that takes the values in turn."""
    model = net()
    memory: dict[str, torch.Tensor] = {}
    images = photos[0][:2].float() / 255
    recipe.begin(Setup(model, images, 10, 0, 10, 2, memory, lambda n: (images, photos[1][:2])))
    start = memory["0.weight"].clone()
    for number, value in enumerate(values):
        with torch.no_grad():
            model.net[0].weight.fill_(value)
        recipe.after_step(step_of(model, images, photos[1][:2], number=number, epoch=epoch, memory={"ema": memory}))
    return start, memory, model


def test_two_steps_by_hand(net, step_of, photos):
    start, memory, _ = follow(net, step_of, photos, EMA(decay=0.995), [1.0, 3.0])
    t0, t1 = 0.1, 2 / 11
    wanted = t1 * (t0 * start + (1 - t0) * 1.0) + (1 - t1) * 3.0
    assert torch.allclose(memory["0.weight"], wanted, atol=1e-6)


def test_the_decay_is_capped(net, step_of, photos):
    start, memory, _ = follow(net, step_of, photos, EMA(decay=0.05), [1.0])
    assert torch.allclose(memory["0.weight"], 0.05 * start + 0.95, atol=1e-6)


def test_in_the_warm_up_it_is_the_live_model(net, step_of, photos):
    _, memory, model = follow(net, step_of, photos, EMA(warmup=1), [1.0, 7.0])
    assert torch.equal(memory["0.weight"], model.net[0].weight)


def test_statistics_are_the_live_ones(net, step_of, photos):
    recipe, model = EMA(), net()
    memory: dict[str, torch.Tensor] = {}
    images = photos[0][:4].float() / 255
    recipe.begin(Setup(model, images, 10, 0, 10, 2, memory, lambda n: (images, photos[1][:4])))
    model.train()(images)
    recipe.after_step(step_of(model, images, photos[1][:4], number=500, memory={"ema": memory}))
    assert torch.equal(memory["1.running_mean"], model.net[1].running_mean)
    assert recipe.kept(memory).keys() == model.net.state_dict().keys()


def test_bad_parameters():
    with pytest.raises(ParameterError, match="decay=1"):
        EMA(decay=1)
