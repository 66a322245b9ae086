"""FGSM: on affine models it is exact."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.core import Batch, Oracle

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}


def one_margin(make, norm):
    """An affine model of margin 0.5 at a grey image, and the eps at which it falls."""
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = torch.full((1, 1, 4, 4), 0.5)
    model = make.affine(w, 0.5 - float((images * w).sum()))
    return model, make.batch(model, images), 0.5 / float(torch.linalg.vector_norm(w, DUAL[norm]))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_succeeds_iff_the_margin_is_below_the_dual_norm(make, norm, factor):
    model, batch, threshold = one_margin(make, norm)
    eps = threshold * factor
    if norm != "linf" and eps > 0.5:
        pytest.fail("the box must be inactive")
    (got,), _ = FGSM().attack(Oracle(model), batch, norm=norm, eps=[eps])
    assert got.fooled.tolist() == [factor > 1]
    assert float(got.distance) == pytest.approx(eps, rel=1e-5)


def test_point_by_hand(make):
    model = make.affine(torch.tensor([[[1.0, -2.0, 0.0]]]))
    batch = Batch(torch.tensor([0.5, 0.1, 0.9]).view(1, 1, 1, 3), torch.tensor([0]), ("a",))
    moves = {"linf": (0.3, 0.3, 0.9), "l2": (0.5 - 0.2 / 5**0.5, 0.1 + 0.4 / 5**0.5, 0.9), "l1": (0.5, 0.3, 0.9)}
    for norm, expected in moves.items():
        (got,), _ = FGSM().attack(Oracle(model), batch, norm=norm, eps=[0.2])
        assert got.images.flatten().tolist() == pytest.approx(list(expected), abs=1e-6)


def test_clips_to_the_box(make):
    model = make.affine(torch.tensor([[[1.0, -1.0]]]), 2.0)
    batch = Batch(torch.tensor([0.05, 0.95]).view(1, 1, 1, 2), torch.tensor([0]), ("a",))
    (got,), _ = FGSM().attack(Oracle(model), batch, norm="linf", eps=[0.2])
    assert got.images.flatten().tolist() == [0.0, 1.0]


def test_targeted_moves_towards_the_target(make):
    net, images = make.net(classes=3), make.images(20, 1, 8, 8)
    batch = make.batch(net, images)
    targets = (batch.labels + 1) % 3
    (got,), _ = FGSM().attack(Oracle(net), batch, norm="linf", eps=[0.005], targets=targets)
    rise = net(got.images).log_softmax(1) - net(images).log_softmax(1)
    assert bool((rise.gather(1, targets[:, None])[:, 0][~got.fooled] > 0).all())
    assert torch.equal(net(got.images).argmax(1) == targets, got.fooled)


def test_costs_one_gradient_and_one_look(make):
    model, batch, threshold = one_margin(make, "linf")
    model.net.seen = 0
    oracle = Oracle(model)
    (got,), _ = FGSM().attack(oracle, batch, norm="linf", eps=[0.5 * threshold], clean=torch.tensor([[1.0, 0.0]]))
    assert (got.forwards.tolist(), got.backwards.tolist()) == ([2], [1])
    assert (model.net.seen, oracle.meter.forwards, oracle.meter.backwards) == (2, 2, 1)
