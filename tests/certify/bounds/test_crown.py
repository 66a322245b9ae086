"""Linear bounds: against numbers by hand, intervals, brute force on grids, and the dual norm of a linear net."""

import math

import pytest
import torch
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.bounds import ibp
from unshaken.certify.bounds.crown import CROWN, margins
from unshaken.certify.bounds.interval import box
from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.reading import read_chain
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.context import Context
from unshaken.core.oracle import Oracle
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of


def samples(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def drawn(net, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if "var" in name else -0.5))
    return Classifier(net).eval()


def perceptron(seed, dims=2, width=6, depth=2, classes=3):
    layers = [nn.Flatten(), nn.Linear(dims, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return drawn(nn.Sequential(*layers, nn.Linear(width, classes)), seed)


def convolutional(seed):
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 4),
    )
    model = drawn(net, seed)
    with torch.no_grad():  # every class is met, and none is far
        net[-1].bias -= model(samples(64, 2, 8, 8, seed=9)).mean(0)
    return model


def test_margins_by_hand():
    """z_0 = relu(x), z_1 = relu(-x) at x0 - .5 with |x0 - .6| <= .4.

    s = x0 - .5 in [-.3, .5]: h_0 <= .625 (s + .3), h_0 >= s; h_1 of -s in [-.5, .3]: h_1 <= .375 (-s + .5), h_1 >= 0.
    z_0 - z_1 >= s - .375 (.5 - s) = 1.375 s - .1875 >= 1.375 (-.3) - .1875 = -.6; intervals: 0 - .3 = -.3.
    """
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU())
    net[1].weight.data, net[1].bias.data = torch.tensor([[1.0], [-1.0]]), torch.tensor([-0.5, 0.5])
    x = torch.tensor([0.6]).view(1, 1, 1, 1)
    chain = read_chain(Classifier(net), x)
    linear = LinearBounds(chain, box(x, 0.4))
    rows = torch.tensor([[1.0, -1.0]]).double()
    assert linear.least(rows, torch.tensor([0]), len(chain.layers)).item() == pytest.approx(-0.6, abs=1e-5)
    assert margins(Classifier(net), x, torch.tensor([0]), 0.4)[0].tolist() == pytest.approx([math.inf, -0.3], abs=1e-5)


