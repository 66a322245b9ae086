"""Verification: toy nets whose regions are known by hand, brute force on tiny nets, and what must not be claimed."""

import itertools
import sys
from fractions import Fraction
from itertools import accumulate

import pytest
import torch
from torch import nn

from unshaken.attack.engine.ball import Ball
from unshaken.certify.bounds.interval import rounding, step
from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.reading import read_chain
from unshaken.certify.smt._encoding import Encoding, Search, SolverStopped, solver_module
from unshaken.certify.smt._exact import covering, hidden_grid, lipschitz_bound, map_back
from unshaken.certify.smt._region import corners, first_confirmed, lattice, margins_of, points, propagate_points, size
from unshaken.certify.smt.smt import SMT, Bisection, Finding, PixelPGD, Region, most_extreme
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.context import Context
from unshaken.core.errors import MissingExtra, ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of

SIDES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
MODES = ("exact", "grid", "corners", "covering", "layer")


def layered(*pairs):
    """Linear layers with ReLU between them, from (W, b) pairs."""
    layers = [nn.Flatten()]
    for weight, bias in pairs:
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        layers += [layer, nn.ReLU()]
    return Classifier(nn.Sequential(*layers[:-1])).eval()


@pytest.fixture
def ramp():
    """z_0 = relu(x), z_1 = .5: class 0 above .5, a tie there, class 1 below."""
    return layered(([[1.0]], [0.0]), ([[1.0], [0.0]], [0.0, 0.5]))


@pytest.fixture
def needle():
    """z_1 - z_0 = relu(x - .45) - 2 relu(x - .5) + relu(x - .55) - .04: above 0 in (.49, .51) only, .01 at most."""
    return layered(([[1.0], [1.0], [1.0]], [-0.45, -0.5, -0.55]), ([[0.0, 0.0, 0.0], [1.0, -2.0, 1.0]], [0.0, -0.04]))


def pixel(value):
    return torch.tensor([value]).view(1, 1, 1)


def perceptron(seed, dims, width=8, classes=3, depth=1):
    generator = torch.Generator().manual_seed(seed)
    sizes = [dims, *[width] * depth, classes]
    pairs = [
        (
            (torch.randn(b, a, generator=generator) * (1.5 / a**0.5)).tolist(),
            (torch.randn(b, generator=generator) * 0.2).tolist(),
        )
        for a, b in itertools.pairwise(sizes)
    ]
    return layered(*pairs)


def pooled(seed):
    """A convolution, a ReLU, a max pooling with overlapping windows and a linear layer, on 1 x 5 x 5."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(8, 3)
    )
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 2 + (0.5 if "var" in name else -1))
    model = Classifier(net, mean=[0.4], std=[0.5]).eval()
    with torch.no_grad():  # every class is met, and none is far
        net[-1].bias -= model(torch.rand(64, 1, 5, 5, generator=generator)).mean(0)
    return model


def image(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def answer(model, x):
    with torch.no_grad():
        return int(model(x[None]).argmax())


def margin(model, x, label):
    """`min_j z_y - z_j` in float32 by the model itself."""
    with torch.no_grad():
        z = model(x[None])[0]
    return float(z[label] - torch.cat([z[:label], z[label + 1 :]]).max())


def least_margin(model, region, steps):
    """By brute force over steps^D points, and the scale of the logits there."""
    axes = [torch.linspace(float(a), float(b), steps) for a, b in zip(region.lower, region.upper, strict=True)]
    values = torch.cartesian_prod(*axes).view(-1, len(axes))
    with torch.no_grad():
        z = model(region.filled(values))
    others = torch.cat([z[:, : region.label], z[:, region.label + 1 :]], 1)
    return float((z[:, region.label] - others.amax(1)).min())


def valid(model, region, found):
    """A counterexample lies in the region and loses, or ties up to float32's rounding."""
    x = found.counterexample
    values = x.flatten()[region.free]
    rest = torch.ones(x.numel(), dtype=torch.bool)
    rest[region.free] = False
    assert bool(((values >= region.lower) & (values <= region.upper)).all())
    assert torch.equal(x.flatten()[rest], region.image.flatten()[rest])
    assert margin(model, x, region.label) == pytest.approx(found.margin, abs=1e-5)
    assert found.margin <= 1e-5 * max(1.0, float(model(x[None]).abs().max().detach()))


# The toy with a ramp.


def test_exact_on_the_ramp(ramp):
    method = SMT(places=(0,))
    safe = method.verify(ramp, method.region(pixel(0.9), 0, 0.3))  # [.6, 1]
    assert safe.verdict == "safe_general"
    unsafe = method.verify(ramp, method.region(pixel(0.9), 0, 0.6))  # [.3, 1]
    assert unsafe.verdict == "adversarial"
    assert 0.3 - 1e-6 <= unsafe.counterexample.item() <= 0.5 + 1e-6
    valid(ramp, method.region(pixel(0.9), 0, 0.6), unsafe)


