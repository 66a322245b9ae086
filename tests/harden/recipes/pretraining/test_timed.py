"""Networks told the noise level: input scale, each way of telling, and a classifier with the level inside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.generate.edm import karras_grid
from unshaken.harden.recipes.pretraining._timed import (
    NoiseLevelNet,
    TimedNet,
    grid_points,
    input_scale,
    nearest_level,
    stage_length,
    target_decay,
    timed,
)
from unshaken.models.networks.small import SmallCNN
from unshaken.models.networks.small_vit import SmallViT
from unshaken.models.networks.timed_cnn import TimedCNN


class Echo(nn.Module):
    """Features are the scaled image itself and its level."""

    width = 17

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(17, 3)

    def features(self, images, time):
        return torch.cat([images.flatten(1), time[:, None]], 1)


def cnn(channels=1):
    return Classifier(SmallCNN(4, channels, 16), mean=[0.2] * channels, std=[0.3] * channels)


def test_input_scale_at_the_published_levels():
    found = input_scale(torch.tensor([0.5, 1.0, 2.0]))
    assert found.tolist() == pytest.approx([1.414214, 0.894427, 0.485071], abs=1e-6)


def test_a_net_of_ones_own_is_taken_as_it_is():
    model = Classifier(Echo())
    net = timed(model, injection="bias", informed=True, seed=0)
    assert isinstance(net.encoder, Echo)
    x = torch.rand(2, 1, 4, 4)
    with net.asked(torch.tensor([0.5, 2.0]), "features"):
        found = model(x)
    scaled = (2 * x - 1) * torch.tensor([2**0.5, 4.25**-0.5]).view(-1, 1, 1, 1)
    assert torch.allclose(found[:, :16], scaled.flatten(1), atol=1e-6)
    assert found[:, 16].tolist() == [0.5, 2.0]
    net.level.fill_(0.5)
    inside = torch.cat([((2 * x - 1) * 2**0.5).flatten(1), torch.full((2, 1), 0.5)], 1)
    assert torch.allclose(model(x), net.encoder.head(inside), atol=1e-6)
    assert timed(model, injection="film", informed=True, seed=0) is net


def test_a_net_that_is_not_informed_hears_one_level():
    model = Classifier(Echo())
    net = timed(model, injection="bias", informed=False, seed=0)
    with net.asked(torch.tensor([0.5, 2.0]), "features"):
        assert model(torch.rand(2, 1, 4, 4))[:, 16].tolist() == [1, 1]


@pytest.mark.parametrize("injection", ["bias", "film"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_level_is_heard_and_the_body_is_the_nets_own(injection, channels):
    model, x = cnn(channels).eval(), torch.rand(2, channels, 16, 16)
    plain = model.net.body(x).mean((2, 3))
    head = model.net.head
    net = timed(model, injection=injection, informed=True, seed=0)
    assert torch.equal(net.encoder.net(x), plain)
    assert net.encoder.head is head
    assert (net.encoder.width, model.mean.flatten().tolist()) == (80, [0.5] * channels)
    with net.asked(torch.tensor([1.0, 2.0]), "features"):
        one = model(x)
    with net.asked(torch.tensor([1.1, 2.1]), "features"):
        other = model(x)
    assert one.shape == (2, 80)
    assert (one - other).abs().max() > 1e-2
    assert model(x).shape == (2, 4)


def test_bias_and_film_by_hand():
    net, x = SmallCNN(4, 1, 16).eval(), torch.rand(2, 1, 16, 16)
    plain = net.body(x).mean((2, 3))
    bias = NoiseLevelNet(net, "bias")
    nn.init.zeros_(bias.time.weight)
    assert torch.allclose(bias.features(x, torch.ones(2)), bias.norm(plain + bias.time.bias), atol=1e-6)
    film = NoiseLevelNet(SmallCNN(4, 1, 16).eval(), "film")
    nn.init.zeros_(film.time.weight)
    with torch.no_grad():
        film.time.bias.copy_(torch.arange(160.0) / 80)
    scale, shift = film.time.bias[:80], film.time.bias[80:]
    wanted = film.norm(film.net(x) * (1 + scale) + shift)
    assert torch.allclose(film.features(x, torch.ones(2)), wanted, atol=1e-5)


def test_a_token_more():
    model, x = Classifier(SmallViT(5, 1, 16)).eval(), torch.rand(2, 1, 16, 16)
    net = timed(model, injection="token", informed=True, seed=0)
    tokens = []
    net.encoder.net.blocks.register_forward_pre_hook(lambda _, given: tokens.append(given[0]))
    one = model(x)
    assert tokens[0].shape == (2, 1 + 1 + 16, 64)
    assert torch.allclose(tokens[0][:, 1:2], net.encoder.time(embedded(0.002)) + net.encoder.place, atol=1e-5)
    net.level.fill_(1.0)
    assert (one - model(x)).abs().max() > 1e-3
    with pytest.raises(ModelError, match="SmallCNN is no vision transformer"):
        timed(cnn(), injection="token", informed=True, seed=0)


def embedded(level):
    from unshaken.models.networks.timed_cnn import time_embedding

    return time_embedding(torch.full((2,), level), 64)[:, None]


def test_a_net_of_timm():
    timm = pytest.importorskip("timm", reason="timm is an optional package")
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=2, img_size=16, patch_size=4, depth=1, in_chans=1)
    for net, injection in ((vit, "token"), (timm.create_model("resnet18", num_classes=2, in_chans=1), "film")):
        model = Classifier(net).eval()
        timed(model, injection=injection, informed=True, seed=0)
        assert model(torch.rand(2, 1, 16, 16)).shape == (2, 2)


def test_noise_on_unit_pixels_is_twice_as_much_on_the_scale_of_the_level():
    """Certification: noise s on [0, 1], then normalising, is noise 2 s on normalised images."""
    model, noise = Classifier(Echo()), torch.randn(2, 1, 4, 4)
    net = timed(model, injection="bias", informed=True, seed=0)
    x = torch.rand(2, 1, 4, 4)
    net.level.fill_(2 * 0.25)
    wanted = net(2 * x - 1 + 2 * 0.25 * noise)
    assert torch.allclose(model(x + 0.25 * noise), wanted, atol=1e-5)


def test_the_added_weights_come_from_the_seed_alone():
    models = [Classifier(SmallCNN(4, 1, 16)) for _ in range(3)]
    before = torch.get_rng_state()
    first, same, other = (
        timed(model, injection="bias", informed=True, seed=s).encoder.time.weight
        for model, s in zip(models, (3, 3, 4), strict=True)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_gradient_reaches_the_encoder_while_the_head_learns_alone():
    model = Classifier(TimedCNN(3, 1, 16))
    net = timed(model, injection="bias", informed=True, seed=0)
    with net.head_only(True):
        model(torch.rand(2, 1, 16, 16)).sum().backward()
    assert {k for k, p in net.named_parameters() if p.grad is not None} == {"encoder.head.weight", "encoder.head.bias"}
    with net.head_only(False):
        model(torch.rand(2, 1, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_what_will_not_do():
    with pytest.raises(ModelError, match="no linear layer"):
        timed(Classifier(nn.Sequential(nn.Conv2d(1, 3, 1))), injection="bias", informed=True, seed=0)
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Unflatten(1, (2, -1))))
    timed(model, injection="bias", informed=True, seed=0)
    with pytest.raises(ModelError, match=r"gives \(2, 2, 8\) without its last linear layer: \[N, 16\] is wanted"):
        model(torch.rand(2, 1, 4, 4))
    assert isinstance(model.net, TimedNet)


def test_the_grid_of_81():
    grid = karras_grid(81)
    assert grid.shape == (81,)
    assert grid[[0, 1, 79, 80]].tolist() == pytest.approx([80, 74.6976, 0.002709, 0.002], abs=1e-4)
    assert grid[79].item() == pytest.approx(0.002709, abs=1e-6)
    assert (grid.diff() < 0).all()


@pytest.mark.parametrize(
    ("points", "level", "index", "value"),
    [
        (81, 0.5, 53, 0.49271),
        (81, 1.0, 48, 0.96542),
        (81, 2.0, 42, 2.00365),
        (41, 0.5, 26, 0.56663),
        (41, 1.0, 24, 0.96542),
        (41, 2.0, 21, 2.00365),
        (21, 0.5, 13, 0.56663),
        (21, 1.0, 12, 0.96542),
        (21, 2.0, 11, 1.58398),
    ],
)
def test_the_nearest_point(points, level, index, value):
    found = nearest_level(level, points)
    assert found[0] == index
    assert found[1] == pytest.approx(value, abs=1e-5)


def test_grids_are_nested():
    assert torch.allclose(karras_grid(41), karras_grid(81)[::2], rtol=1e-12)
    assert torch.allclose(karras_grid(21), karras_grid(81)[::4], rtol=1e-12)


def test_the_curriculum():
    steps = 600_000
    assert stage_length(steps) == 258_406
    found = [grid_points(k, steps) for k in (0, 1, 258_400, 258_406, 258_407, 300_000, 600_000)]
    assert found == [21, 41, 41, 41, 81, 81, 81]


def test_the_decay_of_the_target():
    found = [target_decay(k, 600_000) for k in (0, 1000, 60_000, 300_000, 600_000)]
    assert found == pytest.approx([0.99, 0.990083, 0.994592, 0.999769, 0.999899], abs=1e-6)
    assert target_decay(300_000, 600_000, sharpness=15) > found[3]
    assert target_decay(5, 10, low=0.99, high=0.99) == 0.99
