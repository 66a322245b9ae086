"""The front end: the identity where nothing is drawn, each step by hand, and a network made for it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.core import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.defences.multi_resolution import MultiResolution, rolled, widened
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.models.networks.small import SmallCNN

CALM = {"contrast": (1.0, 1.0), "colour": (1.0, 1.0), "shift": 0, "noise": 0.0}


def generator():
    return torch.Generator().manual_seed(0)


def photos(n=4, channels=3, side=32):
    return torch.rand(n, channels, side, side, generator=generator())


def test_the_identity_where_nothing_is_drawn():
    x = photos()
    assert torch.allclose(MultiResolution(resolutions=(32,), **CALM).stack(x, generator()), x, atol=1e-6)


def test_copies_are_ordered_by_resolution():
    x = photos()
    stack = MultiResolution(**CALM).stack(x, generator())
    assert stack.shape == (4, 12, 32, 32)
    assert torch.allclose(stack[:, :3], x, atol=1e-6)
    low = F.interpolate(x, (8, 8), mode="bicubic", align_corners=False)
    assert torch.allclose(
        stack[:, 6:9], F.interpolate(low, (32, 32), mode="bicubic", align_corners=False).clamp(0, 1), atol=1e-5
    )


def test_rolled_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3).repeat(2, 1, 1, 1)
    moved = rolled(x, torch.tensor([1, 0]), torch.tensor([0, -1]))
    assert torch.equal(moved[0], x[0].roll(1, 1))
    assert torch.equal(moved[1], x[1].roll(-1, 2))


def test_grey_and_contrast_by_hand():
    x = photos(1)
    grey = MultiResolution(resolutions=(32,), **{**CALM, "colour": (0.0, 0.0)}).stack(x, generator())
    assert torch.allclose(grey, x.mean(1, keepdim=True).expand_as(x), atol=1e-5)
    flat = MultiResolution(resolutions=(32,), **{**CALM, "contrast": (0.5, 0.5)}).stack(x, generator())
    assert torch.allclose(flat, x.mean() + 0.5 * (x - x.mean()), atol=1e-5)
    linked = MultiResolution(resolutions=(32,), **{**CALM, "colour": (0.5, 0.5), "linked": True}).stack(x, generator())
    half = x.mean() + 0.5 * (x - x.mean())
    assert torch.allclose(linked, 0.5 * half + 0.5 * half.mean(1, keepdim=True), atol=1e-5)


def test_both_kinds_of_noise():
    x = torch.full((1, 3, 32, 32), 0.2)
    quiet = {**CALM, "noise": 0.02}
    bright = MultiResolution(resolutions=(32,), kind="uniform01", **quiet).stack(x, generator())
    assert float(bright.mean()) == pytest.approx(0.22, abs=1e-3)  # twice half of 0.02
    even = MultiResolution(resolutions=(32,), **quiet).stack(x, generator())
    assert float(even.mean()) == pytest.approx(0.2, abs=1e-3)
    assert float(even.std()) == pytest.approx(0.02 * 2**0.5, rel=0.05)


def test_gradients_pass():
    x = photos(2).requires_grad_(True)
    MultiResolution().stack(x, generator()).sum().backward()
    assert float((x.grad != 0).double().mean()) > 0.5


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(SmallCNN(classes=3, channels=3), mean=[0.5] * 3, std=[0.2] * 3).eval()


def test_a_widened_network_answers_as_before_to_equal_copies(net):
    wide = widened(net, 4)
    x = photos()
    stacked = ((x - 0.5) / 0.2).repeat(1, 4, 1, 1)
    with torch.no_grad():
        assert torch.allclose(wide.net(stacked), net(x), atol=1e-4)
        guarded = MultiResolution(resolutions=(32, 32, 32, 32), **CALM).wrap(wide)
        assert torch.allclose(guarded(x), net(x), atol=1e-4)
    assert not guarded.random


def test_seeds_decide_and_passes_differ(net):
    guarded = MultiResolution().wrap(widened(net, 4))
    assert guarded.random
    x = photos()
    with torch.no_grad():
        first, second = guarded(x), guarded(x)
        assert not torch.allclose(first, second)
        guarded.reseed(7)
        one = guarded(x)
        guarded.reseed(7)
        assert torch.equal(guarded(x), one)
        still = MultiResolution(frozen=True).wrap(widened(net, 4))
        assert torch.equal(still(x), still(x))
        assert not still.random
        assert torch.equal(guarded.bare(x), guarded.bare(x))


def test_it_is_trained_behind_its_front_end(net):
    labels = torch.arange(48) % 3
    images = torch.zeros(48, 3, 16, 16, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label] = 200
    guarded = MultiResolution(resolutions=(16, 8), noise=0.05, colour=(0.8, 1.0)).wrap(widened(net, 2))
    training = Training(epochs=6, batch_size=16, lr=0.05, held_out=6, check_images=6, check_every=6, select="last")
    fitted = fit(guarded, images, labels, (), training).last
    with torch.no_grad():
        assert float((fitted(images.float() / 255).argmax(1) == labels).double().mean()) > 0.9


def test_bad_input(net):
    with pytest.raises(ModelError, match=r"takes 3 channels.*train widened"):
        MultiResolution().wrap(net)
    with pytest.raises(ModelError, match="takes 12 channels, and 2 copies of 3 make 6"):
        MultiResolution(resolutions=(32, 16)).wrap(widened(net, 4))
    with pytest.raises(ModelError, match="no plain first convolution"):
        widened(Classifier(torch.nn.Sequential(torch.nn.Flatten())), 2)
    with pytest.raises(ParameterError, match="low <= high"):
        MultiResolution(contrast=(1.5, 0.7))
    with pytest.raises(ParameterError, match="resolutions"):
        MultiResolution(resolutions=())