def test_grid_on_the_ramp(ramp):
    region = SMT(places=(0,)).region(pixel(0.9), 0, 0.4)
    (axis,) = lattice(region, 2)
    assert axis.tolist() == pytest.approx([0.5, 0.7, 0.9, 1.0])  # 1.1 is cut to 1
    tie = SMT(mode="grid", places=(0,), steps=2).verify(ramp, region)
    assert tie.verdict == "adversarial"  # a tie is unsafe, though argmax says class 0
    assert tie.counterexample.item() == pytest.approx(0.5)
    assert answer(ramp, pixel(0.5)) == 0
    found = SMT(mode="grid", places=(0,), steps=1).verify(ramp, SMT().region(pixel(0.9), 0, 0.5))
    assert found.counterexample.item() == pytest.approx(0.4)
    assert answer(ramp, found.counterexample) == 1
    safe = SMT(mode="grid", places=(0,), steps=2).verify(ramp, SMT().region(pixel(0.9), 0, 0.3))
    assert safe.verdict == "safe_on_grid"
    assert safe.margin == pytest.approx(0.1, abs=1e-6)


# The toy that a grid misses.


def test_a_needle_between_grid_points(needle):
    x = pixel(0.0)
    region = SMT().region(x, 0, 1.0)
    grid = SMT(mode="grid", steps=5).verify(needle, region)
    assert (grid.verdict, grid.points) == ("safe_on_grid", 6)
    assert grid.margin == pytest.approx(0.04, abs=1e-6)
    exact = SMT().verify(needle, region)
    assert exact.verdict == "adversarial"
    assert 0.49 - 1e-4 <= exact.counterexample.item() <= 0.51 + 1e-4
    valid(needle, region, exact)
    beside = Region(x, 0, torch.tensor([0]), torch.tensor([0.52]), torch.tensor([1.0]))
    assert SMT().verify(needle, beside).verdict == "safe_general"


def test_covering_refuses_the_needle_at_a_coarse_grid_and_meets_it_at_a_fine_one(needle):
    region = SMT().region(pixel(0.0), 0, 1.0)
    chain, oracle = read_chain(needle, region.image[None]), Oracle(needle)
    coarse = covering(chain, oracle, region, lattice(region, 5), 1000, lipschitz=1.0)
    assert coarse.verdict == "unknown"
    assert coarse.data["spacing"] == pytest.approx(0.2, abs=1e-6)
    assert "margin 0.04, L t / 2 + rounding = 0.1" in coarse.detail
    fine = covering(chain, oracle, region, lattice(region, 20), 1000, lipschitz=1.0)
    assert fine.verdict == "adversarial"
    assert fine.counterexample.item() == pytest.approx(0.5)
    assert SMT(mode="covering", steps=5).verify(needle, region).verdict == "unknown"


def test_covering_proves_where_the_grid_is_fine_enough(needle):
    """Up to .47 the margin is at least .02 and L = 1: t / 2 must be below .02."""
    region = Region(pixel(0.0), 0, torch.tensor([0]), torch.tensor([0.3]), torch.tensor([0.47]))
    chain = read_chain(needle, region.image[None])
    assert lipschitz_bound(chain, region) == pytest.approx(1.0)
    proved = SMT(mode="covering", steps=20).verify(needle, region)  # spacing .0235
    assert proved.verdict == "safe_general"
    assert SMT(mode="covering", steps=8).verify(needle, region).verdict == "unknown"


# Grids.


@pytest.mark.parametrize(
    ("dims", "mode", "steps", "count"),
    [(5, "corners", 1, 32), (5, "grid", 1, 243), (5, "grid", 2, 3125), (10, "corners", 1, 1024)],
)
def test_sizes(dims, mode, steps, count):
    x = torch.full((1, 2, 5), 0.5)
    region = Region.around(x, 0, torch.arange(dims), 0.2)
    axes = corners(region) if mode == "corners" else lattice(region, steps)
    assert size(axes) == count
    model = layered((torch.zeros(2, 10).tolist(), [1.0, 0.0]))
    found = SMT(mode=mode, steps=steps, places=tuple(range(dims))).verify(model, region)
    assert (found.verdict, found.points) == ("safe_on_grid", count)
    assert len({tuple(p) for p in points(axes, torch.arange(count)).tolist()}) == count


def test_a_grid_that_is_too_large_is_unknown():
    model, x = perceptron(0, 10), torch.full((1, 2, 5), 0.5)
    method = SMT(mode="grid", steps=2, max_points=1000)
    found = method.verify(model, method.region(x, answer(model, x), 0.1))
    assert (found.verdict, found.points) == ("unknown", 0)
    assert "9765625 points are more than max_points=1000" in found.detail


