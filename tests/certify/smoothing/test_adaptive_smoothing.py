"""The certifier of mixtures: bounds, soundness by simulation, shortcuts that break it, and its rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import beta
from torch import nn

from unshaken.certify.smoothing.adaptive_smoothing import AdaptiveSmoothing, bounds, judge_mixture, votes_needed
from unshaken.certify.smoothing.mixture import MixtureNet, margin_needed, sharp_radius, smoothing_radius
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line as PlanLine
from unshaken.run.adapters import conditions_of, rows_of
from unshaken.run.adapters.certify import attacks_on, fields_for

REPEATS = 10_000
SIGMA = 0.5


def drawn(p, n0, n, seed=0):
    rng = np.random.default_rng(seed)
    return (torch.from_numpy(rng.multinomial(m, p, REPEATS)) for m in (n0, n))


def truth(p, g, weight, sigma):
    """The mixture's class, and the true radius of each class as the sharp rule has it for known probabilities."""
    mixture = (1 - weight) * g + weight * p
    radii = [
        min(sharp_radius(p[c], p[i], weight, sigma).item() for i in range(len(p)) if i != c) for c in range(len(p))
    ]
    return int(mixture.argmax()), torch.tensor(radii, dtype=torch.float64)


def wrong_rate(p, g, weight, alpha, *, n0=30, n=100):
    p, g = np.array(p), np.array(g)
    selected, counts = drawn(p, n0, n)
    found = judge_mixture(
        torch.from_numpy(g).expand(REPEATS, -1), selected, counts, weights=torch.full((REPEATS,), weight), least=weight,
        sigma=SIGMA, alpha=alpha,
    )  # fmt: skip
    best, radii = truth(p, g, weight, SIGMA)
    wrong = (found.radius > radii[found.prediction]) | (~found.abstained & (found.prediction != best))
    return float(wrong.double().mean()), found, radii[best]


FAR = ([0.9, 0.04, 0.03, 0.03], [0.1, 0.7, 0.1, 0.1], 0.8)
NEAR = ([0.63, 0.37, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], 0.8)  # a margin of 0.26, where 0.25 is needed
TIED = ([0.5, 0.3, 0.1, 0.1], [0.0, 0.9, 0.05, 0.05], 0.8)  # the mixture is 0.40 against 0.42
TWO = ([0.8, 0.2], [0.3, 0.7], 0.9)


@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize(("p", "g", "weight"), [FAR, NEAR, TIED, TWO], ids=["far", "near", "tied", "two"])
def test_certificates_are_false_no_more_often_than_they_say(p, g, weight, alpha):
    rate, found, best = wrong_rate(p, g, weight, alpha)
    assert rate <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / REPEATS)
    if (p, g, weight) in (FAR, TWO):
        assert float((found.radius > 0).double().mean()) > 0.9  # it certifies, and not by far too little
        assert float(found.radius.mean()) > 0.4 * float(best)
        assert rate > 0


def test_bounds_without_a_share_for_each_class_fail_too_often():
    """Near the border, with every bound at the whole level: the claims of one sample are wrong together too often."""
    p, alpha = np.array([0.4, 0.15, 0.15, 0.15, 0.15]), 0.3
    counts = torch.from_numpy(np.random.default_rng(1).multinomial(100, p, REPEATS))
    chosen = torch.zeros(REPEATS, 1, dtype=torch.int64)
    lower, upper = bounds(counts, chosen, alpha)
    truth_of = torch.from_numpy(p)
    wrong = (lower[:, 0] > truth_of[0]) | (upper[:, 1:] < truth_of[1:]).any(1)
    allowed = 3 * math.sqrt(alpha * (1 - alpha) / REPEATS)
    assert float(wrong.double().mean()) <= alpha + allowed
    k = counts.numpy()
    whole_low, whole_high = beta.ppf(alpha, k, 100 - k + 1), beta.ppf(1 - alpha, k + 1, 100 - k)
    careless = (whole_low[:, 0] > p[0]) | (whole_high[:, 1:] < p[1:]).any(1)
    assert careless.mean() > alpha + allowed


