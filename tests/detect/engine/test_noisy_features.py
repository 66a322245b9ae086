"""Noise between two parts of a network: none in evaluation, and answers that it turns as often as by hand."""

import copy
from statistics import NormalDist

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.noisy_features import NoisyFeatures, features_of, flip_shares, split_network
from unshaken.models.networks.small import SmallNet


def test_a_network_is_split_and_its_features_have_one_deviation():
    net = SmallNet(2, 3, 16)
    model = Classifier(split_network(net, 2, noise=3.0))
    images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model.train()
    for _ in range(60):  # running statistics settle
        model(images)
    model.eval()
    features = features_of(model, images)
    assert features.shape == (40, 32, 8, 8)
    alive = features.std((0, 2, 3)) > 0.1
    assert features.std((0, 2, 3))[alive].tolist() == pytest.approx([1.0] * int(alive.sum()), abs=0.1)
    assert torch.equal(model(images), model(images))
    assert net.body[0][0].weight is not model.net.first[0][0].weight


def test_noise_in_training_is_of_its_deviation_and_the_same_for_a_seed():
    made = [NoisyFeatures(nn.Identity(), nn.Flatten(), channels=1, noise=2.0, seed=seed).train() for seed in (1, 1, 2)]
    images = torch.randn(500, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    first, same, other = (net(images) for net in made)
    plain = copy.deepcopy(made[0])
    plain.noise = 0.0
    assert (first - plain(images)).std().item() == pytest.approx(2, rel=0.05)
    generator = torch.Generator().manual_seed(2**20)  # of seed 1, the first draw
    assert torch.allclose(first - plain(images), 2 * torch.randn(500, 16, generator=generator), atol=1e-5)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first, made[0](images))  # another draw at each call


def test_answers_flip_as_often_as_by_hand():
    """One feature f against 0: noise of deviation s turns the answer with probability Phi(-|f| / s)."""

    class Sign(nn.Module):
        def forward(self, x):
            f = x.flatten(1)[:, :1]
            return torch.cat([-f, f], 1)

    model = Classifier(NoisyFeatures(nn.Identity(), Sign(), channels=1, noise=0.0)).eval()
    images = torch.full((400, 1, 1, 1), 0.5)
    features = features_of(model, images)  # running mean 0 and variance 1: as they are
    rng = SampleRng.of(0, "t", [str(i) for i in range(400)])
    found = flip_shares(model, features, (0.1, 0.5, 2.0), rng, draws=10).mean(1)
    assert found[0] == 0
    assert found[1:].tolist() == pytest.approx([NormalDist().cdf(-1), NormalDist().cdf(-0.25)], abs=0.03)


def test_what_does_not_do():
    with pytest.raises(ParameterError, match="at least 0"):
        NoisyFeatures(nn.Identity(), nn.Identity(), channels=1, noise=-1.0)
    with pytest.raises(ParameterError, match="1 to 3"):
        split_network(SmallNet(2, 3, 16), 4, noise=1.0)
    with pytest.raises(ParameterError, match="after=0 must leave blocks"):
        split_network(SmallNet(2, 3, 16), 0, noise=1.0)
    for after in (1, 3):
        split = split_network(SmallNet(2, 3, 16), after, noise=1.0).eval()
        assert split(torch.rand(1, 3, 16, 16)).shape == (1, 2)
    with pytest.raises(ParameterError, match="split_network"):
        features_of(Classifier(nn.Identity()), torch.rand(1, 3, 4, 4))
