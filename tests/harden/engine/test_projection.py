"""A projection head: its outputs by hand, what it leaves alone, and how it leaves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.harden.engine.projection import add_projector, outputs, remove_projector

IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_outputs_are_those_of_the_layers(net, step_of):
    plain = net().eval()
    logits, found = plain.features(IMAGES, ["5:in"])
    model = add_projector(plain, 6, 4, seed=3)
    assert torch.equal(model(IMAGES), logits)
    step = step_of(model, IMAGES, torch.zeros(3).long())
    projection, features, again = outputs(step, IMAGES, "projection", "features", "logits")
    assert torch.equal(features, found["5:in"])
    assert torch.equal(again, logits)
    first, _, second = model.net.projector
    by_hand = (features @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias
    assert torch.allclose(projection, by_hand, atol=1e-6)
    assert torch.equal(model(IMAGES), logits)  # inside `giving` alone are there others


def test_without_hidden_units_the_projection_is_linear(net, step_of):
    model = add_projector(net().eval(), 0, 4, seed=3)
    (only,) = model.net.projector
    projection, features = outputs(step_of(model, IMAGES, torch.zeros(3).long()), IMAGES, "projection", "features")
    assert torch.allclose(projection, features @ only.weight.T + only.bias, atol=1e-6)


def test_weights_follow_from_the_seed(net):
    one, two, other = (add_projector(net(), 0, 4, seed=s).net.projector[0].weight for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_net_alone_takes_weights_saved_with_a_projection_head(net):
    model = add_projector(net().eval(), 6, 4, seed=0)
    wanted, kept = model(IMAGES), {k: v.clone() for k, v in model.net.state_dict().items()}
    bare = kept_without = net().eval().net
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    remove_projector(model)
    model.net.load_state_dict(kept)
    assert torch.equal(model(IMAGES), wanted)
    assert model.net.state_dict().keys() == bare.state_dict().keys()
    model.net.load_state_dict(kept_without.state_dict())  # and weights without one


def test_a_second_projection_head_replaces_the_first(net):
    model = add_projector(net(), 6, 4, seed=0)
    encoder = model.net.encoder
    assert add_projector(model, 0, 7, seed=0).net.encoder is encoder
    assert model.net.widths == {"logits": 10, "features": 128, "projection": 7}


def test_nets_that_have_no_features_are_refused(step_of):
    with pytest.raises(ModelError, match="no linear layer at its end"):
        add_projector(Classifier(nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten())), 4, 4, seed=0)
    model = add_projector(Classifier(nn.Sequential(nn.Linear(8, 2), nn.Flatten())), 4, 4, seed=0)
    with pytest.raises(ModelError, match=r"is given \(3, 1, 8, 8\): \[N, D\] is wanted"):
        outputs(step_of(model, IMAGES, torch.zeros(3).long()), IMAGES, "features")
