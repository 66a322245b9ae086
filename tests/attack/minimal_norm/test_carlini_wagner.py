"""Carlini and Wagner's attack: exact on affine models, equal to a loop written by hand, and counted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.covering import covering
from unshaken.attack.engine.attack_run import AttackRun, Phase, run_budget
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.verdict import initial_result
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner, Hinge, Weight
from unshaken.core import Answer, Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError

INF = math.inf
QUICK = CarliniWagner(steps=60, search_steps=4, lr=0.03, initial_c=0.1)


class Planes(nn.Module):
    """Logits `scale (W x + b) + shift` of two pixels."""

    def __init__(self, w, b, scale=1.0, shift=0.0):
        super().__init__()
        self.w, self.b, self.scale, self.shift = nn.Parameter(torch.tensor(w)), torch.tensor(b), scale, shift

    def forward(self, x):
        return self.scale * (x.flatten(1) @ self.w.T + self.b) + self.shift


def planes(w=((1.0, 0.0), (-1.0, 1.0), (0.0, -2.0)), b=(0.2, 0.0, 0.1), **options):
    return Classifier(Planes(w, b, **options)).eval()


def point(*pixels, label=0):
    return Batch(torch.tensor(pixels).view(1, 1, 1, -1), torch.tensor([label]), ("a",))


def run(attack, model, batch, eps=INF, **options):
    return attack.attack(Oracle(model), batch, norm="l2", eps=[eps], **options)[0][0]


@pytest.mark.parametrize("targets", [None, [1]])
def test_affine_distance_within_a_thousandth(targets):
    aim = None if targets is None else torch.tensor(targets)
    got = run(CarliniWagner(steps=100, lr=0.03), planes(), point(0.6, 0.5), targets=aim)
    assert got.fooled.tolist() == [True]
    assert float(got.distance) == pytest.approx(0.40249, rel=1e-3)
    assert (got.images.flatten() - torch.tensor([0.6, 0.5])).tolist() == pytest.approx([-0.36, 0.18], abs=2e-2)


def sequence(outcomes, search_steps=None):
    """The c of each run, for runs that find an example (Y) or do not (N)."""
    weight, seen = Weight.of(torch.tensor([0.001])), []
    for letter in outcomes:
        seen.append(float(weight.c))
        weight = weight.next(torch.tensor([True]), torch.tensor([letter == "Y"]), search_steps or len(outcomes))
    return seen


def test_c_sequence():
    expected = [0.001, 0.01, 0.1, 1, 0.55, 0.775, 0.6625, 0.71875, 0.746875]
    assert sequence("NNNYNYNNY") == pytest.approx(expected, rel=1e-6)
    assert sequence("YYN") == pytest.approx([0.001, 0.0005, 0.00025], rel=1e-6)
    assert sequence("NYNN") == pytest.approx([0.001, 0.01, 0.0055, 0.00775], rel=1e-6)


def test_of_ten_runs_the_last_has_the_upper_bound():
    assert sequence("NNNYNYNNYN")[-1] == pytest.approx(0.746875, rel=1e-6)
    assert sequence("NNNYNYNNNN")[-1] == pytest.approx(0.775, rel=1e-6)
    assert sequence("N" * 10)[-1] == pytest.approx(1e10)
    assert sequence("N" * 9)[-1] == pytest.approx(1e5)


def test_c_of_samples_that_go_on_stays():
    weight = Weight.of(torch.tensor([0.001, 0.001])).next(
        torch.tensor([True, False]), torch.tensor([True, True]), search_steps=9
    )
    assert weight.c.tolist() == pytest.approx([0.0005, 0.001])
    assert weight.upper.tolist() == pytest.approx([0.001, INF])
    assert weight.runs.tolist() == [1, 0]


def test_hinge_of_negative_logits_by_hand():
    z = Answer(logits=torch.tensor([[-1.0, -2.0, -3.0]] * 3))
    y = torch.tensor([0, 1, 2])
    two = torch.tensor([2.0] * 3)
    assert Hinge(y, two, False, 0.0)(z).tolist() == [2, 0, 0]  # z_y - max = 1, -1, -2
    assert Hinge(y, two, False, 1.5)(z).tolist() == [5, 1, 0]
    assert Hinge(y, two, True, 0.0)(z).tolist() == [0, 2, 4]
    assert Hinge(y, two, True, 1.5)(z).tolist() == [1, 5, 7]


@pytest.mark.parametrize("options", [{"shift": -100.0}, {"scale": 1000.0}, {"scale": 1000.0, "shift": -500.0}])
def test_scaling_and_shifting_the_logits_changes_no_norm(options):
    """A shift by -100 makes all logits negative."""
    got = run(CarliniWagner(steps=100, lr=0.03), planes(**options), point(0.6, 0.5))
    assert got.fooled.tolist() == [True]
    assert float(got.distance) == pytest.approx(0.40249, rel=2e-3)


def test_a_loud_net_is_fooled_as_the_quiet_one(make):
    """A distilled network is a loud one: the attack must not be blinded."""
    images = make.images(6, 1, 8, 8)
    net = make.net(classes=4)
    batch = make.batch(net, images)

    class Loud(nn.Module):
        def forward(self, x):
            return 40 * net.net(x) - 300

    loud = Classifier(Loud()).eval()
    values = {"steps": 40, "search_steps": 5, "lr": 0.03}
    plain = run(CarliniWagner(initial_c=0.1, **values), net, batch)
    same = run(CarliniWagner(initial_c=0.1 / 40, **values), loud, batch)
    other = run(CarliniWagner(initial_c=0.1, **values), loud, batch)
    assert bool((plain.fooled & same.fooled & other.fooled).all())
    assert torch.allclose(plain.distance, same.distance, rtol=0.01)
    assert float(other.distance.median()) == pytest.approx(float(plain.distance.median()), rel=0.1)


@pytest.mark.parametrize(("start", "slope"), [(0.0, -1.0), (1.0, 1.0)])
def test_black_and_white_pixels_can_move(start, slope):
    """The only pixel that counts is exactly 0 (or 1); 0.3 away from it the class changes."""
    model = planes(((slope, 0.0), (-slope, 0.0)), (0.3 - slope * start, -(0.3 - slope * start)))
    attack = CarliniWagner(steps=200, lr=0.15, search_steps=6, initial_c=0.1)
    got = run(attack, model, point(start, 0.5))
    assert got.fooled.tolist() == [True]
    assert float(got.distance) == pytest.approx(0.3, rel=5e-3)


def by_hand(net, x0, y, *, steps, search_steps, initial_c, lr, targeted=False, kappa=0.0):
    """The published loop on one sample, with torch's Adam; returns the nearest example, its norm and the looks."""
    w0 = torch.atanh((2 * x0 - 1) * (1 - 1e-6))
    origin = (torch.tanh(w0) + 1) / 2
    c, lower, upper = initial_c, 0.0, INF
    best, least, looks = x0, INF, 0
    for run_number in range(search_steps):
        if search_steps >= 10 and run_number == search_steps - 1:
            c = min(upper, 1e10)
        d = torch.zeros_like(w0).requires_grad_(True)
        adam = torch.optim.Adam([d], lr=lr)
        found, before = False, INF
        for step in range(steps):
            x = (torch.tanh(w0 + d) + 1) / 2
            z = net(x)[0]
            order = z.detach().argsort(descending=True).tolist()
            rival = next(k for k in order if k != y)
            f = z[rival] - z[y] if targeted else z[y] - z[rival]
            loss = ((x - origin) ** 2).sum() + c * torch.relu(f + kappa)
            looks += 1
            if f.item() + kappa < 0:
                found = True
                if (x - x0).norm().item() < least:
                    best, least = x.detach(), (x - x0).norm().item()
            if step % math.ceil(steps / 10) == 0:
                if not loss.item() <= 0.9999 * before:
                    break
                before = loss.item()
            adam.zero_grad()
            loss.backward()
            adam.step()
        if found:
            upper = min(upper, c)
        else:
            lower = max(lower, c)
        c = (lower + upper) / 2 if upper < INF else 10 * c
    return best, least, looks