@pytest.mark.parametrize("net", ["perceptron", "pooled"])
def test_points_are_propagated_from_their_offsets(net):
    model, x = (perceptron(1, 25, depth=2) if net == "perceptron" else pooled(1)), image(0, 1, 5, 5)
    region = Region.around(x, 0, torch.tensor([3, 12, 13]), 0.4)
    chain, axes = read_chain(model, x[None]), lattice(region, 1)
    values, logits = (torch.cat(v) for v in zip(*propagate_points(chain, region, axes), strict=True))
    with torch.no_grad():
        expected = model(region.filled(values)).double()
    assert torch.allclose(logits, expected, atol=1e-5)
    assert len(values) == 27


def test_most_extreme_pixels():
    x = torch.tensor([0.5, 0.875, 0.125, 0.625, 0.5, 0.375]).view(1, 2, 3)  # mean .5
    assert most_extreme(x, 4).tolist() == [1, 2, 3, 5]
    assert most_extreme(x, 99).numel() == 6


# Agreement with brute force.


@pytest.mark.parametrize("seed", range(12))
def test_exact_agrees_with_brute_force_on_two_pixels(seed):
    model = pooled(seed) if seed % 3 == 0 else perceptron(seed, 25, depth=1 + seed % 2)
    x = image(seed, 1, 5, 5)
    label, method = answer(model, x), SMT(places=(12, 7))
    verdicts = []
    for eps in SIDES:
        region = method.region(x, label, eps)
        found, least = method.verify(model, region), least_margin(model, region, 201)
        verdicts.append(found.verdict)
        if found.verdict == "safe_general":
            assert least > 0
        else:
            assert found.verdict == "adversarial"
            valid(model, region, found)
        if least <= 0:
            assert found.verdict == "adversarial"
    assert verdicts == sorted(verdicts, reverse=True)  # a larger box turns safe to adversarial only


def test_brute_force_meets_both_verdicts():
    """Else the test above would show nothing."""
    seen = set()
    for seed in range(12):
        model = pooled(seed) if seed % 3 == 0 else perceptron(seed, 25, depth=1 + seed % 2)
        x, method = image(seed, 1, 5, 5), SMT(places=(12, 7))
        for eps in SIDES:
            found = method.verify(model, method.region(x, answer(model, x), eps))
            seen.add((found.verdict, found.calls > 0, seed % 3 == 0))
    assert {(v, True, p) for v in ("adversarial",) for p in (True, False)} <= seen
    assert {("safe_general", False, False), ("safe_general", True, False)} <= seen


@pytest.mark.parametrize("seed", range(5))
def test_more_pixels_and_larger_boxes_only_turn_safe_to_unsafe_and_exact_implies_grid(seed):
    model, x = perceptron(seed + 20, 16, width=10), image(seed, 1, 4, 4)
    label, order = answer(model, x), ("safe_general", "adversarial")
    table = {}
    for pixels, eps in itertools.product((1, 3, 6), (0.1, 0.4, 1.0)):
        method = SMT(pixels=pixels)
        region = method.region(x, label, eps)
        found = table[pixels, eps] = method.verify(model, region)
        grid = SMT(mode="grid", pixels=pixels).verify(model, region)
        if found.verdict == "safe_general":
            assert grid.verdict == "safe_on_grid"
        if grid.verdict == "adversarial":
            valid(model, region, grid)
            assert found.verdict == "adversarial"
    for (p, e), (q, f) in itertools.product(table, table):
        if p <= q and e <= f:
            assert order.index(table[p, e].verdict) <= order.index(table[q, f].verdict)


@pytest.mark.parametrize("seed", range(4))
def test_the_lipschitz_bound_holds_between_random_points(seed):
    model, x = pooled(seed), image(seed, 1, 5, 5)
    region = Region.around(x, 0, torch.tensor([6, 7, 12, 18]), 0.5)
    bound = lipschitz_bound(read_chain(model, x[None]), region)
    generator = torch.Generator().manual_seed(seed)
    a, b = (region.lower + (region.upper - region.lower) * torch.rand(2000, 4, generator=generator) for _ in range(2))
    with torch.no_grad():
        za, zb = (model(region.filled(v)).double() for v in (a, b))
    change = ((za[:, :1] - za) - (zb[:, :1] - zb)).abs().amax(1)
    assert float((change / (a - b).abs().amax(1)).max()) <= bound


# What must not be claimed.


