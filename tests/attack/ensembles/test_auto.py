"""Auto: what it chooses for which model, what it leaves out, what it says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import unshaken.attack.ensembles.auto as auto_module
from unshaken.attack.black_box.hop_skip_jump import HopSkipJump
from unshaken.attack.black_box.square import Square
from unshaken.attack.engine.attack_run import AttackContext
from unshaken.attack.ensembles.auto import Auto, inspect_model
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.minimal_norm.fab import FAB
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import ParameterError


class Wrapped(nn.Module):
    """A net with something done to its input or output."""

    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


class Noise:
    """Added to logits, other in every pass."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, z):
        return z + 0.05 * torch.randn(z.shape, generator=self.generator)


def model(make, kind, classes=5):
    net = make.net(classes=classes)
    noise = make.images(64, 1, 8, 8, seed=5)
    with torch.no_grad():
        net.net.head.bias -= net(noise).mean(0)
    tiny = net.net
    return {
        "fine": lambda: net,
        "random": lambda: Classifier(Wrapped(tiny, after=Noise())).eval(),
        "rounded": lambda: Classifier(Wrapped(tiny, before=lambda x: (x * 8).round() / 8)).eval(),
        "cold": lambda: Classifier(Wrapped(tiny, after=lambda z: z * 1e5)).eval(),
        "box": lambda: Classifier(tiny, differentiable=False, name="box").eval(),
        "random box": lambda: Classifier(Wrapped(tiny, after=Noise()), differentiable=False).eval(),
    }[kind]()


def context(make, kind, classes=5, norm="linf", samples=0, draws=1):
    net = model(make, kind, classes)
    batch = make.batch(net, make.images(20, 1, 8, 8))
    return AttackContext(Oracle(net, draws=draws), norm, 0.1, classes, 0, batch, samples)


def phases(make, kind, **options):
    given = {k: options.pop(k) for k in ("classes", "norm", "samples", "draws") if k in options}
    found, flags = Auto(**options).phases(context(make, kind, **given))
    return {s.name: s for s in found}, flags


# What it sees.


@pytest.mark.parametrize(
    ("kind", "gradient", "random", "masked", "words"),
    [
        ("fine", True, False, False, "gradients come through"),
        ("random", True, True, False, "differ by up to"),
        ("rounded", False, False, True, "no gradient reaches the images"),
        ("cold", True, False, True, "the gradient of the cross-entropy is zero on"),
        ("box", False, False, False, "the model gives no gradients"),
    ],
)
def test_the_look(make, kind, gradient, random, masked, words):
    there = context(make, kind)
    look = inspect_model(there)
    assert (look.gradient, look.random, look.masked) == (gradient, random, masked)
    assert words in look.words
    dead = {"rounded": 20, "fine": 0, "random": 0, "box": 0}.get(kind)
    assert len(look.dead) == dead if dead is not None else 0 < len(look.dead) <= 20
    assert set(look.dead) <= set(there.reference.ids)
    # Five passes over 16 images, one over all 20, a gradient of each of two losses, and then one beside 16 images,
    # or two over them to find where gradients stop and to see that they go on.
    passes = {"box": 0, "random": 2 * 20, "rounded": 2 * 20 + 2 * 16}.get(kind, 2 * 20 + 16)
    assert there.oracle.meter.backwards == passes
    assert there.oracle.meter.forwards == 5 * 16 + 20 + passes


# What it chooses.


def test_a_fine_model_gets_autoattack(make):
    got, flags = phases(make, "fine")
    assert {k: s.search for k, s in got.items()} == {
        "apgd-ce": APGD(steps=100),
        "apgd-t": APGD(loss="dlr-targeted", steps=100),
        "fab-t": FAB(targeted=True, steps=100),
        "square": Square(queries=5000),
    }
    assert flags == []
    assert all(s.why and not s.skip for s in got.values())
    costs = [sum(s.search.cost(5)) for s in got.values()]
    assert costs == sorted(costs)