def test_the_votes_that_choose_must_not_judge():
    """Ten equal classes: the most voted one's bound is false far more often than stated when the same votes give it."""
    p = np.full(10, 0.1)
    selected, counts = drawn(p, 100, 100, seed=2)
    level = 0.1
    chosen = selected.argmax(1, keepdim=True)
    fresh = bounds(counts, chosen, level)[0]
    reused = bounds(selected, chosen, level)[0]
    assert float((fresh > 0.1).double().mean()) <= level
    assert float((reused > 0.1).double().mean()) > 2 * level


def test_bounds_by_hand():
    counts = torch.tensor([[90, 6, 4]])
    lower, upper = bounds(counts, torch.tensor([[0]]), 0.01)
    assert lower.item() == pytest.approx(beta.ppf(0.005, 90, 11))
    assert upper[0, 1].item() == pytest.approx(min(beta.ppf(1 - 0.0025, 7, 94), 1 - lower.item()))
    lower, upper = bounds(torch.tensor([[90, 10]]), torch.tensor([[0]]), 0.01)
    assert lower.item() == pytest.approx(beta.ppf(0.01, 90, 11))
    assert upper[0, 1].item() == pytest.approx(1 - lower.item())


@pytest.mark.parametrize(("weight", "classes"), [(0.8, 10), (0.6, 3), (1.0, 2), (0.95, 4)])
def test_votes_needed_is_the_first_that_certifies(weight, classes):
    few = votes_needed(weight, 0.001, classes)
    for n, certifies in ((few - 1, False), (few, True)):
        counts = torch.zeros(1, classes, dtype=torch.int64)
        counts[0, 0] = n
        lower, upper = bounds(counts, torch.zeros(1, 1, dtype=torch.int64), 0.001)
        assert bool(lower[0, 0] - upper[0, 1] > margin_needed(weight)) is certifies


def test_radii_rest_on_the_smallest_weight_and_the_class_on_the_images_own():
    counts, g = torch.tensor([[95, 5, 0]]), torch.tensor([[0.1, 0.9, 0.0]])
    given = {"sigma": 1.0, "alpha": 0.01}
    varying = judge_mixture(g, counts, counts, weights=torch.tensor([0.95]), least=0.6, **given)
    fixed = judge_mixture(g, counts, counts, weights=torch.tensor([0.6]), least=0.6, **given)
    wide = judge_mixture(g, counts, counts, weights=torch.tensor([0.95]), least=0.95, **given)
    assert varying.radius.item() == pytest.approx(fixed.radius.item())
    assert wide.radius.item() > 1.5 * varying.radius.item() > 0
    assert varying.logits.exp()[0].tolist() == pytest.approx([0.05 * 0.1 + 0.95**2, 0.05 * 0.9 + 0.95 * 0.05, 0.0])


def test_a_sure_class_without_a_margin_has_no_radius():
    """With g on its side the class is known at the image; elsewhere g may say anything."""
    found = judge_mixture(
        torch.tensor([[0.9, 0.1]]), torch.tensor([[8, 2]]), torch.tensor([[560, 440]]), weights=torch.tensor([0.8]),
        least=0.8, sigma=1.0, alpha=0.01,
    )  # fmt: skip
    assert (found.prediction.item(), found.abstained.item(), found.radius.item()) == (0, False, 0.0)
    against = judge_mixture(
        torch.tensor([[0.3, 0.7]]), torch.tensor([[8, 2]]), torch.tensor([[560, 440]]), weights=torch.tensor([0.8]),
        least=0.8, sigma=1.0, alpha=0.01,
    )  # fmt: skip
    assert against.abstained.item()


class Line(nn.Module):
    """Class 1 where the mean pixel is above 1/2: under noise of deviation s the mean has deviation s / sqrt(pixels)."""

    def forward(self, images):
        lean = images.flatten(1).mean(1) - 0.5
        return torch.stack([-lean, lean], 1) * 50


