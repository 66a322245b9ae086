from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.recipes.adversarial.free_at import FreeAT


def test_one_replay_moves_the_perturbation_by_the_sign(photos, net, step_of):
    model = net().train()
    images, labels = photos[0][:8].float() / 255 * 0.5 + 0.25, photos[1][:8]
    recipe, memory = FreeAT(eps=0.1, m=3), {"free-at": {}}
    step = step_of(model, images, labels, memory=memory)
    step.adversarial = recipe.inner(step)
    assert torch.equal(step.adversarial.detach(), images)
    recipe.loss(step).backward()
    wanted = 0.1 * step.adversarial.grad.sign()
    recipe.after_step(step)
    assert torch.equal(memory["free-at"]["delta"], wanted)
    again = step_of(model, images, labels, memory=memory)
    again.adversarial = recipe.inner(again)
    assert torch.allclose(again.adversarial.detach(), (images + wanted).clamp(0, 1))
    recipe.loss(again).backward()
    recipe.after_step(again)
    assert memory["free-at"]["delta"].abs().max() <= 0.1 + 1e-7


def test_weights_and_perturbation_share_one_backward_pass(photos, net, step_of):
    model = net().train()
    step = step_of(model, photos[0][:4].float() / 255, photos[1][:4], memory={"free-at": {}})
    recipe = FreeAT(eps=0.1)
    step.adversarial = recipe.inner(step)
    recipe.loss(step).backward()
    assert model.net[0].weight.grad.abs().sum() > 0
    assert step.adversarial.grad.abs().sum() > 0
    assert recipe.replays == 8


def test_another_norm_is_refused():
    with pytest.raises(ParameterError, match="norm='l2'"):
        FreeAT(norm="l2")
