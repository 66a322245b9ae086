"""Interval bounds: against numbers by hand, the dual norm of a linear net, dense samples of boxes, and PGD."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.bounds.ibp import IBP, margins
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.context import Context
from unshaken.core.errors import ModelError
from unshaken.core.oracle import Oracle
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of


def test_margins_by_hand(by_hand):
    """At x = (.8, .5), eps .1: h_1 in [.1, .5], h_2 in [.1, .5]; folded: z_2 - z_0 = h_2, z_2 - z_1 = h_1."""
    x = torch.tensor([0.8, 0.5]).view(1, 1, 1, 2)
    got = margins(by_hand, x, torch.tensor([2]), 0.1)
    assert got.dtype == torch.float64
    assert got[0].tolist() == pytest.approx([0.1, 0.1, math.inf], abs=1e-5)
    got = margins(by_hand, x, torch.tensor([0]), 0.1)  # z_0 - z_1 = h_1 - h_2 >= .1 - .5
    assert got[0].tolist() == pytest.approx([math.inf, -0.4, -0.5], abs=1e-5)
    got = margins(by_hand, x, torch.tensor([2]), 0.25)  # h in [max(0, .3 - .5), .8]
    assert got[0].tolist() == pytest.approx([0.0, 0.0, math.inf], abs=1e-5)


def test_a_linear_net_is_bounded_exactly(make):
    """`min (w . x + b) = w . x + b - eps |w|_1` inside the cube."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(30, 5))
    net[1].weight.data = torch.randn(5, 30, generator=generator)
    x, y, eps = 0.3 + 0.4 * make.samples(6, 1, 5, 6), torch.arange(6) % 5, 0.07
    got = margins(Classifier(net), x, y, eps)
    w, b = (v.detach().double() for v in (net[1].weight, net[1].bias))
    for i in range(6):
        for j in set(range(5)) - {int(y[i])}:
            row = w[y[i]] - w[j]
            exact = float(row @ x[i].double().flatten() + b[y[i]] - b[j] - eps * row.abs().sum())
            assert float(got[i, j]) == pytest.approx(exact, abs=2e-4)
            assert float(got[i, j]) <= exact


@pytest.mark.parametrize("seed", range(4))
def test_no_image_of_the_box_contradicts_the_bounds(make, seed):
    """2,000 images a sample, corners among them, in float32."""
    model, x, eps = make.convolutional(seed, 2), make.samples(3, 2, 8, 8, seed=seed), 0.02
    y = model(x).argmax(1)
    bound, rng = margins(model, x, y, eps), np.random.default_rng(seed)
    for i in range(3):
        steps = rng.uniform(-1, 1, (2000, 2, 8, 8))
        steps[:1000] = np.sign(steps[:1000])
        near = (x[i] + eps * torch.tensor(steps, dtype=torch.float32)).clamp(0, 1)
        with torch.no_grad():
            z = model(near).double()
        found = (z[:, [int(y[i])]] - z).amin(0)
        others = [j for j in range(4) if j != int(y[i])]
        assert bool((found[others] >= bound[i, others]).all())


def test_bounds_hold_for_float32_where_they_would_not_without_its_rounding(make):
    """A sum of 4,096 numbers that nearly cancel: float32 leaves the exact value, and the bound reaches as far."""
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4096, 2))
    weight = torch.randn(4096, generator=generator) * 100
    net[1].weight.data = torch.stack([weight, torch.zeros(4096)])
    net[1].bias.data = torch.zeros(2)
    model, x = Classifier(net).eval(), make.samples(50, 1, 64, 64)
    y = torch.zeros(50, dtype=torch.int64)
    low = margins(model, x, y, 0.0)[:, 1]
    high = -margins(model, x, y + 1, 0.0)[:, 0]
    exact = x.double().flatten(1) @ weight.double()
    with torch.no_grad():
        float32 = (model(x)[:, 0] - model(x)[:, 1]).double()
    assert float((float32 - exact).abs().max()) > 1e-4  # the rounding is there
    assert bool(((low <= float32) & (float32 <= high)).all())
    assert bool(((low <= exact) & (exact <= high)).all())


def test_certified_samples_withstand_pgd(make):
    """A wide net with a small radius: some are certified, and none of these is broken."""
    model, x = make.convolutional(1), make.samples(40, 1, 8, 8)
    clean = Oracle(model).exact(x)
    batch = Batch(x, clean.argmax(1), tuple(str(i) for i in range(40)))
    method = IBP()
    (condition,) = conditions_of(method, Line("ibp", eps=(0.004,)))
    rows = table_of(rows_of(method, batch, [condition], Context(Oracle(model), 0, clean))[0]).to_pylist()
    certified = torch.tensor([r["radius"] for r in rows]) > 0
    (found,), _ = PGD(steps=20).attack(Oracle(model), batch, norm="linf", eps=[0.004])
    assert 3 < int(certified.sum()) < 40
    assert not bool((certified & found.fooled).any())
    assert bool(found.fooled.any())


def test_weights_that_are_no_numbers_certify_nothing(make):
    model = make.dense(([[1.0, 1.0], [0.0, 0.0]], [5.0, 0.0]))
    model.net[1].weight.data[0, 0] = math.inf
    with pytest.raises(ModelError, match="NaN or infinite weights"):
        margins(model, make.samples(1, 1, 1, 2), torch.tensor([0]), 0.1)