class FixedLogits(nn.Module):
    """Always the same logits."""

    def __init__(self, *logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images):
        return self.logits.expand(len(images), -1)


def certified(certifier, model, images, seed=0):
    model.eval()
    ids = tuple(f"s{i}" for i in range(len(images)))
    batch = Batch(images, torch.ones(len(images), dtype=torch.int64), ids)
    oracle = Oracle(model)
    with torch.no_grad():
        clean = model(images)
    conditions = conditions_of(certifier, PlanLine("a", norm="l2"))
    parts = rows_of(certifier, batch, conditions, Context(oracle, seed, clean))
    assert [p.table for p in parts] == ["certificates", "outcomes"]
    return parts[0].columns, parts[1].columns


def grey(*levels):
    return torch.stack([torch.full((1, 4, 4), v) for v in levels])


def test_on_a_half_space_the_radius_is_below_the_true_one_and_close():
    """16 pixels: the vote for class 1 at mean m is `Phi(4 (m - 1/2) / s)`, and a move by r shifts it by r / s."""
    sigma, weight = 0.25, 0.8
    images = grey(0.62, 0.7, 0.8)
    found, outcomes = certified(AdaptiveSmoothing(sigma=sigma, weight=weight, n=4000), Classifier(Line()), images)
    p = ndtr(4 * (images[:, 0, 0, 0].double().numpy() - 0.5) / sigma)
    true = sharp_radius(torch.from_numpy(p), torch.from_numpy(1 - p), weight, sigma).numpy()
    # two classes: the margin is lost where p = (1 + 1/4) / 2
    assert true == pytest.approx(4 * (images[:, 0, 0, 0].numpy() - 0.5) - sigma * 0.3186394, abs=1e-4)
    radius = np.array(found["radius"])
    assert (radius < true).all()
    assert (radius > 0.8 * true - 0.02)[:2].all()  # the third is as far as 4000 votes reach
    assert found["prediction"] == [1, 1, 1]
    assert found["alpha"] == [0.001] * 3
    assert found["norm"] == ["l2"] * 3
    assert found["samples"] == [4100] * 3
    assert outcomes["forwards"].tolist() == [4100] * 3
    assert outcomes["correct"].tolist() == [True] * 3


def test_the_accurate_model_decides_where_the_smoothed_one_is_unsure(monkeypatch):
    other = Classifier(FixedLogits(5.0, 0.0))
    monkeypatch.setattr("unshaken.certify.smoothing.adaptive_smoothing.second_model", lambda spec: other.eval())
    certifier = AdaptiveSmoothing(accurate="py:other.py:build", sigma=0.25, weight=0.8, n=500)
    found, outcomes = certified(certifier, Classifier(Line()), grey(0.505, 0.9))
    assert found["prediction"] == [0, 1]
    assert found["abstained"] == [False, False]
    assert found["radius"][0] == 0 < found["radius"][1]
    assert "not shown to exceed (1 - a) / a = 0.2500" in found["reason"][0]
    assert found["reason"][1] is None
    assert outcomes["forwards"].tolist() == [601, 601]


def test_other_classes_are_refused(monkeypatch):
    monkeypatch.setattr(
        "unshaken.certify.smoothing.adaptive_smoothing.second_model",
        lambda spec: Classifier(FixedLogits(1.0, 0.0, 0.0)),
    )
    with pytest.raises(ParameterError, match="has 3 classes, the model 2"):
        certified(AdaptiveSmoothing(accurate="demo", n=10), Classifier(Line()), grey(0.6))


def test_a_mixture_is_taken_apart():
    whole = Classifier(MixtureNet(Classifier(FixedLogits(0.0, 9.0)), Classifier(Line()), alpha=0.7, scale_accurate=2.0))
    found, _ = certified(AdaptiveSmoothing(sigma=0.25, n=1000, weight=0.99), whole, grey(0.8))
    alone, _ = certified(AdaptiveSmoothing(sigma=0.25, n=1000, weight=0.7), Classifier(Line()), grey(0.8))
    assert found["radius"][0] == pytest.approx(alone["radius"][0])
    with pytest.raises(ParameterError, match="is a mixture that has an accurate model"):
        certified(AdaptiveSmoothing(accurate="demo"), whole, grey(0.8))
    whole.net.alpha = 0.5
    with pytest.raises(ParameterError, match=r"may be 0\.5; certificates need"):
        certified(AdaptiveSmoothing(), whole, grey(0.8))


