"""DeepFool: exact on affine models, equal to a loop written by hand, and counted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.attack.engine.attack_run import AttackRun, Phase, run_budget
from unshaken.attack.engine.verdict import initial_result
from unshaken.attack.minimal_norm.deepfool import DeepFool, nearest_boundary
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ParameterError

INF = math.inf


class Planes(nn.Module):
    """Logits `W x + b` of two pixels."""

    def __init__(self, w, b):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor(w)), torch.tensor(b)

    def forward(self, x):
        return x.flatten(1) @ self.w.T + self.b


def planes(w=((1.0, 0.0), (-1.0, 1.0), (0.0, -2.0)), b=(0.2, 0.0, 0.1)):
    return Classifier(Planes(w, b)).eval()


def point(*pixels, label=0):
    return Batch(torch.tensor(pixels).view(1, 1, 1, -1), torch.tensor([label]), ("a",))


def centred(make, images, **options):
    """A net whose classes are about equally likely on the images, so that none is far."""
    net = make.net(**options)
    with torch.no_grad():
        net.net.head.bias -= net(images).mean(0)
    return net


def run(attack, model, batch, norm, eps=INF, **options):
    return attack.attack(Oracle(model), batch, norm=norm, eps=[eps], **options)[0][0]


@pytest.mark.parametrize(("norm", "distance", "move"), [("l2", 0.40249, (-0.36, 0.18)), ("linf", 0.3, (-0.3, 0.3))])
@pytest.mark.parametrize("overshoot", [0.0, 0.02])
@pytest.mark.parametrize("targets", [None, [1]])
def test_affine_takes_one_step_of_the_exact_length(norm, distance, move, overshoot, targets):
    """z = (.8, -.1, -.9); the boundary to class 1 is the nearest. 1e-4 is added to the step."""
    batch = point(0.6, 0.5)
    assert planes()(batch.images)[0].tolist() == pytest.approx([0.8, -0.1, -0.9])
    aim = None if targets is None else torch.tensor(targets)
    got = run(DeepFool(overshoot=overshoot), planes(), batch, norm, targets=aim)
    assert got.fooled.tolist() == [True]
    assert got.step.tolist() == [2]  # the image, and the point after one step
    assert float(got.distance) == pytest.approx((1 + overshoot) * (distance + 1e-4), rel=1e-4)
    change = (got.images - batch.images).flatten().tolist()
    assert change == pytest.approx([(1 + overshoot) * v for v in move], abs=2e-4)


def test_nearest_boundary_of_two_by_hand():
    w = torch.tensor([[3.0, 4.0], [1.0, 1.0]]).view(1, 2, 1, 1, 2)
    f = torch.tensor([[-10.0, -2.5]])  # l2: 2 and 1.768; linf: 10/7 and 1.25
    assert nearest_boundary(f, w, "l2").flatten().tolist() == pytest.approx([1.25, 1.25], abs=1.1e-4)
    assert nearest_boundary(f, w, "linf").flatten().tolist() == pytest.approx([1.2501, 1.2501], abs=1e-6)
    assert nearest_boundary(f * torch.tensor([0.5, 1]), w, "l2").flatten().tolist() == pytest.approx(
        [0.6, 0.8], abs=1.1e-4
    )


@pytest.mark.parametrize(("candidates", "distance"), [(2, 0.2), (3, 0.05), (10, 0.05)])
def test_only_the_likeliest_classes_are_considered(candidates, distance):
    """Class 1 is likelier than class 2 but farther away."""
    model = planes(((0.0, 0.0), (0.5, 0.0), (0.0, 4.0)), (0.0, -0.35, -2.2))
    got = run(DeepFool(candidates=candidates, overshoot=0.0), model, point(0.5, 0.5), "l2")
    assert float(got.distance) == pytest.approx(distance + 1e-4, abs=1e-5)


def by_hand(net, batch, norm, *, steps=50, overshoot=0.02, candidates=10):
    """Textbook DeepFool on one sample after another, with a gradient of its own for each class."""
    ends = []
    for x0, y in zip(batch.images.split(1), batch.labels.tolist(), strict=True):
        order = net(x0)[0].argsort(descending=True).tolist()
        others = [k for k in order if k != y][: candidates - 1]
        x, total = x0, torch.zeros_like(x0)
        for _ in range(steps):
            x = x.detach().requires_grad_(True)
            z = net(x)[0]
            if int(z.argmax()) != y:
                break
            ways = []
            for k in others:
                (w,) = torch.autograd.grad(z[k] - z[y], x, retain_graph=True)
                size = float(w.norm() if norm == "l2" else w.abs().sum())
                ways.append((float((z[k] - z[y]).detach().abs()) / size, w, size))
            distance, w, size = min(ways, key=lambda way: way[0])
            total = total + (distance + 1e-4) * (w / size if norm == "l2" else w.sign())
            x = (x0 + (1 + overshoot) * total).clamp(0, 1)
        ends.append(x.detach())
    return torch.cat(ends)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("classes", "channels"), [(2, 1), (3, 1), (12, 3)])
def test_equals_a_plain_loop(make, norm, classes, channels):
    images = make.images(20, channels, 8, 6)
    net = centred(make, images, classes=classes, channels=channels)
    batch = make.batch(net, images)
    expected = by_hand(net, batch, norm)
    got = run(DeepFool(), net, batch, norm)
    hit = net(expected).argmax(1) != batch.labels
    assert int(hit.sum()) > 10
    assert torch.equal(got.fooled, hit)
    assert torch.allclose(got.images[hit], expected[hit], atol=2e-5)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_scaling_and_shifting_the_logits_changes_no_norm(make, norm):
    net = make.net(classes=5)
    batch = make.batch(net, make.images(12, 1, 8, 8))
    plain = run(DeepFool(), net, batch, norm)

    class Loud(nn.Module):
        def forward(self, x):
            return 1000 * net.net(x) - 50

    loud = run(DeepFool(), Classifier(Loud()).eval(), batch, norm)
    assert torch.equal(plain.fooled, loud.fooled)
    assert torch.allclose(plain.distance, loud.distance, rtol=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_targeted_ends_at_the_target(make, norm):
    images = make.images(16, 3, 8, 8)
    net = centred(make, images, classes=8, channels=3)
    batch = make.batch(net, images)
    targets = net(batch.images).topk(3, 1).indices[:, 2]
    got = run(DeepFool(), net, batch, norm, targets=targets)
    assert torch.equal(net(got.images).argmax(1) == targets, got.fooled)
    assert int(got.fooled.sum()) > 8
    free = run(DeepFool(), net, batch, norm)
    both = got.fooled & free.fooled
    assert float(got.distance[both].mean()) > float(free.distance[both].mean())


def test_budgets_follow_from_the_distance(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    oracle = Oracle(net)
    grid = [0.02, 0.1, INF]
    found, _ = DeepFool().attack(oracle, batch, norm="l2", eps=grid)
    for one, eps in zip(found, grid, strict=True):
        assert torch.equal(one.fooled, found[-1].fooled & (found[-1].distance <= eps))
    assert 0 < int(found[1].fooled.sum()) < 20
    assert oracle.meter.backwards == int(found[0].backwards.sum())


def test_under_one_budget_a_success_inside_ends_the_search(make):
    """As within a suite of attacks."""
    net = make.net(classes=3)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    clean = net(batch.images).detach()
    free = run(DeepFool(), net, batch, "l2")
    eps = float(free.distance.median()) * 1.02  # at none of them
    attack_run = AttackRun(Oracle(net), batch, batch.labels, False, "l2", 0, clean)
    got = run_budget(
        attack_run, [Phase(DeepFool(), "deepfool")], initial_result(batch.images, clean, batch.labels, False), eps
    )
    assert torch.equal(got.fooled, free.fooled & (free.distance <= eps))
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)


def test_a_sample_that_cannot_be_fooled_costs_what_cost_says():
    model = planes(((0.01, 0.0), (0.0, 0.01), (0.01, 0.01)), (5.0, 0.0, 0.0))
    attack = DeepFool(steps=7)
    got = run(attack, model, point(0.6, 0.5), "l2")
    assert got.fooled.tolist() == [False]
    assert got.distance.tolist() == [INF]
    assert torch.equal(got.images, point(0.6, 0.5).images)
    assert attack.cost(3) == (7, 14)
    assert got.backwards.tolist() == [14]
    assert got.forwards.tolist() == [7 + 4]  # the last looks: at the end point, and three times farther out
    assert DeepFool().cost(1000) == (50, 450)


def test_targeted_takes_one_backward_pass_a_step():
    model = planes(((0.01, 0.0), (0.0, 0.01), (0.01, 0.01)), (5.0, 0.0, 0.0))
    got = run(DeepFool(steps=7), model, point(0.6, 0.5), "l2", targets=torch.tensor([2]))
    assert got.backwards.tolist() == [7]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_without_gradients_it_stays_and_says_so(norm):
    model = planes(((0.0, 0.0),) * 3, (1.0, 0.0, 0.0))
    (got,), flags = DeepFool(steps=3).attack(Oracle(model), point(0.6, 0.5), norm=norm, eps=[INF])
    assert got.fooled.tolist() == [False]
    assert torch.equal(got.images, point(0.6, 0.5).images)
    assert [f.name for f in flags] == ["zero-gradient"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"overshoot": -0.1}, "overshoot=-0.1"),
        ({"candidates": 1}, "candidates=1"),
        ({"step": 3}, "no parameter 'step'; did you mean 'steps'"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError) as caught:
        DeepFool(**values)
    assert words in str(caught.value)
    assert str(caught.value).startswith("deepfool: ")


def test_l1_is_refused():
    with pytest.raises(ParameterError, match="deepfool: norm 'l1' is not one of linf, l2"):
        run(DeepFool(), planes(), point(0.6, 0.5), "l1", 0.5)


def test_its_one_phase_counts_the_samples_that_it_broke(make):
    images = make.images(12, 1, 8, 8)
    model = centred(make, images, classes=3)
    labels = model(images).argmax(1)
    labels[:2] = (labels[:2] + 1) % 3  # two are wrong before
    batch = Batch(images, labels, tuple(map(str, range(12))))
    result = run(DeepFool(steps=1, overshoot=0.0), model, batch, "l2")
    (phase,) = result.phases
    assert phase.standing == 10
    assert phase.broken == int(result.fooled.sum()) - 2
    assert 0 < phase.broken < 10
