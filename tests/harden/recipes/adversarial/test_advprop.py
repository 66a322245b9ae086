"""AdvProp: a step by hand with two whole nets in the place of two sets of norms."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.errors import ModelError
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.advprop import AdvProp, TwoNorms, remember, two_norms


@pytest.fixture
def batch(photos):
    return photos[0][:16].float() / 255, photos[1][:16]


@pytest.fixture
def begun(net, batch):
    """A model with auxiliary norms that differ from the main ones, the two plain nets it stands for, its memory."""
    model, memory = net(), {}
    setup = Setup(model, batch[0], 10, 0, 10, 2, memory, lambda n: (batch[0][:n], batch[1][:n]))
    AdvProp().begin(setup)
    auxiliary = two_norms(model.net)[0].auxiliary_norm
    with torch.no_grad():
        auxiliary.running_mean += 0.2
        auxiliary.running_var *= 1.5
        auxiliary.weight *= 0.8
    main, other = net(), net()
    other.net[1].load_state_dict(
        {"weight": auxiliary.weight, "bias": auxiliary.bias, **dict(auxiliary.named_buffers())}
    )
    return model, main, other, memory


def test_a_step_is_that_of_two_nets_that_share_all_but_the_norms(begun, batch, step_of):
    model, main, other, memory = begun
    recipe, step = AdvProp(eps=0.1), step_of(model, *batch, memory={"advprop": memory})
    step.adversarial = recipe.inner(step)
    wanted = Inner(other, batch[0], copied=False).find(
        PGD(steps=5, rel_stepsize=0.25), *batch, step.rng.fold("advprop"), norm="linf", eps=0.1
    )
    assert torch.equal(step.adversarial, wanted)
    assert step.inner.meter.backwards == 5 * 16

    model.train(), main.train(), other.train()
    loss = recipe.loss(step)
    clean, adversarial = (F.cross_entropy(n(x), batch[1]) for n, x in ((main, batch[0]), (other, wanted)))
    assert loss.item() == pytest.approx((clean + adversarial).item(), rel=1e-6)
    norm = two_norms(model.net)[0]
    assert torch.equal(norm.running_mean, main.net[1].running_mean)
    assert torch.equal(norm.auxiliary_norm.running_mean, other.net[1].running_mean)

    loss.backward(), (clean + adversarial).backward()
    shared = model.net[0].weight.grad
    assert torch.allclose(shared, main.net[0].weight.grad + other.net[0].weight.grad, atol=1e-6)
    assert torch.allclose(norm.weight.grad, main.net[1].weight.grad, atol=1e-6)
    assert torch.allclose(norm.auxiliary_norm.weight.grad, other.net[1].weight.grad, atol=1e-6)


def test_only_the_main_norms_are_kept(begun, batch, net):
    model, main, _, _ = begun
    assert model.net.state_dict().keys() == main.net.state_dict().keys()
    assert torch.equal(model.eval()(batch[0]), main.eval()(batch[0]))
    AdvProp().end(model)
    assert [type(m) for m in model.net.modules()] == [type(m) for m in net().net.modules()]
    assert torch.equal(model(batch[0]), main(batch[0]))


def test_auxiliary_norms_come_back_from_the_memory(begun):
    model, _, _, memory = begun
    own = two_norms(model.net)[0].auxiliary_norm
    kept = {k: v.clone() + 1 for k, v in memory.items()}  # as a checkpoint would hold them
    memory.update(kept)
    remember(model.net, memory)
    assert torch.equal(own.weight, kept["0.weight"])
    with torch.no_grad():
        own.running_var.fill_(7)
    assert memory["0.running_var"].unique().tolist() == [7]


def test_random_targets_are_other_classes_and_their_loss_falls(begun, batch, step_of):
    model, _, other, memory = begun
    recipe, step = AdvProp(eps=0.1, targeted=True), step_of(model, *batch, memory={"advprop": memory})
    targets = recipe.objective(step).labels
    assert (targets != batch[1]).all()
    assert len(targets.unique()) > 3
    found, other = recipe.inner(step), other.eval()
    before, after = (F.cross_entropy(other(x), targets, reduction="none") for x in (batch[0], found))
    assert (after < before).all()


def test_what_comes_out_is_a_plain_net_that_has_learnt_from_both(photos, net):
    few, training = (photos[0][::4], photos[1][::4]), Training(epochs=1, batch_size=20, check_images=8)
    made = fit(net(), *few, [AdvProp(steps=1, rel_stepsize=1)], training)
    assert not any(isinstance(m, TwoNorms) for m in [*made.model.modules(), *made.last.modules()])
    assert "held_robust" not in made.progress.curves[-1]
    assert {k.partition(".")[2] for k in made.memory["advprop"]} == {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked"
    }  # fmt: skip
    plain = fit(net(), *few, [], training)
    assert not torch.equal(plain.last.net[0].weight, made.last.net[0].weight)


def test_a_net_without_batch_norm_is_told(photos, net):
    with pytest.raises(ModelError, match="has no batch norm"):
        fit(net(norm=False), *photos, [AdvProp()], Training(epochs=1, batch_size=50))


def test_a_net_that_was_left_in_the_middle_begins_again(begun, batch):
    model, _, _, _ = begun
    again = copy.deepcopy(model)
    auxiliary = two_norms(again.net)[0].auxiliary_norm
    AdvProp().begin(Setup(again, batch[0], 10, 0, 10, 2, {}, lambda n: batch))
    assert two_norms(again.net)[0].auxiliary_norm is auxiliary
    assert isinstance(auxiliary, nn.BatchNorm2d)
