"""Shapes, seeds, what the network is told, and settings that cannot be."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.generate.edm import EDM
from unshaken.generate.unet import Attention, Block, UNet, UNetSettings, sinusoids


def awake(settings, seed=0):
    """A network whose zeroed layers are zero no more."""
    net = UNet(settings, seed=seed)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            if not p.any():
                p.copy_(0.1 * torch.randn(p.shape, generator=draw))
    return net


@pytest.mark.parametrize(
    ("image", "options"),
    [
        ((1, 28, 28), {}),
        ((3, 32, 32), {}),
        ((3, 8, 16), {"width": 4, "levels": (1, 2, 3), "patch": 1, "blocks": 2}),
        ((1, 6, 6), {"width": 2, "levels": (1,), "attention": False}),
    ],
)
def test_images_of_many_shapes(image, options):
    net = awake(UNetSettings(image=image, **options))
    x = torch.randn(2, *image, generator=torch.Generator().manual_seed(0))
    out = net(x, torch.tensor([0.0, 50.0]))
    assert out.shape == x.shape
    assert torch.isfinite(out).all()
    assert (net.image, net.classes) == (image, 0)


def test_no_images():
    for patch in (1, 2):
        model = EDM(UNet(UNetSettings(image=(1, 8, 8), width=8, patch=patch)))
        assert model.denoise(torch.zeros(0, 1, 8, 8), 0.25).shape == (0, 1, 8, 8)


def test_the_default_is_small():
    assert sum(p.numel() for p in UNet(UNetSettings()).parameters()) == 556_964
    assert sum(p.numel() for p in UNet(UNetSettings(width=4, levels=(1,))).parameters()) < 5000


def test_a_fresh_network_says_nought():
    net = UNet(UNetSettings(image=(1, 8, 8), width=8))
    assert not net(torch.ones(1, 1, 8, 8), torch.zeros(1)).any()


def test_weights_follow_from_the_seed_alone():
    before = torch.get_rng_state()
    one, same, other = (UNet(UNetSettings(width=8), seed=s).state_dict() for s in (3, 3, 4))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["stem.weight"], other["stem.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_and_class_change_the_answer_sample_by_sample():
    net = awake(UNetSettings(image=(1, 8, 8), width=8, classes=3))
    x = torch.ones(4, 1, 8, 8)
    calm = net(x, torch.zeros(4), torch.tensor([0, 1, 1, 3]))
    assert torch.allclose(calm[1], calm[2])
    assert not torch.allclose(calm[0], calm[1], atol=1e-3)
    assert torch.allclose(net(x, torch.zeros(4))[0], calm[3], atol=1e-5)  # 3 stands for no class
    noisy = net(x, torch.tensor([0.0, 1.0, 0.0, 0.0]))
    assert torch.allclose(noisy[0], noisy[2], atol=1e-5)
    assert not torch.allclose(noisy[0], noisy[1], atol=1e-4)


def test_sinusoids_by_hand():
    found = sinusoids(torch.tensor([2.0]), 4)[0].tolist()
    assert found == pytest.approx([math.cos(2), math.cos(0.02), math.sin(2), math.sin(0.02)], abs=1e-6)


def test_a_fresh_block_of_equal_width_changes_nothing():
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Block(8, 8, 16)(x, torch.ones(2, 16)), x)


def test_attention_against_the_sum_by_hand():
    layer = Attention(4)
    with torch.no_grad():
        layer.out.weight.copy_(torch.eye(4)[:, :, None, None])
    x = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    q, k, v = layer.project(layer.norm(x)).flatten(2).chunk(3, 1)
    weights = torch.softmax(torch.einsum("nci,ncj->nij", q, k) / 2, 2)  # the root of 4 channels
    by_hand = torch.einsum("nij,ncj->nci", weights, v).reshape(x.shape)
    assert torch.allclose(layer(x) - x, by_hand, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": (1, 30, 28)}, "multiples of 4"),
        ({"image": (1, 28, 28), "levels": (1, 2, 2, 2)}, "multiples of 16"),
        ({"image": (0, 28, 28)}, "image"),
        ({"levels": ()}, "levels"),
        ({"width": 0}, "width"),
        ({"classes": -1}, "classes"),
        ({"depth": 3}, "no parameter 'depth'"),
    ],
)
def test_bad_settings(options, words):
    with pytest.raises(ParameterError, match=words):
        UNetSettings(**options)