def test_too_few_votes_say_so():
    found, _ = certified(AdaptiveSmoothing(sigma=0.25, weight=0.6, n=20), Classifier(Line()), grey(0.9))
    assert found["radius"] == [0.0]
    assert f"takes {votes_needed(0.6, 0.001, 2)} votes, all for one class, not n=20" in found["reason"][0]


def test_radii_are_found_not_given():
    for given in ({"eps": (0.1,), "severities": ()}, {"eps": (), "severities": (1,)}):
        with pytest.raises(ParameterError, match="the radii are computed"):
            conditions_of(AdaptiveSmoothing(), PlanLine("a", norm="l2", **given))
    for wrong in ({"weight": 0.5}, {"weight": 1.1}, {"sigma": 0.0}, {"n": 0}, {"alpha": 0.6}, {"rule": "best"}):
        with pytest.raises(ParameterError, match=f"adaptive-smoothing: {next(iter(wrong))}="):
            AdaptiveSmoothing(**wrong)


def test_what_stands_beside_it_in_a_plan():
    method = AdaptiveSmoothing(sigma=0.3, weight=0.9, n=50, n0=7)
    assert method.most_passes(10) == 58
    assert fields_for(method, []) == {}
    with pytest.raises(ParameterError, match="omit --radius"):
        fields_for(method, [0.1])
    (beside,) = attacks_on(method, [])
    assert (beside["method"], beside["eps"]) == ("adaptive-smoothing-attack", [])
    assert beside["params"] == {"accurate": "", "weight": 0.9, "scale_accurate": 1.0, "sigma": 0.3}


def test_without_votes_nothing_is_claimed():
    none = torch.zeros(1, 3, dtype=torch.int64)
    found = judge_mixture(
        torch.tensor([[0.1, 0.2, 0.7]]), none, none, weights=torch.tensor([0.8]), least=0.8, sigma=1.0, alpha=0.01
    )
    assert bool(found.logits.isfinite().all())
    assert (found.abstained.tolist(), found.radius.tolist(), found.p_lower.tolist()) == ([True], [0.0], [0.0])


def test_the_published_rule_gives_the_published_radius():
    counts = torch.tensor([[990, 10]])
    given = {"weights": torch.tensor([0.8]), "least": 0.8, "sigma": 0.5, "alpha": 0.01}
    sharp, published = (
        judge_mixture(torch.tensor([[0.5, 0.5]]), counts, counts, rule=rule, **given) for rule in ("sharp", "published")
    )
    low = beta.ppf(0.01, 990, 11)
    assert published.radius.item() == pytest.approx(smoothing_radius(low, 1 - low, 0.8, 0.5).item())
    assert sharp.radius.item() == pytest.approx(sharp_radius(low, 1 - low, 0.8, 0.5).item())
    assert published.radius.item() < sharp.radius.item()


class Gate(MixtureNet):
    """The weight of h depends on the image."""

    varies = True

    @property
    def least_alpha(self):
        return 0.6

    def weights(self, images):
        return 0.6 + 0.3 * (images.flatten(1).mean(1) > 0.75)


def test_a_weight_that_depends_on_the_image_costs_a_pass_more():
    whole = Classifier(Gate(Classifier(FixedLogits(0.0, 9.0)), Classifier(Line()), alpha=0.6))
    found, outcomes = certified(AdaptiveSmoothing(sigma=0.25, n=500), whole, grey(0.7, 0.9))
    assert outcomes["forwards"].tolist() == [602, 602]  # the votes, the accurate model, and the weight
    assert found["samples"] == [600, 600]