def test_corners_and_layers_never_verify(needle):
    region = SMT().region(pixel(0.2), 0, 0.1)  # [.1, .3]: safe, by hand
    assert SMT().verify(needle, region).verdict == "safe_general"
    assert SMT(mode="corners").verify(needle, region).verdict == "safe_on_grid"
    layer = SMT(mode="layer").verify(needle, region)
    assert layer.verdict == "unknown"
    assert "a search, and no proof" in layer.detail
    whole = SMT().region(pixel(0.0), 0, 1.0)  # the corners of an unsafe region are safe
    assert SMT(mode="corners").verify(needle, whole).verdict == "safe_on_grid"


def test_a_margin_below_float32s_rounding_is_not_proved():
    """Exactly, class 0 wins by 1e-9 everywhere; what float32 computes may well be a tie."""
    model = layered(([[1.0], [1.0]], [3.0, 3.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, -1e-9]))
    method = SMT()
    found = method.verify(model, method.region(pixel(0.5), 0, 0.2))
    assert found.verdict == "adversarial"  # float32 ties
    assert found.margin == 0


def test_pixels_may_stay_as_they_are():
    """Only one of two free pixels matters: a counterexample need not change the other."""
    model = layered(([[1.0, 0.0]], [0.0]), ([[1.0], [0.0]], [0.0, 0.5]))
    x = torch.tensor([0.9, 1.0]).view(1, 1, 2)
    region = Region(x, 0, torch.tensor([0, 1]), torch.tensor([0.3, 1.0]), torch.tensor([1.0, 1.0]))
    found = SMT().verify(model, region)
    assert found.verdict == "adversarial"
    assert found.distances(region)["changed"] == 0.5
    assert found.distances(region)["l1"] == pytest.approx(found.distances(region)["l2"])
    assert found.distances(region)["l1"] >= 0.4 - 1e-6


def test_numbers_enter_the_solver_as_they_are():
    """0.1 in float32 is 13421773 / 2^27; no digit is cut."""
    z3 = solver_module()
    model = layered(([[0.1]], [0.0]), ([[1.0], [0.0]], [0.0, 0.01]))
    region = Region.around(pixel(0.7), 0, torch.tensor([0]), 0.25)
    chain = read_chain(model, region.image[None])
    encoding = Encoding(chain, region, LinearBounds(chain, region.box).bounds, z3, z3.Context())
    encoding.run(2)
    term = encoding.value(encoding.base[0], encoding.columns[:, 0])
    numbers = {Fraction(n.as_fraction()) for n in _numerals(z3, term)}
    assert Fraction(13421773, 2**27) in numbers
    assert Fraction(float(torch.tensor(0.1))) == Fraction(13421773, 2**27) != Fraction("0.1")


def _numerals(z3, term):
    return [term] if z3.is_rational_value(term) else [n for c in term.children() for n in _numerals(z3, c)]


@pytest.mark.parametrize("seed", range(3))
def test_the_encoding_is_the_network_up_to_the_slack(seed):
    """With rational arithmetic throughout: at a point, every phase known, the encoded logits are the exact ones."""
    model, x = perceptron(seed, 9, depth=2), image(seed, 1, 3, 3)
    region = Region.around(x, 0, torch.tensor([0, 4, 8]), 0.3)
    chain = read_chain(model, x[None])
    z3 = solver_module()
    linear = LinearBounds(chain, region.box)
    encoding = Encoding(chain, region, linear.bounds, z3, z3.Context())
    encoding.run(len(chain.layers))
    values = [Fraction(float(v)) for v in region.lower + 0.25 * (region.upper - region.lower)]
    search = Search(encoding, 60)
    search.begin()
    search.solver.add(
        *(
            v == encoding.number(t - Fraction(float(low)))
            for v, t, low in zip(encoding.free, values, region.lower, strict=True)
        )
    )
    assert search.within([]).tolist() == pytest.approx([float(v) for v in values], abs=1e-6)
    for choice in encoding.choices:  # in the order of the layers, so that the terms of each are known
        search.solver.add(choice.unit == (choice.terms[0] if _sign(search, choice) else choice.terms[1]))
    assert str(search.solver.check()) == "sat"
    solved = [
        encoding.read(search.solver.model(), encoding.value(encoding.base[k], encoding.columns[:, k])) for k in range(3)
    ]
    flat = [Fraction(float(v)) for v in x.flatten()]
    for place, value in zip(region.free.tolist(), values, strict=True):
        flat[place] = value
    exact = flat
    layers = [m for m in model.net if isinstance(m, nn.Linear)]
    for k, layer in enumerate(layers):
        exact = [
            sum((Fraction(float(w)) * v for w, v in zip(row, exact, strict=True)), Fraction(float(b)))
            for row, b in zip(layer.weight.detach(), layer.bias.detach(), strict=True)
        ]
        exact = [max(v, Fraction(0)) for v in exact] if k < len(layers) - 1 else exact
    slack = rounding(chain, linear.bounds)[0]
    for k in range(3):
        assert abs(float(solved[k] - exact[k])) <= 1e-3 * float(slack[k])


