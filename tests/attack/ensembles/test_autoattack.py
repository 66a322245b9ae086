"""AutoAttack: its ensembles, its union, its fast mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.covering import covering
from unshaken.attack.black_box.square import Square
from unshaken.attack.engine.attack_run import AttackContext
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.minimal_norm.fab import FAB
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import ParameterError


def phases(net, norm="linf", classes=10, draws=1, **options):
    context = AttackContext(Oracle(net, draws=draws), norm, 0.1, classes, seed=0)
    found, flags = AutoAttack(**options).phases(context)
    assert flags == []
    return {s.name: s for s in found}


def balanced(make, classes, **options):
    """A net that meets several classes, none of them by far."""
    net = make.net(classes=classes, **options)
    noise = make.images(64, options.get("channels", 1), 8, 8, seed=5)
    with torch.no_grad():
        net.net.head.bias -= net(noise).mean(0)
    return net


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_standard_ensemble(make, norm):
    got = phases(make.net(), norm)
    assert {k: s.search for k, s in got.items()} == {
        "apgd-ce": APGD(steps=100, loss="ce", restarts=1),
        "apgd-t": APGD(steps=100, loss="dlr-targeted", targets=9),
        "fab-t": FAB(targeted=True, targets=9, steps=100, restarts=1),
        "square": Square(queries=5000),
    }
    assert list(got) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert {(s.precision, s.draws, s.skip, s.restart) for s in got.values()} == {(None, None, False, 0)}
    assert all(s.why for s in got.values())


def test_the_standard_ensemble_of_l1(make):
    got = phases(make.net(), "l1")
    assert list(got) == ["apgd-ce", *(f"apgd-ce+{r}" for r in range(2, 6)), "apgd-t", "fab-t", "square"]
    assert [got[n].restart for n in list(got)[:5]] == [0, 1, 2, 3, 4]
    assert got["apgd-t"].search.targets == 5
    assert got["apgd-ce"].search.shrink is True


def test_the_ensemble_plus(make):
    got = phases(make.net(), version="plus")
    ce, dlr = ([n, *(f"{n}+{r}" for r in range(2, 6))] for n in ("apgd-ce", "apgd-dlr"))
    assert list(got) == [*ce, *dlr, "fab", "square", "apgd-t", "fab-t"]
    assert got["fab"].search == FAB(restarts=5, steps=100, candidates=9)
    assert got["apgd-dlr"].search.loss == "dlr"


@pytest.mark.parametrize(("draws", "expected"), [(1, 20), (7, 7)])
def test_the_ensemble_rand_averages_passes(make, draws, expected):
    got = phases(make.net(), version="rand", draws=draws)
    assert [(n, s.search.loss, s.draws) for n, s in got.items()] == [
        ("apgd-ce", "ce", expected),
        ("apgd-dlr", "dlr", expected),
    ]
    assert f"{expected} passes" in got["apgd-ce"].why


@pytest.mark.parametrize(
    ("classes", "targeted", "plain", "words"),
    [
        (2, "margin-targeted", "margin", "here are 2"),
        (3, "margin-targeted", "dlr", "here are 3"),
        (4, "dlr-targeted", "dlr", ""),
    ],
)
def test_few_classes_take_the_difference_of_logits(make, classes, targeted, plain, words):
    got = phases(make.net(), classes=classes, version="plus")
    assert (got["apgd-t"].search.loss, got["apgd-dlr"].search.loss) == (targeted, plain)
    assert words in got["apgd-t"].why
    assert phases(make.net(), classes=classes, version="rand")["apgd-dlr"].search.loss == plain


def test_the_fast_mode_searches_in_bf16_and_finishes_in_float32(make):
    got = phases(make.net(), mode="fast", finish=7)
    assert list(got) == ["apgd-ce", "apgd-t", "fab-t", "square", "finish"]
    assert [s.precision for s in got.values()] == ["bf16"] * 4 + [None]
    assert got["finish"].search == APGD(loss="dlr-targeted", steps=7, targets=3)
    assert got["fab-t"].search == FAB(targeted=True, patience=20)
    assert got["apgd-t"].search == APGD(loss="dlr-targeted", give_up=True)
    assert got["square"].search == Square(give_up=True)
    assert not phases(make.net())["apgd-t"].search.give_up
    assert "7 steps" in got["finish"].why


CUT = {"steps": 5, "queries": 30, "targets": 2}


@covering("norm, eps, classes", [("linf", 0.006), ("l2", 0.04), ("l1", 0.3)], [[2], [3], [5]])
def test_each_attack_meets_those_that_still_stand_and_the_union_counts(make, norm, eps, classes):
    net = balanced(make, classes)
    batch = make.batch(net, make.images(30, 1, 8, 8))
    (got,), _ = AutoAttack(**CUT).attack(Oracle(net), batch, norm=norm, eps=[eps])
    assert 0 < int(got.fooled.sum()) < 30
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
    standing = 30
    for phase in got.phases:
        assert phase.standing == standing
        standing -= phase.broken
    assert standing == int((~got.fooled).sum())
    assert sum(t.forwards for t in got.phases) <= int(got.forwards.sum())
    assert [t.gradients for t in got.phases][-1] is False
    names = got.breakers()
    for phase in got.phases:
        assert names.count(phase.attack) == phase.broken


def test_the_union_holds_what_its_first_attack_alone_breaks(make):
    net = balanced(make, 5)
    batch = make.batch(net, make.images(30, 1, 8, 8))
    (alone,), _ = APGD(steps=5).attack(Oracle(net), batch, norm="l2", eps=[0.05])
    (both,), _ = AutoAttack(**CUT).attack(Oracle(net), batch, norm="l2", eps=[0.05])
    assert 0 < int(alone.fooled.sum()) < 30
    assert torch.equal(both.phase == 0, alone.fooled)
    assert torch.equal(both.images[alone.fooled], alone.images[alone.fooled])
    assert both.phases[0].broken == int(alone.fooled.sum())


def test_the_fast_mode_counts_only_what_fools_in_float32(make):
    net = balanced(make, 5)
    batch = make.batch(net, make.images(30, 1, 8, 8))
    strict, fast = (
        AutoAttack(mode=mode, finish=5, **CUT).attack(Oracle(net), batch, norm="linf", eps=[0.006])[0][0]
        for mode in ("strict", "fast")
    )
    assert torch.equal(net(fast.images).argmax(1) != batch.labels, fast.fooled)
    assert abs(int(fast.fooled.sum()) - int(strict.fooled.sum())) <= 2
    assert fast.phases[-1].attack == "finish"
    assert fast.phases[-1].standing > 0


def test_a_thousand_classes(make):
    net = make.net(classes=1000, channels=3)
    batch = make.batch(net, make.images(4, 3, 8, 12))
    (got,), _ = AutoAttack(**CUT).attack(Oracle(net), batch, norm="linf", eps=[0.1])
    assert torch.equal(net(got.images).argmax(1) != batch.labels, got.fooled)
    assert int(got.fooled.sum()) >= 2


class Unsure(nn.Module):
    """The margin (mean pixel - 0.45) and noise of about a third of what an attack of 0.1 can change."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        m = x.flatten(1).mean(1) - 0.45 + 0.03 * torch.randn(len(x), generator=self.generator)
        return torch.stack([m, -m, m * 0 - 1], 1)


