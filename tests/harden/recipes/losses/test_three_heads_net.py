"""Three heads by hand: entropy, the head that an image is sent to, and what each mode gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.harden.recipes.losses.three_heads_net import ThreeHeadsNet, decided, divergence, entropy, route


def test_entropy_runs_from_0_to_1():
    uniform, sharp = torch.zeros(1, 5), torch.tensor([[200.0, 0, 0, 0, 0]])
    assert float(entropy(uniform)) == pytest.approx(1, abs=1e-6)
    assert float(entropy(sharp)) == pytest.approx(0, abs=1e-6)
    assert float(entropy(torch.tensor([[0.75, 0.25]]).log())) == pytest.approx(
        -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)), abs=1e-6
    )


CLEAN, UNCLEAN, COMBINED = ([0.8, 0.2], [0.5, 0.5], [0.9, 0.1])
LOGITS = torch.tensor([[CLEAN, UNCLEAN], [UNCLEAN, CLEAN], [COMBINED, COMBINED]]).log()


def test_an_image_goes_to_the_head_that_agrees_with_the_combined_one():
    assert route(LOGITS).tolist() == [0, 1]
    by_hand = 0.9 * math.log(0.9 / 0.8) + 0.1 * math.log(0.1 / 0.2)
    assert divergence(LOGITS[2], LOGITS[0])[0].item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("clean", [CLEAN, UNCLEAN]),
        ("unclean", [UNCLEAN, CLEAN]),
        ("combined", [COMBINED, COMBINED]),
        ("route", [CLEAN, CLEAN]),
        ("uncertainty-only", [COMBINED, COMBINED]),
        ("average", [[2.2 / 3, 0.8 / 3]] * 2),
    ],
)
def test_each_mode_by_hand(mode, expected):
    assert torch.allclose(decided(LOGITS, mode).exp(), torch.tensor(expected), atol=1e-6)


def test_copies_learn_and_the_original_does_not():
    net = ThreeHeadsNet(nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), ["3"])
    assert not any(p.requires_grad for p in net.net.parameters())
    assert all(p.requires_grad for part in (net.unclean, net.combined) for p in part.parameters())
    images = torch.rand(6, 1, 2, 2)
    assert net.train()(images).shape == (6, 2, 2)  # clean images and as many changed ones; own head and combined one
    assert torch.equal(net.eval()(images), net.net(images))