def _sign(search, choice):
    """Whether a unit of one point is on: it cannot be below 0 there."""
    search.solver.push()
    search.solver.add(choice.terms[0] < 0)
    found = str(search.solver.check()) == "unsat"
    search.solver.pop()
    return found


# Back to images.


def test_a_square_layer_is_mapped_back_to_the_only_image():
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 3, generator=generator), torch.randn(3, generator=generator)
    model = layered((weight.tolist(), bias.tolist()), (torch.eye(3)[:2].tolist(), [0.0, 0.0]))
    x = torch.tensor([0.3, 0.6, 0.5]).view(1, 1, 3)
    region = Region.around(x, 0, torch.arange(3), 0.6)
    chain, z3 = read_chain(model, x[None]), solver_module()
    encoding = Encoding(chain, region, LinearBounds(chain, region.box).bounds, z3, z3.Context())
    encoding.run(2)
    search = Search(encoding, 60)
    search.begin()
    wanted = torch.tensor([0.25, 0.7, 0.4]).double()
    targets = weight.double() @ wanted + bias.double()
    got = map_back(encoding, search, torch.arange(3), targets)
    assert torch.allclose(got, torch.linalg.solve(weight.double(), targets - bias.double()), atol=1e-9)
    got = map_back(encoding, search, torch.tensor([1]), targets[1:2])  # fewer targets than unknowns
    assert float((weight.double()[1] @ got + bias.double()[1] - targets[1]).abs()) < 1e-6
    assert map_back(encoding, search, torch.arange(3), targets + 100) is None


def test_intervals_of_a_layer_hold_all_images_of_the_grid():
    model, x = perceptron(3, 9), image(1, 1, 3, 3)
    region = Region.around(x, 0, torch.tensor([1, 4, 6]), 0.3)
    chain = read_chain(model, x[None])
    low, high = list(accumulate(chain.layers, lambda bounds, layer: step(layer, bounds), initial=region.box))[2]
    values = points(lattice(region, 3), torch.arange(343))
    layer = model.net[1]
    with torch.no_grad():
        inside = layer(region.filled(values).flatten(1)).double()
    assert bool(((inside >= low) & (inside <= high)).all())
    w, b = layer.weight.detach().double(), layer.bias.detach().double()
    least, most = (v.flatten() for v in region.box)
    c, r = (least + most) / 2, (most - least) / 2
    assert torch.allclose(low[0], w @ c + b - w.abs() @ r, atol=1e-4)
    assert torch.allclose(high[0], w @ c + b + w.abs() @ r, atol=1e-4)


def test_layer_mode_finds_examples_and_counts_what_it_reaches(ramp):
    found = SMT(mode="layer", steps=2).verify(ramp, SMT().region(pixel(0.9), 0, 0.6))
    assert found.verdict == "adversarial"
    valid(ramp, SMT().region(pixel(0.9), 0, 0.6), found)
    model, x = perceptron(4, 9, depth=2), image(4, 1, 3, 3)
    region = SMT(pixels=3).region(x, answer(model, x), 0.05)
    chain = read_chain(model, x[None])
    units, axes = hidden_grid(chain, region, LinearBounds(chain, region.box), 4, 1, 3)
    assert len(units) == 3
    assert size(axes) == 27
    few = SMT(mode="layer", pixels=3, layer=2, units=1, steps=4).verify(model, region)
    assert few.verdict == "adversarial" or few.data == {"grid": 9, "reached": few.points}
    deep = SMT(mode="layer", pixels=3, layer=2).verify(model, region)
    assert deep.verdict in ("adversarial", "unknown")
    with pytest.raises(ParameterError, match="layer=3 must be at most 2, the hidden layers"):
        SMT(mode="layer", layer=3).verify(model, region)


# Limits.


def hard():
    """Twenty free pixels and forty units, all in doubt."""
    model, x = perceptron(5, 20, width=40, classes=5), torch.full((1, 4, 5), 0.5)
    return model, Region.around(x, answer(model, x), torch.arange(20), 0.12)


@pytest.mark.parametrize("mode", ["exact", "layer"])
def test_a_time_out_is_unknown(mode):
    model, region = hard()
    found = SMT(mode=mode, seconds=0.05, max_points=10**10).verify(model, region)
    assert found.verdict == "unknown"
    assert "the solver was stopped after 0.05 s" in found.detail
    assert found.seconds < 5


