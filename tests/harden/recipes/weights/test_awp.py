from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.recipes.weights.awp import AWP, weight_direction


def linear() -> Classifier:
    """Logits are the two pixels."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.eye(2))
    return Classifier(net)


def test_direction_and_loss_of_the_identity(step_of):
    model, weight = linear(), torch.eye(2)
    images, labels = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2), torch.tensor([0])
    step = step_of(model, images, labels, classes=2)

    def loss():
        return step.cross_entropy(model(images))

    (slope,) = torch.autograd.grad(loss(), model.net[1].weight)
    assert torch.allclose(slope, torch.tensor([[-0.731059, -1.462117], [0.731059, 1.462117]]), atol=1e-6)
    wanted = torch.tensor([[-0.447214, -0.894427], [0.447214, 0.894427]])
    assert torch.allclose(weight_direction(weight, slope), wanted, atol=1e-6)
    assert loss().item() == pytest.approx(1.313262, abs=1e-6)
    with AWP(gamma=0.01).around(step, loss):
        assert loss().item() == pytest.approx(1.346151, abs=1e-6)
    assert (model.net[1].weight - weight).abs().max() <= torch.finfo(torch.float32).eps


def test_vectors_and_statistics_stay(photos, net, step_of):
    model = net()
    images, labels = photos[0][:16].float() / 255, photos[1][:16]
    step = step_of(model.train(), images, labels)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with AWP(gamma=0.1).around(step, lambda: step.cross_entropy(model(images))):
        now = model.state_dict()
        moved = {k for k in before if not torch.equal(now[k], before[k])}
        share = {k: (now[k] - before[k]).norm() / before[k].norm() for k in moved}
    assert moved == {"net.0.weight", "net.5.weight"}
    assert all(s.item() == pytest.approx(0.1, rel=1e-4) for s in share.values())


def test_warm_up_moves_nothing(photos, net, step_of):
    model = net()
    images, labels = photos[0][:4].float() / 255, photos[1][:4]
    step = step_of(model.train(), images, labels, epoch=1)
    before = model.net[0].weight.clone()
    with AWP(warmup=2).around(step, lambda: step.cross_entropy(model(images))):
        assert torch.equal(model.net[0].weight, before)


def test_an_error_inside_puts_the_weights_back(photos, net, step_of):
    model = net()
    images, labels = photos[0][:4].float() / 255, photos[1][:4]
    step = step_of(model.train(), images, labels)
    before = model.net[0].weight.clone()
    with pytest.raises(RuntimeError, match="lost"), AWP().around(step, lambda: step.cross_entropy(model(images))):
        raise RuntimeError("lost")
    assert torch.allclose(model.net[0].weight, before, atol=1e-7)


def test_bad_parameters():
    with pytest.raises(ParameterError, match="gamma=0"):
        AWP(gamma=0)
