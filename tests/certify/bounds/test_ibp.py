"""Interval bounds: against numbers by hand, the dual norm of a linear net, dense samples of boxes, and PGD."""

import math
from itertools import accumulate

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.bounds.ibp import IBP, margins
from unshaken.certify.bounds.interval import box, rounding, step
from unshaken.certify.engine.reading import read_chain
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.run.rows import Context, table_of


def dense(*weights):
    """A net of linear layers with ReLU between them, from (W, b) pairs."""
    layers = [nn.Flatten()]
    for weight, bias in weights:
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        layers += [layer, nn.ReLU()]
    return Classifier(nn.Sequential(*layers[:-1])).eval()


def convolutional(seed, channels=1, classes=4):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 1 * 1, classes),
    )
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if "var" in name else -0.5))
    model = Classifier(net, mean=[0.3] * channels, std=[0.4] * channels).eval()
    with torch.no_grad():  # every class is met, and none is far
        net[-1].bias -= model(torch.rand(64, channels, 8, 8, generator=generator)).mean(0)
    return model


def samples(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def by_hand():
    """x in R^2, h = relu([[1, -1], [1, 1]] x + [0, -1]), z = [[1, 0], [0, 1], [1, 1]] h."""
    return dense(([[1.0, -1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]))


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


def test_bounds_by_hand_of_a_pooled_convolution():
    """A kernel [1, -2] over (.2, .5, .9), eps .1: [-1.1, -.5], [-1.6, -1.0], so the larger lies in [-1.1, -.5]."""
    net = nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False), nn.MaxPool2d((1, 2)), nn.Flatten())
    net[0].weight.data = torch.tensor([[[[1.0, -2.0]]]])
    x = torch.tensor([0.2, 0.5, 0.9]).view(1, 1, 1, 3)
    chain = read_chain(Classifier(net), x)
    bounds = list(accumulate(chain.layers, lambda bounds, layer: step(layer, bounds), initial=box(x, 0.1)))
    assert [v.flatten().tolist() for v in bounds[1]] == [
        pytest.approx([-1.1, -1.6], abs=1e-5),
        pytest.approx([-0.5, -1.0], abs=1e-5),
    ]
    assert [v.item() for v in bounds[-1]] == pytest.approx([-1.1, -0.5], abs=1e-5)


def test_the_box_is_cut_with_0_and_1():
    x = torch.tensor([0.02, 0.5, 1.0]).view(1, 1, 1, 3)
    low, high = box(x, 0.1)
    assert low.flatten().tolist() == pytest.approx([0, 0.4, 0.9], abs=1e-6)
    assert high.flatten().tolist() == pytest.approx([0.12, 0.6, 1.0], abs=1e-6)
    low, high = box(x.expand(2, -1, -1, -1), torch.tensor([0.0, 0.2]))
    assert torch.equal(low[0], high[0])
    assert float(high[1, 0, 0, 1]) == pytest.approx(0.7)