def test_out_of_memory_is_unknown(monkeypatch):
    """The solver's own exception, wherever it comes from, ends in a verdict."""
    z3 = solver_module()
    model, region = hard()

    def full(self, *rules):
        raise z3.Z3Exception("out of memory")

    for where in ("check", "add"):
        with monkeypatch.context() as patch:
            patch.setattr(z3.Solver, where, full)
            found = SMT().verify(model, region)
        assert (found.verdict, found.counterexample) == ("unknown", None)
        assert "out of memory" in found.detail


def test_too_many_units_are_unknown():
    model, region = hard()
    found = SMT(max_units=5).verify(model, region)
    assert (found.verdict, found.calls) == ("unknown", 0)
    assert "may be on or off, more than max_units=5" in found.detail


def test_without_the_solver_bounds_and_grids_still_work(monkeypatch, needle, ramp):
    monkeypatch.setitem(sys.modules, "z3", None)
    region = SMT().region(pixel(0.0), 0, 1.0)
    with pytest.raises(MissingExtra, match=r"exact verification needs the package 'z3-solver', .*unshaken\[smt\]"):
        SMT().verify(needle, region)
    assert SMT(mode="grid", steps=5).verify(needle, region).verdict == "safe_on_grid"
    assert SMT().verify(ramp, SMT().region(pixel(0.9), 0, 0.1)).verdict == "safe_general"


# Rows and input.


def test_rows_say_what_was_found(ramp):
    batch = Batch(torch.tensor([0.9, 0.6]).view(2, 1, 1, 1), torch.tensor([0, 1]), ("far", "near"))
    oracle, method = Oracle(ramp), SMT(pixels=3)
    (condition,) = conditions_of(method, Line("smt", eps=(0.25,)))
    parts = rows_of(method, batch, [condition], Context(oracle, 0, oracle.exact(batch.images)))
    proofs, findings, answers = (table_of(p).to_pylist() for p in parts)
    assert [(r["radius"], r["norm"], r["prediction"], r["alpha"]) for r in proofs] == [
        (0.25, "linf of 1 pixels", 0, 0.0),
        (0.0, "linf of 1 pixels", 0, 0.0),
    ]
    assert proofs[0]["reason"].startswith("safe_general: ")
    assert proofs[1]["reason"].startswith("adversarial: ")
    assert [(r["verdict"], r["pixels"], r["label"], r["mode"], r["eps"]) for r in findings] == [
        ("safe_general", 1, 0, "exact", 0.25),
        ("adversarial", 1, 0, "exact", 0.25),
    ]
    assert findings[0]["l1"] is None
    assert findings[1]["changed"] == 1.0
    assert 0.1 - 1e-6 <= findings[1]["l2"] <= 0.25
    assert [r["correct"] for r in answers] == [True, False]


def test_bad_regions():
    x = image(0, 1, 2, 2)
    with pytest.raises(ParameterError, match=r"free pixels \[4\] must be different places below 4"):
        SMT(places=(4,)).region(x, 0, 0.1)
    with pytest.raises(ParameterError, match=r"free pixels \[1, 1\] must be different"):
        SMT(places=(1, 1)).region(x, 0, 0.1)
    with pytest.raises(ParameterError, match="must lie in"):
        Region(x, 0, torch.tensor([0]), torch.tensor([0.5]), torch.tensor([0.4]))
    with pytest.raises(ParameterError, match="label 3 must lie below 2"):
        SMT().verify(layered((torch.zeros(2, 4).tolist(), [0.0, 0.0])), Region.around(x, 3, torch.tensor([0]), 0.1))


@pytest.mark.parametrize("mode", MODES)
def test_a_layer_that_is_not_known_is_named(mode):
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Tanh()))
    with pytest.raises(ModelError, match="layer '2' is a Tanh, which bounds do not know"):
        SMT(mode=mode).verify(model, Region.around(image(0, 1, 2, 2), 0, torch.tensor([0]), 0.1))


def test_parameters():
    assert SMT.from_text({"places": "3+17", "mode": "grid"}).places == (3, 17)
    (condition,) = conditions_of(SMT(), Line("smt"))
    assert (condition.eps, condition.norm) == (0.2, "linf")
    with pytest.raises(ParameterError, match="smt: mode='fast'"):
        SMT(mode="fast")
    with pytest.raises(ParameterError, match="smt: norm 'l2'"):
        conditions_of(SMT(), Line("smt", eps=(0.1,), norm="l2"))


@pytest.mark.parametrize("safe", [0, 1, 3, 6])
def test_the_most_free_pixels_of_a_linear_model(safe):
    """Each pixel takes a tenth off a margin of `safe` tenths and a half."""
    image = torch.tensor([0.9, 0.8, 0.7, 0.3, 0.2, 0.1]).reshape(1, 2, 3)
    model = layered(([[1.0] * 6, [0.0] * 6], [0.1 * safe + 0.05 - 3.0, 0.0]))
    assert Bisection(Oracle(model), most=6, seconds=20, eps=0.1).largest(image, 0)[0] == safe