@covering("targeted, kappa", [False, True], [[0.0], [0.3]])
def test_equals_a_plain_loop(make, targeted, kappa):
    net = make.net(classes=4, channels=3)
    batch = make.batch(net, make.images(5, 3, 6, 5))
    batch.images[0, :, 0] = 0.0
    batch.images[1, :, 0] = 1.0
    batch = make.batch(net, batch.images)
    aims = net(batch.images).topk(2, 1).indices[:, 1] if targeted else batch.labels
    values = {"steps": 30, "search_steps": 4, "initial_c": 0.05, "lr": 0.05, "kappa": kappa}
    attack, fooled = CarliniWagner(polish=0, **values), 0
    net.net.rounded = False
    for i in range(5):
        x0 = batch.images[i : i + 1].double()
        best, least, looks = by_hand(net, x0, int(aims[i]), targeted=targeted, **values)
        problem = Problem(Ball.of(x0, torch.tensor([INF]), "l2"), aims[i : i + 1], targeted, net(x0).detach())
        *points, found = make.points(attack, net, problem, SampleRng.of(0, "cw", ["a"]))
        assert len(points) == looks
        assert torch.allclose(found, best, atol=1e-6, rtol=0)
        fooled += least < INF
    assert fooled >= 3


def test_kappa_is_the_lead_of_the_example(make):
    net = make.net(classes=4)
    batch = make.batch(net, make.images(6, 1, 8, 8))
    for targets in (None, net(batch.images).topk(2, 1).indices[:, 1]):
        got = run(QUICK.model_copy(update={"kappa": 0.5}), net, batch, targets=targets)
        z = net(got.images).detach()
        aim = batch.labels if targets is None else targets
        others = z.scatter(1, aim[:, None], -INF).amax(1)
        lead = others - z.gather(1, aim[:, None])[:, 0]
        lead = lead if targets is None else -lead
        assert int(got.fooled.sum()) > 2
        assert bool((lead[got.fooled] >= 0.5 - 1e-4).all())