def test_a_linear_net_is_bounded_exactly():
    """`min (w . x + b) = w . x + b - eps |w|_1` inside the cube."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(30, 5))
    net[1].weight.data = torch.randn(5, 30, generator=generator)
    x, y, eps = 0.3 + 0.4 * samples(6, 1, 5, 6), torch.arange(6) % 5, 0.07
    got = margins(Classifier(net), x, y, eps)
    w, b = (v.detach().double() for v in (net[1].weight, net[1].bias))
    for i in range(6):
        for j in set(range(5)) - {int(y[i])}:
            row = w[y[i]] - w[j]
            exact = float(row @ x[i].double().flatten() + b[y[i]] - b[j] - eps * row.abs().sum())
            assert float(got[i, j]) == pytest.approx(exact, abs=2e-4)
            assert float(got[i, j]) <= exact


@pytest.mark.parametrize("seed", range(4))
def test_no_image_of_the_box_contradicts_the_bounds(seed):
    """2,000 images a sample, corners among them, in float32."""
    model, x, eps = convolutional(seed, 2), samples(3, 2, 8, 8, seed=seed), 0.02
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


def test_bounds_hold_for_float32_where_they_would_not_without_its_rounding():
    """A sum of 4,096 numbers that nearly cancel: float32 leaves the exact value, and the bound reaches as far."""
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4096, 2))
    weight = torch.randn(4096, generator=generator) * 100
    net[1].weight.data = torch.stack([weight, torch.zeros(4096)])
    net[1].bias.data = torch.zeros(2)
    model, x = Classifier(net).eval(), samples(50, 1, 64, 64)
    y = torch.zeros(50, dtype=torch.int64)
    low = margins(model, x, y, 0.0)[:, 1]
    high = -margins(model, x, y + 1, 0.0)[:, 0]
    exact = x.double().flatten(1) @ weight.double()
    with torch.no_grad():
        float32 = (model(x)[:, 0] - model(x)[:, 1]).double()
    assert float((float32 - exact).abs().max()) > 1e-4  # the rounding is there
    assert bool(((low <= float32) & (float32 <= high)).all())
    assert bool(((low <= exact) & (exact <= high)).all())


def test_rounding_bounds_what_float32_does():
    model, x = convolutional(0), samples(4, 1, 8, 8)
    chain = read_chain(model, x)
    off = rounding(
        chain, list(accumulate(chain.layers, lambda bounds, layer: step(layer, bounds), initial=box(x, 0.0)))
    )
    with torch.no_grad():
        seen = (model(x).double() - chain.forward(x)).abs()
    assert bool((seen <= off).all())
    assert float(off.max()) < 1e-3


def test_certified_samples_withstand_pgd():
    """A wide net with a small radius: some are certified, and none of these is broken."""
    model, x = convolutional(1), samples(40, 1, 8, 8)
    clean = Oracle(model).exact(x)
    batch = Batch(x, clean.argmax(1), tuple(str(i) for i in range(40)))
    method = IBP()
    (condition,) = method.conditions(label="ibp", severities=(), eps=(0.004,), norm="linf")
    rows = table_of(method.evaluate(batch, [condition], Context(Oracle(model), 0, clean))[0]).to_pylist()
    certified = torch.tensor([r["radius"] for r in rows]) > 0
    (found,), _ = PGD(steps=20).attack(Oracle(model), batch, norm="linf", eps=[0.004])
    assert 3 < int(certified.sum()) < 40
    assert not bool((certified & found.fooled).any())
    assert bool(found.fooled.any())


def test_rows(by_hand):
    x = torch.tensor([[0.8, 0.5], [0.6, 0.5]]).view(2, 1, 1, 2)
    batch, clean = Batch(x, torch.tensor([2, 0]), ("a", "b")), Oracle(by_hand).exact(x)
    (condition,) = IBP().conditions(label="ibp", severities=(), eps=(0.1,), norm="linf")
    parts = IBP().evaluate(batch, [condition], Context(Oracle(by_hand), 0, clean))
    rows = table_of(parts[0]).to_pylist()
    assert [(r["radius"], r["prediction"], r["label"], r["alpha"], r["norm"]) for r in rows] == [
        (0.1, 2, 2, 0.0, "linf"),
        (0.0, 2, 0, 0.0, "linf"),
    ]
    assert rows[0]["reason"] is None
    assert "too loose" in rows[1]["reason"]
    assert [r["correct"] for r in table_of(parts[1]).to_pylist()] == [True, False]


def test_search_finds_the_largest_radius(by_hand):
    """At (.8, .5) the margins are h_1 = .3 - 2 eps and h_2 = .3 - 2 eps: .15."""
    x = torch.tensor([0.8, 0.5]).view(1, 1, 1, 2)
    batch, clean = Batch(x, torch.tensor([2]), ("a",)), Oracle(by_hand).exact(x)
    method = IBP(search=12)
    (condition,) = method.conditions(label="ibp", severities=(), eps=(0.4,), norm="linf")
    (row,) = table_of(method.evaluate(batch, [condition], Context(Oracle(by_hand), 0, clean))[0]).to_pylist()
    assert row["radius"] == pytest.approx(0.15, abs=0.4 / 2**11)
    assert row["radius"] < 0.15


def test_conditions():
    found = IBP().conditions(label="ibp", severities=(), eps=(), norm="linf")
    assert [(c.id, c.eps, c.norm) for c in found] == [("ibp-0.007843", 2 / 255, "linf")]
    with pytest.raises(ParameterError, match="ibp: norm 'l2' is not one of linf"):
        IBP().conditions(label="ibp", severities=(), eps=(0.1,), norm="l2")
    with pytest.raises(ParameterError, match=r"ibp: has no severities: give eps"):
        IBP().conditions(label="ibp", severities=(1,), eps=(), norm="linf")
    for eps in (0.0, -0.1, 1.5, math.nan):
        with pytest.raises(ParameterError, match=r"ibp: eps .* must lie in \(0, 1\]"):
            IBP().conditions(label="ibp", severities=(), eps=(eps,), norm="linf")


def test_pgd_stands_beside_the_certificates():
    assert IBP().beside([0.1, 0.2]) == [{"method": "pgd", "norm": "linf", "eps": [0.1, 0.2]}]
    assert IBP().beside([])[0]["eps"] == [
        c.eps for c in IBP().conditions(label="i", severities=(), eps=(), norm="linf")
    ]


def test_bad_input(by_hand):
    x = samples(2, 1, 1, 2)
    with pytest.raises(DataError, match="a label each"):
        margins(by_hand, x, torch.tensor([0]), 0.1)
    with pytest.raises(DataError, match="labels run from 0 to 3, but the model has 3 classes"):
        margins(by_hand, x, torch.tensor([0, 3]), 0.1)
    with pytest.raises(ParameterError, match=r"eps -0\.1 must be at least 0"):
        margins(by_hand, x, torch.tensor([0, 1]), -0.1)
    with pytest.raises(ModelError, match="is a GELU"):
        margins(Classifier(nn.Sequential(nn.Flatten(), nn.GELU())), x, torch.tensor([0, 1]), 0.1)


def test_weights_that_are_no_numbers_certify_nothing():
    model = dense(([[1.0, 1.0], [0.0, 0.0]], [5.0, 0.0]))
    model.net[1].weight.data[0, 0] = math.inf
    with pytest.raises(ModelError, match="NaN or infinite weights"):
        margins(model, samples(1, 1, 1, 2), torch.tensor([0]), 0.1)
