"""The network that repeats noise: counts, invariance to gain and offset by padding, constants, noise, files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.self_regression import (
    FORMAT,
    SelfRegression,
    SelfRegressionSettings,
    fit_self_regression,
    load_self_regression,
    noise_images,
    total_variation,
)

TINY = SelfRegressionSettings(hidden=4, patch=12, steps=2)


def network(**settings):
    return SelfRegression(SelfRegressionSettings(**settings)).eval().requires_grad_(False)


def uniform(low=-1.0, high=1.0, side=64):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * (high - low) + low


@pytest.mark.parametrize(("hidden", "count"), [(16, 883), (18, 993), (32, 1763)])
def test_the_number_of_weights(hidden, count):
    assert sum(p.numel() for p in network(hidden=hidden).parameters()) == count


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zeros"])
def test_gain_and_offset_change_nothing_but_at_a_border_of_zeros(padding):
    net, x = network(padding=padding), uniform()
    assert (net.regress(x) - net.regress(3 * x)).abs().max() < 3e-4  # up to the norm's eps
    off = (net.regress(x) - net.regress(0.1 * x - 0.7)).abs().max()
    assert (off > 0.1) if padding == "zeros" else (off < 0.02)


def test_every_constant_image_turns_into_the_same_grey():
    net = network()
    wanted = torch.tanh(net.net[3].bias).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    for value in (-0.9, 0.0, 0.8):
        assert torch.allclose(net.regress(torch.full((1, 3, 16, 16), value)), wanted, atol=1e-5)
    zeros = network(padding="zeros")
    apart = zeros.regress(torch.full((1, 3, 16, 16), -0.9)) - zeros.regress(torch.full((1, 3, 16, 16), 0.8))
    assert apart[..., 4:-4, 4:-4].abs().max() > 0.01


def test_gains_of_single_channels_do_change_the_image():
    net, x = network(), uniform()
    assert (net.regress(x) - net.regress(x * torch.tensor([1, 0.5, 0.2]).view(1, 3, 1, 1))).abs().mean() > 0.01


def test_members_of_a_batch_do_not_interact():
    net, x = network(), torch.cat([uniform(), 0.1 * uniform()])
    assert torch.allclose(net(x)[1:], net(x[1:]), atol=1e-6)


def test_total_variation_of_a_constant_and_of_a_checkerboard():
    assert total_variation(torch.full((1, 3, 5, 7), 0.3)) == 0
    board = ((torch.arange(5)[:, None] + torch.arange(7)) % 2 * 2 - 1).float().expand(1, 3, 5, 7)
    assert total_variation(board).item() == pytest.approx(4 * (2 * 35 - 12) / 35)


def test_means_of_the_noise():
    keys = SampleRng.of(0, "test", [str(i) for i in range(200)])
    plain = noise_images(keys, SelfRegressionSettings(sigma=0.1, patch=20))
    assert plain.mean((2, 3)).std().item() == pytest.approx(0.1 / 20, rel=0.15)
    clipped = noise_images(keys, SelfRegressionSettings(sigma=3.0, patch=20))
    assert (clipped.abs() == 1).float().mean().item() == pytest.approx(0.739, abs=0.005)
    moved = noise_images(keys, SelfRegressionSettings(sigma=0.1, mu=0.5, patch=20))
    assert moved.mean().item() == pytest.approx(0.5, abs=0.005)


def test_training_is_seeded_and_lowers_the_loss():
    settings = SelfRegressionSettings(hidden=4, patch=16, steps=40, lr=1e-2)
    one, other = fit_self_regression(settings), fit_self_regression(settings)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    n = noise_images(SampleRng.of(1, "test", ["0"]), settings)

    def loss(net):
        return ((net.regress(n) - n).abs().mean() + total_variation(net.regress(n))).item()

    assert loss(one) < loss(SelfRegression(settings)) - 0.02
    assert not one.training


@pytest.mark.parametrize("norm", ["instance", "batch", "layer", "none"])
def test_there_and_back(norm, tmp_path):
    net = fit_self_regression(TINY.model_copy(update={"norm": norm}))
    net.save(tmp_path / "new" / "net.safetensors")
    found = load_self_regression(tmp_path / "new" / "net.safetensors")
    images = torch.rand(2, 1, 9, 12)
    assert found.settings == net.settings
    assert torch.equal(found(images), net(images))
    assert found(images).shape == images.shape


def test_files_that_hold_something_else_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ModelError, match="no weights file"):
        load_self_regression(path)
    weights = SelfRegression(TINY).net.state_dict()
    for metadata, tensors, message in (
        ({}, weights, "holds no network of noise self-regression"),
        ({"format": FORMAT, "settings": '{"hidden": 0}'}, weights, "is a damaged network of noise self-regression"),
        ({"format": FORMAT, "settings": '{"hidden": 8}'}, weights, "0.weight"),
        ({"format": FORMAT, "settings": TINY.model_dump_json()},
         {**weights, "0.bias": torch.full((4,), torch.nan)}, "weights that are no numbers"),
    ):  # fmt: skip
        save_file(tensors, path, metadata)
        with pytest.raises(ModelError, match=message):
            load_self_regression(path)


def test_images_that_cannot_be_enhanced_are_refused():
    for shape in ((1, 4, 16, 16), (1, 3, 16, 7)):
        with pytest.raises(ModelError, match="it takes 1 or 3 channels and at least 8 x 8 pixels"):
            network()(torch.zeros(shape))
    with pytest.raises(ParameterError, match="norm"):
        SelfRegressionSettings(norm="group")