def test_a_sample_without_progress_moves_on_by_itself():
    """Looks 0 and 5 of 50 have the same loss: each run ends at its sixth look, whatever the company does."""
    model = planes(((0.0, 0.0),) * 3, (1.0, 0.0, 0.0))
    attack = CarliniWagner(steps=50)
    (got,), flags = attack.attack(Oracle(model), point(0.6, 0.5), norm="l2", eps=[INF])
    assert got.fooled.tolist() == [False]
    assert torch.equal(got.images, point(0.6, 0.5).images)
    assert got.distance.tolist() == [INF]
    assert got.backwards.tolist() == [9 * 6]
    assert got.forwards.tolist() == [9 * 6 + 1]
    assert [f.name for f in flags] == ["zero-gradient"]


def test_cost_bounds_what_is_spent(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    attack = CarliniWagner(steps=12, search_steps=3, initial_c=1.0, polish=2)
    got = run(attack, net, batch)
    assert attack.cost(3) == attack.cost(1000) == (38, 38)
    assert int(got.backwards.max()) == 38
    assert bool((got.forwards <= 38 + 5).all())  # the last looks: up to four, and one at the rounded image
    assert CarliniWagner().cost(10) == (9008, 9008)


def test_polish_walks_back_along_the_way_to_the_nearest_example(make):
    """By hand: bisection of the segment from the clean image to what the published attack ends with."""
    net = make.net(classes=3)
    batch = make.batch(net, make.images(8, 1, 8, 8))
    rough = run(CarliniWagner(steps=40, search_steps=3, initial_c=1.0, lr=0.05, polish=0), net, batch)
    fine = run(CarliniWagner(steps=40, search_steps=3, initial_c=1.0, lr=0.05, polish=6), net, batch)
    assert torch.equal(rough.fooled, fine.fooled)
    assert int(rough.fooled.sum()) >= 4
    for i in rough.fooled.nonzero().flatten().tolist():
        clean, end, low, high = batch.images[i], rough.images[i], 0.0, 1.0
        for _ in range(6):
            share = (low + high) / 2
            hit = int(net((clean + share * (end - clean))[None]).argmax()) != int(batch.labels[i])
            low, high = (low, share) if hit else (share, high)
        assert float(fine.distance[i]) == pytest.approx(high * float(rough.distance[i]), rel=1e-4)


def test_budgets_follow_from_the_distance(make):
    net = make.net(classes=3)
    batch = make.batch(net, make.images(10, 1, 8, 8))
    found, _ = QUICK.attack(Oracle(net), batch, norm="l2", eps=[0.2, INF])
    assert torch.equal(found[0].fooled, found[1].fooled & (found[1].distance <= 0.2))
    assert torch.equal(net(found[1].images).argmax(1) != batch.labels, found[1].fooled)
    assert int(found[1].fooled.sum()) == 10
    assert 0 < int(found[0].fooled.sum()) < 10


def test_under_one_budget_a_success_inside_ends_the_search(make):
    """As within a suite of attacks; points that fool outside the budget were met before."""
    net = make.net(classes=3)
    batch = make.batch(net, make.images(10, 1, 8, 8))
    clean = net(batch.images).detach()
    free = run(QUICK, net, batch)
    eps = float(free.distance.sort().values[4:6].mean())  # far from any of them
    attack_run = AttackRun(Oracle(net), batch, batch.labels, False, "l2", 0, clean)
    got = run_budget(attack_run, [Phase(QUICK, "cw")], initial_result(batch.images, clean, batch.labels, False), eps)
    assert torch.equal(got.fooled, free.distance <= eps)
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
    assert bool((got.distance[got.fooled] <= eps * (1 + 1e-6)).all())
    assert bool((got.forwards[got.fooled] < free.forwards[got.fooled]).all())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"search_steps": 0}, "search_steps=0"),
        ({"initial_c": 0.0}, "initial_c=0.0"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"kappa": -0.5}, "kappa=-0.5"),
        ({"c": 3}, "no parameter 'c'"),
    ],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError) as caught:
        CarliniWagner(**values)
    assert words in str(caught.value)
    assert str(caught.value).startswith("carlini-wagner: ")


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_other_norms_are_refused(norm):
    with pytest.raises(ParameterError, match=f"carlini-wagner: norm '{norm}' is not one of l2"):
        CarliniWagner().attack(Oracle(planes()), point(0.6, 0.5), norm=norm, eps=[0.5])