def test_a_random_model_is_attacked_through_its_randomness(make):
    got, flags = phases(make, "random")
    assert {k: s.search for k, s in got.items()} == {
        "apgd-ce": APGD(),
        "apgd-dlr": APGD(loss="dlr"),
        "square": Square(queries=1000),
    }
    assert {s.draws for s in got.values()} == {20}
    assert flags == []
    assert {s.draws for s in phases(make, "random", draws=6)[0].values()} == {6}
    assert list(phases(make, "random box")[0]) == ["square"]


def test_where_no_gradient_passes_scores_and_decisions_are_searched(make):
    got, flags = phases(make, "rounded")
    assert {k: s.search for k, s in got.items()} == {
        "bpda": APGD(loss="margin"), "surrogate": APGD(loss="margin"),
        "square": Square(), "hop-skip-jump": HopSkipJump(),
    }  # fmt: skip
    assert got["bpda"].why == (
        "zero-gradient: no gradient reaches the images: something on the way has none: "
        "the backward pass takes the identity from net:in to net.net"
    )
    (flag,) = flags
    assert (flag.name, len(flag.ids)) == ("zero-gradient", 20)
    assert flag.detail.startswith("auto: no gradient reaches the images")
    assert list(phases(make, "rounded", norm="l1")[0]) == ["bpda", "surrogate", "square"]  # hop-skip-jump has no l1


class Shattered(nn.Module):
    """A net behind a sawtooth: pixel by pixel the slope changes its sign every 0.002."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + 0.01 * torch.sin(x * 1600))


def test_shattered_gradients_are_averaged_over_noise(make):
    fine = model(make, "fine")
    net = Classifier(Shattered(fine.net)).eval()
    batch = make.batch(net, make.images(20, 1, 8, 8))
    found, flags = Auto().phases(AttackContext(Oracle(net), "linf", 0.1, 5, 0, batch))
    assert [p.name for p in found] == ["apgd-ce", "apgd-t", "apgd-smooth", "surrogate", "fab-t", "square"]
    smooth = found[2]
    assert (smooth.draws, smooth.surrogate.net.sigma, smooth.same_answers) == (20, 0.05, False)
    assert "disagree (cosine" in smooth.why
    assert flags == []


@pytest.mark.parametrize("eps", [0.02, 0.1, 0.3, 0.6])
def test_how_far_an_attack_may_go_does_not_make_gradients_shattered(make, eps):
    fine = model(make, "fine")
    batch = make.batch(fine, make.images(20, 1, 8, 8))
    smooth = inspect_model(AttackContext(Oracle(fine), "linf", eps, 5, 0, batch))
    assert (smooth.shattered, smooth.words) == (False, "gradients come through")
    net = Classifier(Shattered(fine.net)).eval()
    assert inspect_model(AttackContext(Oracle(net), "linf", eps, 5, 0, batch)).shattered


class Steps(nn.Module):
    """The net's decision and nothing else: its scores are the class as 0 and 1, so no gradient passes anywhere."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return nn.functional.one_hot(self.net(x).argmax(1), 5).float() + 0 * x.flatten(1).sum(1, keepdim=True)


def test_a_surrogate_is_not_made_where_no_sample_is_left(make):
    bridged = model(make, "rounded")
    batch = make.batch(bridged, make.images(20, 1, 8, 8))
    (got,), _ = Auto(steps=10, queries=20).attack(Oracle(bridged), batch, norm="linf", eps=[0.5])
    needless = got.phases[1]
    assert (needless.attack, needless.standing, needless.forwards) == ("surrogate", 0, 0)


@pytest.mark.long
def test_a_surrogate_learns_where_nothing_can_be_bridged(make):
    fine = model(make, "fine")
    batch = make.batch(fine, make.images(20, 1, 8, 8))
    oracle = Oracle(Classifier(Steps(fine.net)).eval())
    attack = Auto(steps=10, queries=20)
    found, _ = attack.phases(AttackContext(oracle, "linf", 0.2, 5, 0, batch))
    assert [p.name for p in found] == ["surrogate", "square", "hop-skip-jump"]
    assert not found[0].gradients
    (got,), _ = attack.attack(oracle, batch, norm="linf", eps=[0.4])
    learned = got.phases[0]
    assert learned.broken > 15
    assert learned.forwards >= 20 * 8  # its 20 training images were doubled three times


