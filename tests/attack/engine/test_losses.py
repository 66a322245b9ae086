"""Losses, by hand and against a plain loop; what they do not change under."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.losses import (
    DLR,
    CrossEntropy,
    Difference,
    Margin,
    SoftCrossEntropy,
    TargetedDLR,
    dlr,
    dlr_targeted,
    margin,
)
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core import Answer, Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError

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


ATTACKS = {"fgsm": FGSM, "pgd": PGD}


def slope(gap, temperature=None):
    """The float32 gradient by logits (gap, 0, 0) of the cross-entropy against class 0."""
    z = torch.tensor([[float(gap), 0.0, 0.0]], requires_grad=True)
    y = torch.tensor([0])
    loss = CrossEntropy(y) if temperature is None else CrossEntropy(y, temperature=temperature)
    (got,) = torch.autograd.grad(loss(Answer(logits=z)).sum(), z)
    return got[0].tolist()


def test_the_cross_entropy_saturates():
    assert slope(10) == pytest.approx([-9.084e-5, 4.540e-5, 4.540e-5], rel=2e-3)
    assert slope(16)[0] == pytest.approx(-2.251e-7, abs=2**-23)  # a difference from 1: one digit or none is left
    for gap in (18, 30, 87):
        true, *others = slope(gap)
        assert true == pytest.approx(0, abs=2**-23)
        assert others == pytest.approx([math.exp(-gap)] * 2, rel=1e-4, abs=0)
    assert slope(104) == slope(400) == [0, 0, 0]


def test_half_precision_vanishes_from_a_gap_of_18():
    p = torch.tensor([[17.0, 0, 0], [18.0, 0, 0]]).softmax(1).half()
    assert (p[0, 1] > 0, p[1, 1] == 0) == (True, True)


def test_a_temperature_brings_it_back():
    assert slope(400, 10) == pytest.approx([0, 4.248e-19, 4.248e-19], rel=1e-3, abs=0)
    assert slope(400, 40) == pytest.approx([-2.271e-6, 1.135e-6, 1.135e-6], rel=1e-2)
    assert slope(400, 100) == pytest.approx([-3.534e-4, 1.767e-4, 1.767e-4], rel=1e-3)


class Scaled(nn.Module):
    """A network with all logits multiplied by a constant."""

    def __init__(self, net, by):
        super().__init__()
        self.net, self.by = net, by

    def forward(self, x):
        return self.by * self.net(x)


def pair(make, classes=3, by=1e5):
    model = make.net(classes=classes)
    batch = make.batch(model, make.images(80, 1, 8, 8))
    return model, Classifier(Scaled(model.net, by), name="scaled").eval(), batch


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(("loss", "same"), [("ce", False), ("margin", True), ("dlr", True)])
def test_logits_scaled_up_hide_from_the_cross_entropy_alone(make, name, loss, same):
    plain, scaled, batch = pair(make)
    attack = ATTACKS[name](loss=loss, **({"random_start": False, "steps": 10} if name == "pgd" else {}))
    first, second = (attack.attack(Oracle(m), batch, norm="linf", eps=[0.05])[0][0] for m in (plain, scaled))
    fooled = int(first.fooled.sum()), int(second.fooled.sum())
    assert fooled[0] > 5
    if same:
        assert torch.equal(first.fooled, second.fooled)
    else:
        assert fooled[1] < fooled[0] / 2


@pytest.mark.parametrize("name", ATTACKS)
def test_a_temperature_of_the_scale_undoes_it(make, name):
    plain, scaled, batch = pair(make)
    options = {"random_start": False, "steps": 10} if name == "pgd" else {}
    (first,), _ = ATTACKS[name](**options).attack(Oracle(plain), batch, norm="linf", eps=[0.05])
    (second,), _ = ATTACKS[name](temperature=1e5, **options).attack(Oracle(scaled), batch, norm="linf", eps=[0.05])
    assert torch.equal(first.fooled, second.fooled)
    assert torch.allclose(first.images, second.images, atol=1e-6)


@pytest.mark.parametrize("by", [0.1, 4.0])
def test_smallest_norms_do_not_depend_on_the_scale(make, by):
    plain, scaled, batch = pair(make, by=by)
    for attack in (DeepFool(), CarliniWagner(steps=90, search_steps=6, initial_c=0.1, lr=0.03)):
        first, second = (
            attack.attack(Oracle(m), batch[slice(0, 4)], norm="l2", eps=[float("inf")])[0][0] for m in (plain, scaled)
        )
        assert bool(first.fooled.all() and second.fooled.all())
        assert torch.allclose(first.distance, second.distance, rtol=0.08)


def test_with_two_classes_a_temperature_changes_no_sign(make):
    net = make.net(classes=2)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    points = [FGSM(temperature=t).attack(Oracle(net), batch, norm="linf", eps=[0.01])[0][0].images for t in (1, 3, 0.5)]
    for other in points[1:]:  # but where the two classes' gradients cancel to rounding
        assert float((points[0] - other).abs().gt(1e-6).float().mean()) < 0.01


def test_with_more_classes_it_weighs_them_otherwise():
    z = torch.tensor([[9.0, 6.0, 5.0, 1.0]], requires_grad=True)
    shares = []
    for temperature in (1, 10):
        (g,) = torch.autograd.grad(CrossEntropy(torch.tensor([0]), temperature=temperature)(Answer(logits=z)).sum(), z)
        shares.append(float(g[0, 1] / g[0, 2]))
    assert shares == pytest.approx([2.71828, 1.10517], rel=1e-4)


def test_fgsm_lowers_an_affine_margin_by_the_l1_norm(make):
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = torch.full((1, 1, 4, 4), 0.5)
    model = make.affine(w, 0.5 - float((images * w).sum()))
    for loss in ("ce", "margin"):
        (got,), _ = FGSM(loss=loss).attack(Oracle(model), make.batch(model, images), norm="linf", eps=[0.01])
        z = got.logits[0]
        assert float(z[0] - z[1]) == pytest.approx(0.5 - 0.01 * float(w.abs().sum()), abs=1e-5)


def test_carlini_wagner_reaches_the_affine_boundary(make):
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = torch.full((1, 1, 4, 4), 0.5)
    model = make.affine(w, 0.5 - float((images * w).sum()))
    attack = CarliniWagner(steps=120, search_steps=6, lr=0.03)
    (got,), _ = attack.attack(Oracle(model), make.batch(model, images), norm="l2", eps=[float("inf")])
    assert float(got.distance) == pytest.approx(0.5 / float(w.norm()), rel=0.02)


def test_steps_are_whole_where_the_gradient_is_and_none_where_it_is_not(make):
    model = make.affine(torch.tensor([[[1.0, -2.0, 0.0, 3.0]]]), 1.0)
    batch = Batch(torch.tensor([0.5, 0.3, 0.9, 0.02]).view(1, 1, 1, 4), torch.tensor([0]), ("a",))
    for options in ({}, {"temperature": 5}, {"loss": "margin"}):
        (got,), _ = FGSM(**options).attack(Oracle(model), batch, norm="linf", eps=[0.1])
        assert got.images.flatten().tolist() == pytest.approx([0.4, 0.4, 0.9, 0.0], abs=1e-6)


@pytest.mark.parametrize("options", [{"temperature": 4}, {"loss": "margin"}, {"loss": "dlr"}])
def test_targeted_moves_towards_the_target(make, options):
    net = make.net(classes=8, channels=3)
    batch = make.batch(net, make.images(16, 3, 8, 8))
    targets = net(batch.images).topk(2, 1).indices[:, 1]
    (got,), _ = PGD(steps=20, rel_stepsize=0.2, **options).attack(
        Oracle(net), batch, norm="linf", eps=[0.5], targets=targets
    )
    assert torch.equal(net(got.images).argmax(1) == targets, got.fooled)
    assert int(got.fooled.sum()) > 0


@pytest.mark.parametrize("cls", [FGSM, PGD])
@pytest.mark.parametrize(
    ("options", "classes", "words"),
    [
        ({"loss": "dlr"}, 2, "loss=dlr needs 3 classes, the model has 2: use loss=margin"),
        ({"loss": "margin", "temperature": 4}, 3, "temperature=4 is for loss=ce"),
    ],
)
def test_losses_that_do_not_fit(make, cls, options, classes, words):
    net = make.net(classes=classes)
    batch = make.batch(net, make.images(4, 1, 8, 8))
    with pytest.raises(ParameterError, match=words):
        cls(**options).attack(Oracle(net), batch, norm="linf", eps=[0.1])


@pytest.mark.parametrize("cls", [FGSM, PGD])
@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": -1}, {"loss": "cw"}])
def test_values_that_are_not_allowed(cls, options):
    with pytest.raises(ParameterError):
        cls(**options)


def test_an_objective_of_ones_own_and_a_loss(make):
    images, labels = make.images(2, 1, 4, 4), torch.tensor([0, 1])
    ball = Ball.of(images, torch.full((2,), 0.1), "linf")
    own = SoftCrossEntropy(torch.full((2, 3), 1 / 3))
    problem = Problem(ball, labels, False, torch.zeros(2, 3), objective=own)
    rng = SampleRng.of(0, "fgsm", ["a", "b"])
    assert FGSM().ask(FGSM().start(problem, rng)).of is own
    with pytest.raises(ParameterError, match="maximises SoftCrossEntropy already"):
        FGSM(loss="margin").ask(FGSM().start(problem, rng))


def test_which_objective_is_raised(make):
    images, labels = make.images(2, 1, 4, 4), torch.tensor([0, 1])
    problem = Problem(Ball.of(images, torch.full((2,), 0.1), "linf"), labels, False, torch.zeros(2, 3))
    rng = SampleRng.of(0, "pgd", ["a", "b"])
    assert PGD(temperature=2).ask(PGD().start(problem, rng)).of.temperature == 2
    for loss, kind in {"ce": CrossEntropy, "margin": Margin, "dlr": DLR}.items():
        assert type(PGD(loss=loss).ask(PGD().start(problem, rng)).of) is kind