# What decides at the border of a limit, or of a region.


def test_bounds_of_a_region_are_rounded_inwards():
    x = torch.rand(40, generator=torch.Generator().manual_seed(3)).view(1, 5, 8)
    region = Region.around(x, 0, torch.arange(40), 0.1)
    value = x.flatten().double()
    assert bool((region.lower.double() >= (value - 0.1).clamp_min(0)).all())
    assert bool((region.upper.double() <= (value + 0.1).clamp_max(1)).all())
    assert torch.allclose(region.lower.double(), (value - 0.1).clamp_min(0), atol=1e-7, rtol=0)
    assert torch.allclose(region.upper.double(), (value + 0.1).clamp_max(1), atol=1e-7, rtol=0)
    inside = region.rounded(torch.stack([value - 1, value + 1]))
    assert torch.equal(inside, torch.stack([region.lower, region.upper]))


@pytest.mark.parametrize(("lower", "upper"), [(-0.1, 0.5), (0.5, 1.1), (0.6, 0.5), (float("nan"), 0.5)])
def test_bounds_outside_or_in_the_wrong_order_are_refused(lower, upper):
    with pytest.raises(ParameterError, match="must lie in"):
        Region(pixel(0.5), 0, torch.tensor([0]), torch.tensor([lower]), torch.tensor([upper]))


@pytest.mark.parametrize("free", [[], [-1], [0, 0], [1]])
def test_places_that_are_no_pixels_are_refused(free):
    with pytest.raises(ParameterError, match="different places below 1, at least one"):
        Region.around(pixel(0.5), 0, torch.tensor(free, dtype=torch.int64), 0.1)


def test_a_change_by_hand():
    region = Region.around(torch.tensor([0.2, 0.5, 0.5, 0.9]).view(1, 2, 2), 0, torch.arange(4), 0.4)
    found = Finding("adversarial", "", torch.tensor([0.5, 0.5, 0.1, 0.9]).view(1, 2, 2))
    assert found.distances(region) == pytest.approx({"changed": 0.5, "l1": 0.7, "l2": 0.5}, abs=1e-6)
    assert Finding("unknown", "").distances(region) == {}


def test_margins_are_those_to_the_best_other_class():
    logits = torch.tensor([[1.0, 3.0, 2.0], [4.0, 1.0, 5.0]])
    assert margins_of(logits, 1).tolist() == [1, -4]
    assert margins_of(logits, 2).tolist() == [-1, 1]


def test_the_worst_of_several_points_is_given(ramp):
    """Of four pixels two are of class 1; that farther below one half is given. A tie is wrong, a thousandth is not."""
    region = Region.around(pixel(0.9), 0, torch.tensor([0]), 0.9)
    values = torch.tensor([0.9, 0.4, 0.3, 0.6]).view(4, 1)
    found, least = first_confirmed(Oracle(ramp), region, values)
    assert (found.item(), least) == pytest.approx((0.3, -0.2), abs=1e-6)
    assert first_confirmed(Oracle(ramp), region, torch.tensor([[0.501]])) is None
    assert first_confirmed(Oracle(ramp), region, torch.tensor([[0.5]]))[1] == pytest.approx(0, abs=1e-6)


def test_a_grid_of_as_many_points_as_allowed_is_looked_at(ramp):
    region = SMT().region(pixel(0.9), 0, 0.1)
    count = size(lattice(region, 4))
    full, less = (SMT(mode="grid", steps=4, max_points=n).verify(ramp, region) for n in (count, count - 1))
    assert (full.verdict, full.points, full.data["grid"]) == ("safe_on_grid", count, count)
    assert (less.verdict, less.points) == ("unknown", 0)


def test_a_region_of_as_many_units_in_doubt_as_allowed_is_begun(needle):
    region = SMT().region(pixel(0.5), 0, 0.2)  # all three units are in doubt
    assert SMT(max_units=3).verify(needle, region).verdict == "adversarial"
    found = SMT(max_units=2).verify(needle, region)
    assert (found.verdict, found.data) == ("unknown", {"units": 3, "rivals": 1})


def test_points_are_numbered_with_the_last_axis_fastest():
    axes = [torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.4, 0.5])]
    assert points(axes, torch.tensor([0, 1, 3, 5])).tolist() == [
        pytest.approx(v) for v in ([0.1, 0.3], [0.1, 0.4], [0.2, 0.3], [0.2, 0.5])
    ]
    edge = Region(pixel(0.5), 0, torch.tensor([0]), torch.tensor([0.4]), torch.tensor([0.4]))
    assert [a.tolist() for a in corners(edge)] == [pytest.approx([0.4])]
    wide = Region(pixel(0.5), 0, torch.tensor([0]), torch.tensor([0.4]), torch.tensor([0.9]))
    assert lattice(wide, 2)[0].tolist() == pytest.approx([0.4, 0.5, 0.7, 0.9])  # 0.1 and 0.3 are cut to 0.4