def test_a_random_model_without_a_gradient_is_bridged_and_averaged(make):
    tiny = model(make, "fine").net
    net = Classifier(Wrapped(tiny, before=lambda x: (x * 8).round() / 8, after=Noise())).eval()
    batch = make.batch(model(make, "fine"), make.images(20, 1, 8, 8))
    found, _ = Auto().phases(AttackContext(Oracle(net), "linf", 0.1, 5, 0, batch))
    assert [(p.name, p.draws) for p in found] == [("bpda", 20), ("surrogate", 20), ("square", 20)]


def test_a_saturated_cross_entropy_is_left_for_other_losses(make):
    got, flags = phases(make, "cold")
    assert list(got) == ["apgd-dlr", "apgd-t", "square", "hop-skip-jump"]
    assert "ce" not in {s.search.loss for s in got.values() if isinstance(s.search, APGD)}
    assert [f.name for f in flags] == ["zero-gradient"]


def test_a_black_box_is_searched_by_scores_then_by_decisions(make):
    got, flags = phases(make, "box")
    assert list(got) == ["square", "hop-skip-jump"]
    assert "gives no gradients" in got["square"].why
    assert flags == []


class Doubtful(nn.Module):
    """Rejects whatever is near a boundary: the further class leads where the top two logits are close."""

    def __init__(self, net, gap):
        super().__init__()
        self.net, self.gap = net, gap

    def forward(self, x):
        z = self.net(x)
        return torch.cat([z, z.topk(2, dim=1).values[:, 1:] + self.gap], 1)


def test_a_model_that_rejects_is_attacked_past_its_alarm_too(make):
    fine = model(make, "fine")
    guarded = Classifier(Doubtful(fine.net, 0.05), reject=5).eval()
    batch = make.batch(fine, make.images(20, 1, 8, 8))
    found, _ = Auto().phases(AttackContext(Oracle(guarded), "linf", 0.1, 6, 0, batch))
    assert [(s.name, s.avoid_rejection) for s in found] == [
        ("apgd-ce", True), ("apgd-far", False), ("apgd-t", True), ("fab-t", True), ("square", True),
    ]  # fmt: skip
    assert found[1].search == APGD(loss="margin")
    clean = guarded(batch.images).argmax(1)
    for name in ("heeded", "past the alarm", "by decisions"):
        attack = {"heeded": APGD(steps=10), "past the alarm": Auto(steps=10, queries=50), "by decisions": HopSkipJump(
            steps=2, initial_samples=20)}[name]  # fmt: skip
        (got,), _ = attack.attack(Oracle(guarded), batch, norm="linf", eps=[0.3])
        answers = guarded(got.images).argmax(1)
        assert torch.equal(got.fooled, (answers != batch.labels) & ((answers != 5) | (clean != batch.labels))), name
        assert int((got.fooled & (clean == batch.labels)).sum()) > 5, name


@pytest.mark.parametrize(("classes", "kind", "losses"), [
    (2, "fine", ["ce", "margin-targeted"]),
    (3, "fine", ["ce", "margin-targeted"]),
    (4, "fine", ["ce", "dlr-targeted"]),
    (2, "random", ["ce", "margin"]),
    (3, "random", ["ce", "dlr"]),
])  # fmt: skip
def test_few_classes_take_losses_that_exist(make, classes, kind, losses):
    got, _ = phases(make, kind, classes=classes)
    assert [s.search.loss for s in got.values() if isinstance(s.search, APGD)] == losses


def test_the_fast_mode_searches_by_gradient_in_bf16(make):
    got, _ = phases(make, "fine", mode="fast")
    assert {n: s.precision for n, s in got.items()} == {
        "apgd-ce": "bf16", "apgd-t": "bf16", "fab-t": "bf16", "square": None, "finish": None,
    }  # fmt: skip
    for kind in ("random", "box"):  # nothing to hasten, or nothing to finish with
        assert {s.precision for s in phases(make, kind, mode="fast")[0].values()} == {None}