@pytest.mark.parametrize(("eps", "fooled"), [(0.01, False), (0.1, True)])
def test_the_ensemble_rand_breaks_by_most_draws_and_not_by_luck(make, eps, fooled):
    net = Classifier(Unsure()).eval()
    batch = make.batch(net, torch.full((8, 1, 4, 4), 0.5))
    batch = type(batch)(batch.images, torch.zeros(8, dtype=torch.int64), batch.ids)
    clean = torch.tensor([[1.0, -1.0, -1.0]]).expand(8, 3)
    attack = AutoAttack(version="rand", steps=4)
    (got,), _ = attack.attack(Oracle(net), batch, norm="linf", eps=[eps], clean=clean)
    assert got.fooled.tolist() == [fooled] * 8


@pytest.mark.parametrize(
    ("values", "words"), [({"version": "best"}, "version='best'"), ({"mode": "quick"}, "mode='quick'")]
)
def test_bad_parameters_are_named(values, words):
    with pytest.raises(ParameterError, match=f"^autoattack: .*{words}"):
        AutoAttack(**values)


@pytest.mark.parametrize(("norm", "patience"), [("linf", 20), ("l2", 30), ("l1", 30)])
def test_in_the_fast_mode_patience_goes_by_the_norm(make, norm, patience):
    got = phases(make.net(), norm, mode="fast")
    assert got["fab-t"].search.patience == patience
    assert got["finish"].restart == 1
    assert phases(make.net(), mode="fast", targets=2)["finish"].search.targets == 2


def test_the_most_passes_are_those_of_all_attacks():
    ce, fab_t = 2 * (10 + 3), 3 * (9 * 10 + 1)
    given = {"steps": 10, "queries": 40}
    assert AutoAttack(**given).most_passes(10) == ce + 9 * ce + fab_t + 41
    assert AutoAttack(version="rand", **given).most_passes(10) == 2 * 20 * ce
    fab = (2 + 9) * (5 * 10 + 1)  # five starts, nine classes
    assert AutoAttack(version="plus", **given).most_passes(10) == 5 * ce + 5 * ce + fab + 41 + 9 * ce + fab_t