def test_a_unit_that_cancels_is_seen_by_linear_bounds_alone():
    """z = (relu(x + 1) - relu(x + 1), -.1): the margin is .1 exactly, for intervals -.9 at eps .5."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    net[1].weight.data, net[1].bias.data = torch.ones(2, 1), torch.ones(2)
    net[3].weight.data, net[3].bias.data = torch.tensor([[1.0, -1.0], [0.0, 0.0]]), torch.tensor([0.0, -0.1])
    x, y = torch.tensor([0.5]).view(1, 1, 1, 1), torch.tensor([0])
    assert margins(Classifier(net), x, y, 0.5)[0, 1].item() == pytest.approx(0.1, abs=1e-5)
    assert ibp.margins(Classifier(net), x, y, 0.5)[0, 1].item() == pytest.approx(-0.9, abs=1e-5)


def test_a_linear_net_is_bounded_exactly_through_several_layers():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))
    model, x, eps = drawn(net, 0), 0.3 + 0.4 * samples(5, 1, 4, 4), 0.06
    y = torch.arange(5) % 4
    got = margins(model, x, y, eps, intermediate="crown")
    weight = torch.autograd.functional.jacobian(lambda v: net.double()(v[None])[0], x[0].double()).flatten(1)
    z = net(x.double()).detach()
    for i in range(5):
        for j in set(range(4)) - {int(y[i])}:
            exact = float(z[i, y[i]] - z[i, j] - eps * (weight[y[i]] - weight[j]).abs().sum())
            assert float(got[i, j]) == pytest.approx(exact, abs=1e-4)
            assert float(got[i, j]) <= exact


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("intermediate", ["ibp", "crown"])
def test_no_point_of_a_dense_grid_contradicts_the_bounds(seed, intermediate):
    """Two pixels: 201 x 201 points are the whole box, to a spacing of eps / 100."""
    model, x, eps = perceptron(seed, depth=1 + seed % 3), 0.2 + 0.6 * samples(2, 1, 1, 2, seed=seed), 0.15
    with torch.no_grad():
        y = model(x).argmax(1)
        bound = margins(model, x, y, eps, intermediate=intermediate)
        steps = torch.linspace(-eps, eps, 201)
        offsets = torch.cartesian_prod(steps, steps).view(-1, 1, 1, 2)
        for i in range(2):
            z = model(x[i] + offsets).double()
            least = (z[:, [int(y[i])]] - z).amin(0)
            others = [j for j in range(3) if j != int(y[i])]
            assert bool((least[others] >= bound[i, others]).all())
            if seed == 0:  # and they are not far below
                assert bool((least[others] - bound[i, others] < 0.5).all())


@pytest.mark.parametrize("seed", range(6))
def test_never_looser_than_intervals_and_never_contradicted_on_convolutions(seed):
    model, x, eps = convolutional(seed), samples(4, 2, 8, 8, seed=seed), 0.01 * (1 + seed)
    with torch.no_grad():
        y = model(x).argmax(1)
    plain, cheap, full = (
        ibp.margins(model, x, y, eps),
        margins(model, x, y, eps, intermediate="ibp"),
        margins(model, x, y, eps, intermediate="crown", limit=7),
    )
    assert bool((cheap >= plain).all())
    assert bool((full >= plain).all())
    other = torch.isfinite(full)
    assert float((full - plain)[other].mean()) > 0.001
    batch = Batch(x, y, tuple("abcd"))
    (found,), _ = PGD(steps=30, loss="margin").attack(Oracle(model), batch, norm="linf", eps=[eps])
    with torch.no_grad():
        z = model(found.images).double()
    reached = z.gather(1, y[:, None]) - z
    assert bool((reached[other] >= full[other]).all())
    corners = (
        x[:, None] + eps * (torch.rand(4, 300, 2, 8, 8, generator=torch.Generator().manual_seed(1)) - 0.5).sign()
    ).clamp(0, 1)
    with torch.no_grad():
        z = model(corners.flatten(0, 1)).double().view(4, 300, -1)
    reached = (z.gather(2, y.view(4, 1, 1).expand(4, 300, 1)) - z).amin(1)
    assert bool((reached[other] >= full[other]).all())


def test_the_chunk_does_not_matter():
    model, x = convolutional(3), samples(3, 2, 8, 8)
    y = torch.tensor([0, 1, 2])

    def full(**options):
        return margins(model, x, y, 0.03, intermediate="crown", **options)

    assert torch.allclose(full(limit=1), full(limit=1000))
    alone = torch.cat([margins(model, x[i : i + 1], y[i : i + 1], 0.03, intermediate="crown") for i in range(3)])
    assert torch.allclose(alone, full())


def test_the_certifier_proves_what_intervals_do_not_and_stays_below_pgd():
    model, x = convolutional(2), samples(30, 2, 8, 8)
    clean = Oracle(model).exact(x)
    batch = Batch(x, clean.argmax(1), tuple(str(i) for i in range(30)))
    radii = {}
    for name, method in (("ibp", ibp.IBP()), ("cheap", CROWN()), ("full", CROWN(intermediate="crown"))):
        (condition,) = conditions_of(method, Line(name, eps=(0.01,)))
        rows = table_of(rows_of(method, batch, [condition], Context(Oracle(model), 0, clean))[0]).to_pylist()
        radii[name] = torch.tensor([r["radius"] for r in rows]) > 0
    assert bool((radii["ibp"] <= radii["cheap"]).all())
    assert bool((radii["cheap"] <= radii["full"]).all())
    assert int(radii["full"].sum()) > int(radii["ibp"].sum())
    (found,), _ = PGD(steps=40, restarts=2).attack(Oracle(model), batch, norm="linf", eps=[0.01])
    assert not bool((radii["full"] & found.fooled).any())
    assert bool(found.fooled.any())


@pytest.mark.parametrize(("intermediate", "least"), [("ibp", -1.1), ("crown", -0.2)])
def test_bounds_of_units_between_are_linear_ones_if_asked_for(intermediate, least):
    """u = relu(s) with s = relu(x + 1) - relu(x + 1) + .1 is .1, and the margin -2 u; intervals say of s [-.9, 1.1].

    By these the upper line of u is .55 (s + .9), which is .55.
    """
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    net[1].weight.data, net[1].bias.data = torch.ones(2, 1), torch.ones(2)
    net[3].weight.data, net[3].bias.data = torch.tensor([[1.0, -1.0]]), torch.tensor([0.1])
    net[5].weight.data, net[5].bias.data = torch.tensor([[1.0], [-1.0]]), torch.zeros(2)
    x, y = torch.tensor([0.5]).view(1, 1, 1, 1), torch.tensor([1])
    found = margins(Classifier(net), x, y, 0.5, intermediate=intermediate)[0, 0].item()
    assert found == pytest.approx(least, abs=1e-5)