def test_no_samples_are_nothing_to_look_at(make):
    with pytest.raises(ParameterError, match="no samples to inspect"):
        Auto().phases(AttackContext(Oracle(make.net()), "linf", 0.1, 3, 0))


# Budgets.


def test_what_does_not_fit_the_budget_is_left_out_and_says_so(make):
    cost = {n: sum(s.search.cost(5)) for n, s in phases(make, "fine")[0].items()}
    budget = cost["apgd-ce"] + cost["apgd-t"] + 10
    got, _ = phases(make, "fine", passes=budget)
    assert {n: s.skip for n, s in got.items()} == {"apgd-ce": False, "apgd-t": False, "fab-t": True, "square": True}
    assert got["fab-t"].why == (f"left out: up to {cost['fab-t']:,} passes a sample, 10 are left of the budget")
    assert not any(s.skip for s in phases(make, "fine", passes=sum(cost.values()))[0].values())


def test_a_budget_that_is_too_small_for_any_attack_shortens_the_cheapest(make):
    got, _ = phases(make, "fine", passes=90)
    assert [s.skip for s in got.values()] == [False, True, True, True]
    short = got["apgd-ce"].search
    assert sum(short.cost(5)) <= 90 < sum(APGD(steps=short.steps + 1).cost(5))
    assert got["apgd-ce"].why == f"shortened to {short.steps} of 100 steps: the budget pays for no more"
    queries, _ = phases(make, "box", passes=90)
    assert queries["square"].search.queries < 90
    few, _ = phases(make, "fine", passes=5)  # less than a step of apgd-ce takes
    assert [s.skip for s in few.values()] == [True, True, True, False]
    assert few["square"].search.queries == 4
    with pytest.raises(ParameterError, match=r"1 passes a sample, pays for no attack: the cheapest takes 2$"):
        phases(make, "fine", passes=1)


def test_passes_of_random_models_count_each_draw(make):
    alone = sum(APGD().cost(5))
    assert [s.skip for s in phases(make, "random", passes=20 * alone)[0].values()] == [False, True, True]
    got = phases(make, "random", passes=20 * alone - 1)[0]
    assert got["apgd-ce"].search.steps == 99
    assert [s.skip for s in got.values()] == [False, True, True]


def test_the_budget_is_kept_and_turns_tell_what_was_left_out(make):
    net = model(make, "fine")
    batch = make.batch(net, make.images(20, 1, 8, 8))
    attack = Auto(steps=5, queries=40, passes=90)
    (got,), _ = attack.attack(Oracle(net), batch, norm="linf", eps=[0.004])
    left = [t.attack for t in got.phases if t.why.startswith("left out")]
    ran = [t for t in got.phases if t.attack not in left]
    assert left == ["fab-t", "square"]
    assert all((t.forwards, t.backwards, t.broken) == (0, 0, 0) for t in got.phases if t.attack in left)
    assert 0 < int(got.fooled.sum()) < 20
    spent = got.forwards + got.backwards
    assert int(spent.max()) <= 90 + 2 * len(ran) + 1  # the last looks and the rounded image are the judge's
    assert bool((spent[~got.fooled] > 50).all())


def test_a_search_that_was_cut_short_is_flagged_with_the_budget_that_finishes_it(make):
    net = model(make, "fine")
    batch = make.batch(net, make.images(20, 1, 8, 8))

    def flags(passes, eps=0.004):
        attack = Auto(steps=5, queries=40, passes=passes)
        found, flags = attack.attack(Oracle(net), batch, norm="linf", eps=[eps, 0.0])
        return found[0], [f for f in flags if f.name == "unfinished-search"]

    got, (flag,) = flags(90)
    whole = Auto(steps=5, queries=40).most_passes(5)
    assert flag.detail == (
        "auto (linf, eps 0.004) did not finish: its budget left out fab-t and square, so more may be broken; "
        f"--budget {whole} finishes it"
    )
    assert flag.ids == tuple(i for i, broken in zip(batch.ids, got.fooled.tolist(), strict=True) if not broken)
    assert flags(whole)[1] == []
    _, (flag,) = flags(8)
    assert "its budget left out a part of apgd-ce, apgd-t, fab-t and square, so" in flag.detail
    broken, none = flags(90, eps=0.5)  # nothing is left for what was left out
    assert bool(broken.fooled.all())
    assert none == []


