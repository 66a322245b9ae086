"""Layer heads: the network stays as it is, its heads learn, and they vote."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from unshaken.core import Classifier
from unshaken.core.errors import ModelError
from unshaken.harden.defences.crossmax import CrossMax
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.ensembles.layer_heads import LayerHeads, LayerHeadsRecipe, spread
from unshaken.models.networks.small import SmallNet


def data(n=128):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 4
    images = torch.randint(0, 60, (n, 1, 28, 28), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 7 * label : 7 * label + 7] += 150
    return images.to(torch.uint8), labels


@pytest.fixture(scope="module")
def trained():
    images, labels = data()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier(SmallNet(classes=4), mean=[0.4], std=[0.3])
    before = copy.deepcopy(model)
    training = Training(epochs=4, batch_size=16, lr=0.02, held_out=8, check_images=8, check_every=4, select="last")
    return before, fit(model, images, labels, [LayerHeadsRecipe()], training).last


def test_the_network_is_left_alone(trained):
    before, after = trained
    own = after.net.net.state_dict()
    assert all(torch.equal(v, own[k]) for k, v in before.net.state_dict().items())
    assert not after.net.train().net.training


def test_heads_learn_what_the_untrained_network_does_not_know(trained):
    before, after = trained
    images, labels = data()
    x = (images.float() / 255 - 0.4) / 0.3
    with torch.no_grad():
        outputs = after.eval().net.predictors(x)
    right = (outputs.argmax(2) == labels[:, None]).double().mean(0)
    assert outputs.shape == (128, 5, 4)
    assert float(right[:4].min()) > 0.9
    assert torch.allclose(outputs[:, -1], before.eval()(images.float() / 255), atol=1e-5)
    with torch.no_grad():
        assert (
            float(
                (CrossMax(aggregate="top-k", k=3).wrap(after)(images.float() / 255).argmax(1) == labels).double().mean()
            )
            > 0.9
        )


def test_pooled_outputs_are_those_before_a_relu_in_place(trained):
    _, after = trained
    net = after.net
    x = torch.randn(3, 1, 28, 28)
    seen = []
    handle = net.heads[0].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net.predictors(x)
        first = net.net.body[0][1](net.net.body[0][0](x))
    handle.remove()
    assert torch.allclose(seen[0], nn.functional.adaptive_avg_pool2d(first, 2).flatten(1), atol=1e-5)


def test_layers_are_spread_over_the_network():
    deep = nn.Sequential(*[nn.Conv2d(1, 1, 1) for _ in range(14)])
    assert spread(Classifier(deep)) == ("1", "3", "5", "7", "9", "11", "13")
    assert spread(Classifier(SmallNet())) == ("body.0.1", "body.1.1", "body.2.1", "body.3.1")
    with pytest.raises(ModelError, match="no convolution or norm"):
        spread(Classifier(nn.Linear(2, 2)))


def test_what_cannot_be_rebuilt_is_said():
    with pytest.raises(ModelError, match="no layer 'nowhere'"):
        LayerHeadsRecipe(layers=("nowhere",)).rebuild(Classifier(SmallNet()))
    picky = Classifier(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(49, 2)))
    with pytest.raises(ModelError, match="takes images of none of the sides"):
        LayerHeadsRecipe().rebuild(picky)
    once = LayerHeadsRecipe().rebuild(Classifier(SmallNet()))
    assert isinstance(once.net, LayerHeads)
    assert LayerHeadsRecipe().rebuild(once) is once