def test_a_solver_without_time_is_not_asked(ramp):
    region = SMT().region(pixel(0.9), 0, 0.6)
    chain, z3 = read_chain(ramp, region.image[None]), solver_module()
    encoding = Encoding(chain, region, LinearBounds(chain, region.box).bounds, z3, z3.Context())
    search = Search(encoding, 1e-9)
    with pytest.raises(SolverStopped, match="was stopped after 1e-09 s"):
        search.satisfiable()
    assert search.calls == 0


def test_a_point_is_sought_beyond_the_tie(ramp):
    """A thousandth beyond it, so that float32 sees it too, and beyond it at all where there is no such point."""
    for eps, least in ((0.6, 1e-3), (0.4005, 0.0)):
        found = SMT().verify(ramp, SMT().region(pixel(0.9), 0, eps))
        assert found.verdict == "adversarial"
        assert -found.margin >= least - 1e-6


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_refused(ramp, label):
    with pytest.raises(ParameterError, match=f"label {label} must lie below 2"):
        SMT().verify(ramp, SMT().region(pixel(0.5), label, 0.1))


def test_a_pixel_that_cannot_move_needs_no_spacing(ramp):
    """Covering of one point: the margin must exceed the rounding alone."""
    region = Region(pixel(0.9), 0, torch.tensor([0]), torch.tensor([0.9]), torch.tensor([0.9]))
    found = SMT(mode="covering").verify(ramp, region)
    assert (found.verdict, found.data["spacing"], found.data["grid"]) == ("safe_general", 0.0, 1)


def test_a_hidden_grid_is_over_the_units_that_move_and_are_far_from_the_mean():
    """Values 5, .5 and 2 of mean 2.5, of which the first does not move: the second, then the third."""
    model = layered(([[0.0], [1.0], [4.0]], [5.0, 0.0, 0.0]), ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0.0, 0.0]))
    region = Region.around(pixel(0.5), 0, torch.tensor([0]), 0.1)
    chain = read_chain(model, region.image[None])
    linear = LinearBounds(chain, region.box)
    units, axes = hidden_grid(chain, region, linear, 2, 1, 3)
    assert units.tolist() == [1, 2]
    assert [a.tolist() for a in axes] == [
        pytest.approx([0.4, 0.5, 0.6], abs=1e-5),
        pytest.approx([1.6, 2, 2.4], abs=1e-5),
    ]
    assert hidden_grid(chain, region, linear, 2, 2, 1)[0].tolist() == [1]
    assert len(hidden_grid(chain, region, linear, 2, 2, 1)[1][0]) == 5


def test_the_lipschitz_bound_of_a_pooled_difference_by_hand():
    """Of `max(x_0 - x_1, x_1 - x_2)` the slopes lie in [0, 1], [-1, 1] and [-1, 0]: 3 in all."""
    net = nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False), nn.MaxPool2d((1, 2)), nn.Flatten(), nn.Linear(1, 2))
    net[0].weight.data = torch.tensor([[[[1.0, -1.0]]]])
    net[3].weight.data, net[3].bias.data = torch.tensor([[1.0], [0.0]]), torch.zeros(2)
    x = torch.tensor([0.5, 0.5, 0.5]).view(1, 1, 3)
    chain = read_chain(Classifier(net.eval()), x[None])
    for free, steep in (([0, 1, 2], 3), ([1], 1), ([0, 2], 2)):
        assert lipschitz_bound(chain, Region.around(x, 0, torch.tensor(free), 0.3)) == pytest.approx(steep)
    net[3].weight.data = torch.tensor([[-2.0], [0.0]])
    chain = read_chain(Classifier(net.eval()), x[None])
    assert lipschitz_bound(chain, Region.around(x, 0, torch.arange(3), 0.3)) == pytest.approx(6)


def test_pgd_stays_in_the_free_pixels():
    clean = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rng = SampleRng.of(0, "pgd", ["a", "b"])
    ball = PixelPGD(pixels=3).ball(clean, torch.tensor([0.3, 0.3]), "linf", rng)
    assert isinstance(ball, Ball)
    for i in range(2):
        free = most_extreme(clean[i], 3)
        width = (ball.upper - ball.lower)[i].flatten()
        assert set(width.nonzero().flatten().tolist()) == set(free.tolist())
    x = ball.random_point(rng)
    assert int((x != clean).sum()) == 6
    assert bool(ball.contains(x).all())