@pytest.mark.parametrize("samples", [0, 400])
def test_seconds_are_shared_by_all_samples_of_the_run(make, monkeypatch, samples):
    look = inspect_model(context(make, "fine"))
    monkeypatch.setattr(auto_module, "inspect_model", lambda _: look)
    affordable = sum(APGD().cost(5)) + 0.5
    seconds = affordable * look.seconds_a_pass * (samples or 20)  # outside a run: those that are attacked
    assert [s.skip for s in phases(make, "fine", samples=samples, seconds=seconds)[0].values()] == [
        False, True, True, True,
    ]  # fmt: skip
    assert phases(make, "fine", samples=samples, seconds=0.9 * seconds)[0]["apgd-ce"].search.steps < 100


# What it reaches.


@pytest.mark.parametrize(("kind", "eps"), [("fine", 0.1), ("rounded", 0.3), ("cold", 0.1), ("box", 0.1)])
def test_it_breaks_what_it_can_see_through(make, kind, eps):
    net = model(make, kind)
    batch = make.batch(net, make.images(12, 1, 8, 8))
    (got,), _ = Auto(steps=10, queries=100).attack(Oracle(net), batch, norm="linf", eps=[eps])
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
    assert int(got.fooled.sum()) >= 11


def test_the_choice_is_the_runs_not_the_parts(make):
    """The reference decides, whoever is attacked: all parts of a run have the same stages."""
    net = model(make, "cold")
    batch = make.batch(net, make.images(20, 1, 8, 8))
    (part,), _ = Auto(steps=3, queries=5, passes=400).attack(
        Oracle(net), batch[slice(7, 8)], norm="linf", eps=[0.001], reference=batch
    )
    assert [t.attack for t in part.phases] == ["apgd-dlr", "apgd-t", "square", "hop-skip-jump"]


@pytest.mark.parametrize(
    ("values", "words"),
    [({"passes": -1}, "passes=-1"), ({"seconds": -2.0}, "seconds=-2.0"), ({"mode": "x"}, "mode='x'")],
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^auto: .*{words}"):
        Auto(**values)


def test_the_most_passes_are_the_budget_or_the_ensembles():
    """APGD, APGD-T for 9 targets, FAB-T for 9 targets (two passes there and one back a look), and Square."""
    ce, targeted = 2 * (10 + 3), 9 * 2 * (10 + 3)
    fab = 3 * (9 * 10 + 1)
    assert Auto(steps=10, queries=40).most_passes(10) == ce + targeted + fab + 41
    assert Auto(passes=7).most_passes(10) == 7


def test_a_pass_of_one_image_is_timed(make):
    look = inspect_model(context(make, "fine"))
    assert 0 < look.seconds_a_pass < 0.5


def test_a_finish_and_a_search_past_alarms_start_elsewhere(make):
    got, _ = phases(make, "fine", mode="fast")
    assert (got["finish"].restart, got["finish"].search) == (1, APGD(loss="dlr-targeted", steps=20))
    fine = model(make, "fine")
    guarded = Classifier(Doubtful(fine.net, 0.05), reject=5).eval()
    found, _ = Auto().phases(
        AttackContext(Oracle(guarded), "linf", 0.1, 6, 0, make.batch(fine, make.images(8, 1, 8, 8)))
    )
    assert {p.name: p.restart for p in found} == {"apgd-ce": 0, "apgd-far": 1, "apgd-t": 0, "fab-t": 0, "square": 0}
