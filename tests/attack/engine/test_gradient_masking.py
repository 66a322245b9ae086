"""The look for masked gradients: a network and the same one with its logits scaled up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.engine import gradient_masking as module
from unshaken.attack.engine.gradient_masking import gradient_sizes, probe_gradient_masking, transfer_end_points
from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import ParameterError


class Scaled(nn.Module):
    """A network with all logits multiplied by a constant."""

    def __init__(self, net, by):
        super().__init__()
        self.net, self.by = net, by

    def forward(self, x):
        return self.by * self.net(x)


@pytest.fixture
def two(make):
    model = make.net(classes=3)
    batch = make.batch(model, make.images(80, 1, 8, 8))
    return model, Classifier(Scaled(model.net, 1e5), name="scaled").eval(), batch


def test_gradient_sizes_by_hand(make):
    w = torch.tensor([[[1.0, -2.0], [0.0, 0.5]]])
    model = make.affine(w, 0.3)
    batch = make.batch(model, make.images(5, 1, 2, 2))
    with torch.no_grad():
        p = model(batch.images).softmax(1).amax(1)
    assert torch.allclose(gradient_sizes(Oracle(model), batch), (1 - p) * 2, atol=1e-6)


def test_scaled_logits_are_found_out(two):
    plain, scaled, batch = two
    honest = probe_gradient_masking(Oracle(plain), batch, eps=0.03)
    hidden = probe_gradient_masking(Oracle(scaled), batch, eps=0.03)
    assert honest.reasons == ()
    assert honest.zero.value == 0
    assert hidden.zero.value > 0.5
    assert hidden.gap.value > honest.gap.value + 0.05
    assert any("exactly zero" in r for r in hidden.reasons)
    assert any("on the margin leaves" in r for r in hidden.reasons)
    assert hidden.strongest.value == pytest.approx(honest.strongest.value, abs=0.03)


def test_transfer_from_the_undefended_network(two):
    plain, scaled, batch = two
    found = probe_gradient_masking(Oracle(scaled), batch, eps=0.03, temperature=1e5, surrogate=plain)
    assert any("fgsm at temperature 1e+05 leaves" in r for r in found.reasons)
    assert not any("transfer breaks" in r for r in found.reasons)  # PGD on the margin is as strong


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_transferred_images_go_all_the_way(two, norm):
    plain, scaled, batch = two
    oracle = Oracle(scaled)
    moved = transfer_end_points(oracle, batch, plain, eps=0.1, norm=norm, steps=10)
    way = (moved - batch.images).flatten(1)
    size = way.abs().amax(1) if norm == "linf" else way.norm(dim=1)
    assert float(size.max()) <= 0.1 * (1 + 1e-5)
    assert float((size > 0.099).float().mean()) > 0.8
    assert bool(((moved >= 0) & (moved <= 1)).all())
    assert oracle.meter.backwards == 10 * len(batch)
    early = PGD(steps=10, rel_stepsize=0.25, loss="margin").attack(Oracle(plain), batch, norm=norm, eps=[0.1])[0][0]
    assert int((plain(moved).argmax(1) != batch.labels).sum()) >= int(0.9 * early.fooled.sum()) > 0


def test_it_needs_a_radius_and_images(two):
    plain, _, batch = two
    with pytest.raises(ParameterError, match="eps=0 must be above 0"):
        probe_gradient_masking(Oracle(plain), batch, eps=0)
    with pytest.raises(ParameterError, match=r"there must be images \(0\)"):
        probe_gradient_masking(Oracle(plain), batch[slice(0, 0)], eps=0.1)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_attacks_that_are_compared_on_an_affine_model(make, monkeypatch, norm):
    """Whatever the loss, a step breaks those nearer than eps; without a bound all fall."""
    model, batch, distance = make.spread(norm, 20)
    compared = []
    monkeypatch.setattr(module, "gradient_masking", lambda *columns, **named: compared.append((columns, named)))
    eps = float(distance.quantile(0.5))
    probe_gradient_masking(Oracle(model), batch, eps=eps, norm=norm, steps=50, surrogate=model)
    ((zero, plain, soft), named), stands = compared[0], (distance > eps).tolist()
    assert zero == [False] * 20
    assert plain == stands
    assert list(soft) == ["fgsm at temperature 1", "fgsm on the margin"]  # gaps of a few tenths: no temperature
    assert all(left == stands for left in soft.values())
    assert sum(a != b for a, b in zip(named["gradients"]["pgd on the margin"], stands, strict=True)) <= 1
    assert sum(a != b for a, b in zip(named["blind"]["transfer"], stands, strict=True)) <= 1
    assert named["unbounded"] == [False] * 20
    assert named["classes"] == 2


def test_the_temperature_brings_the_median_gap_to_five(make, monkeypatch):
    model, batch, _ = make.spread("linf", 20)
    loud = Classifier(Scaled(model.net, 500.0)).eval()
    names = []
    monkeypatch.setattr(module, "gradient_masking", lambda zero, plain, soft, **named: names.append(next(iter(soft))))
    top = loud(batch.images).topk(2, dim=1).values.detach()
    probe_gradient_masking(Oracle(loud), batch, eps=0.01, steps=1)
    assert names == [f"fgsm at temperature {float((top[:, 0] - top[:, 1]).median()) / 5:.3g}"]


def test_a_transfer_takes_20_steps_of_seed_0_unless_told_otherwise(two):
    plain, scaled, batch = two
    few, oracle = batch[slice(0, 3)], Oracle(scaled)
    found = transfer_end_points(oracle, few, plain, eps=0.1)
    assert oracle.meter.backwards == 20 * 3
    assert torch.equal(found, transfer_end_points(oracle, few, plain, eps=0.1, steps=20, seed=0))
    one, other = (transfer_end_points(oracle, few, plain, eps=0.1, steps=1, seed=s) for s in (0, 1))
    assert not torch.equal(one, other)
