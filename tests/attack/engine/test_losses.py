"""Losses, by hand and against a plain loop; what they do not change under."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.attack.engine.losses import DLR, Difference, Margin, TargetedDLR, dlr, dlr_targeted, margin
from unshaken.core import Answer

Z = torch.tensor([[2.0, 1.0, 0.5, -1.0]])


def of(*classes):
    return torch.tensor(classes)


def logits(n=50, classes=6, seed=0):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("label", "expected"), [(0, -2 / 3), (1, 2 / 3), (3, 2.0)])
def test_dlr_by_hand(label, expected):
    assert float(dlr(Z, of(label))) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("target", "expected"), [(1, -1 / 2.25), (3, -3 / 2.25)])
def test_targeted_dlr_by_hand(target, expected):
    assert float(dlr_targeted(Z, of(0), of(target))) == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx({1: -0.4444, 3: -1.3333}[target], abs=1e-4)


def test_margin_of_negative_logits_is_not_masked_by_zero():
    assert margin(torch.tensor([[-1.0, -2.0, -3.0]] * 2), of(0, 2)).tolist() == [1.0, -2.0]


@pytest.mark.parametrize("classes", [3, 4, 1000])
def test_losses_are_those_of_a_plain_loop(classes):
    z = logits(20, classes)
    labels, targets = torch.arange(20) % classes, (torch.arange(20) + 1) % classes
    for i, row in enumerate(z.tolist()):
        y, t = int(labels[i]), int(targets[i])
        falling = sorted(row, reverse=True)
        lead = row[y] - max(v for k, v in enumerate(row) if k != y)
        assert float(margin(z, labels)[i]) == pytest.approx(lead)
        assert float(dlr(z, labels)[i]) == pytest.approx(-lead / (falling[0] - falling[2] + 1e-12))
        if classes > 3:
            expected = -(row[y] - row[t]) / (falling[0] - (falling[2] + falling[3]) / 2 + 1e-12)
            assert float(dlr_targeted(z, labels, targets)[i]) == pytest.approx(expected)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 5.0), (7.0, 0.0), (0.01, -30.0), (1000.0, 2.0)])
def test_dlr_does_not_change_with_scale_and_shift_and_cross_entropy_does(scale, shift):
    z, labels, targets = logits(), torch.arange(50) % 6, (torch.arange(50) + 2) % 6
    other = scale * z + shift
    assert torch.allclose(dlr(other, labels), dlr(z, labels), rtol=1e-8)
    assert torch.allclose(dlr_targeted(other, labels, targets), dlr_targeted(z, labels, targets), rtol=1e-8)
    assert torch.allclose(margin(other, labels), scale * margin(z, labels), rtol=1e-8)
    if scale != 1:
        assert not torch.allclose(F.cross_entropy(other, labels), F.cross_entropy(z, labels), rtol=0.05)


def test_a_missed_label_raises_dlr_above_zero_and_a_held_one_keeps_it_below():
    z = logits()
    labels = torch.arange(50) % 6
    right = z.argmax(1) == labels
    assert 0 < int(right.sum()) < 50
    assert torch.equal(dlr(z, labels) < 0, right)
    assert bool((dlr(z, labels)[right] >= -1).all())  # z_y - z_(2) is no more than z_(1) - z_(3)


def test_objectives_say_which_way_is_up():
    answer, y, t = Answer(logits=Z), of(0), of(2)
    found = {
        "margin": Margin(y, False),
        "margin to": Margin(t, True),
        "dlr": DLR(y),
        "dlr to": DLR(t, -1),
        "targeted dlr": TargetedDLR(y, t),
        "difference": Difference(y, t),
    }
    values = {name: float(objective(answer)) for name, objective in found.items()}
    assert values == pytest.approx(
        {
            "margin": -1.0,
            "margin to": -1.5,
            "dlr": -2 / 3,
            "dlr to": -1.0,
            "targeted dlr": -1.5 / 2.25,
            "difference": -1.5,
        }
    )


@pytest.mark.parametrize("loss", [dlr, lambda z, y: dlr_targeted(z, y, y + 1)])
def test_equal_logits_give_finite_losses_and_gradients(loss):
    z = torch.zeros(2, 5, requires_grad=True)
    value = loss(z, of(0, 1))
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert value.tolist() == [0.0, 0.0]
    assert bool(gradient.isfinite().all())
