"""Cohen's certificate and the sequential one: by hand, sound in simulation, equal in a run, and resumable."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import norm
from torch import nn

from unshaken.certify.smoothing.smoothing import Smoothing, vote_logits
from unshaken.certify.smoothing.smoothing_sequential import Ladder, SequentialSmoothing
from unshaken.certify.smoothing.votes import Tally
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ParameterError
from unshaken.run.adapters import Line, conditions_of
from unshaken.run.adapters.certify import attacks_on, fields_for


def tally(hits, n, level=None, n0=100):
    """Two classes, class 0 the candidate."""
    hits = torch.as_tensor(hits)
    counts = torch.stack([hits, n - hits], 1)
    selected = torch.tensor([[n0, 0]]).repeat(len(hits), 1)
    levels = torch.zeros_like(hits) if level is None else torch.as_tensor(level)
    return Tally(selected, counts, levels, levels > 0, torch.zeros_like(hits), hits.double())


class Linear(nn.Module):
    """Two classes on either side of a plane: the exact radius is the distance from it."""

    def __init__(self, size, bias):
        super().__init__()
        self.register_buffer("w", torch.full((size,), 1 / math.sqrt(size)))
        self.bias = bias

    def forward(self, x):
        z = x.flatten(1) @ self.w - self.bias
        return torch.stack([-z, z], 1)


def linear(bias=0.5 * 4):
    return Oracle(Classifier(Linear(16, bias)).eval())


def at_distances(*distances):
    """Images of 4 x 4 pixels on class 1's side of the plane of `linear`, that far from it."""
    return torch.stack([torch.full((1, 4, 4), 0.5 + d / 4) for d in distances])


def named(images, labels=None):
    return Batch(images, labels, tuple(f"s{i}" for i in range(len(images))))


def test_radii_by_hand():
    found = Smoothing(sigma=0.25).conclude(tally([100_000, 50_300, 99_000], 100_000))
    assert found.radius[0] == pytest.approx(0.25 * 3.811457, abs=1e-6)
    assert found.abstained.tolist() == [False, True, False]
    assert float(found.radius[1]) == 0
    assert found.p_lower[2] == pytest.approx(0.98898, abs=1e-5)
    assert found.reasons[1] == "top class got 50300 of 100000 votes: not shown to be above one half at alpha=0.001"
    assert found.reasons[0] is None


def test_a_linear_classifier_is_certified_to_just_below_its_exact_radius():
    distances = [0.05, 0.2, 0.4, 0.6]
    found = Smoothing(sigma=0.25, n=20_000).certify(linear(), named(at_distances(*distances)))
    for radius, exact in zip(found.radius.tolist(), distances, strict=True):
        assert exact - 0.06 < radius <= exact
    assert found.prediction.tolist() == [1] * 4


def test_the_sequential_one_gives_the_largest_radius_of_the_grid_below():
    grid, distances = (0.1, 0.3, 0.5), [0.05, 0.2, 0.4, 0.7]
    method = SequentialSmoothing(sigma=0.25, n=20_000, radii=grid)
    found = method.certify(linear(), named(at_distances(*distances)))
    assert found.radius.tolist() == [0.0, 0.1, 0.3, 0.5]
    assert found.p_lower.tolist() == pytest.approx([ndtr(r / 0.25) for r in (0, 0.1, 0.3, 0.5)])
    spent = found.tally.drawn.tolist()
    assert spent[3] < 20_000 / 10
    assert found.abstained.tolist() == [False] * 4


def test_a_sample_on_the_border_abstains_and_says_why():
    found = SequentialSmoothing(sigma=0.25, n=3000).certify(linear(), named(at_distances(0.0)))
    assert bool(found.abstained[0])
    assert "not shown to be above one half" in found.reasons[0]


def test_a_label_that_plainly_loses_costs_the_first_votes_only():
    batch = named(at_distances(0.5, 0.5), torch.tensor([0, 1]))
    found = SequentialSmoothing(sigma=0.25, n=5000).certify(linear(), batch)
    assert found.tally.drawn.tolist()[0] == 0
    assert found.tally.drawn.tolist()[1] > 0
    assert found.abstained.tolist() == [True, False]
    assert found.reasons[0] == "the label plainly loses the first 100 votes: no more were drawn"
    kept = SequentialSmoothing(sigma=0.25, n=5000, skip_wrong=False).certify(linear(), batch)
    assert kept.radius[0] > 0


@pytest.mark.parametrize("z", [0.1, 0.6, 1.2, 2.3])
@pytest.mark.parametrize("gap", [0.0, -0.02, -0.3])
def test_false_certificates_stay_within_alpha(z, gap):
    """A true radius at, just below, and far below a step of the grid: how often is the step certified?"""
    runs, alpha, sigma = 10_000, 0.01, 1.0
    share, rng = float(ndtr(z + gap)), np.random.default_rng(3)
    step = float(ndtr(z))
    slack = 3 * math.sqrt(alpha / runs)
    fixed = Smoothing(sigma=sigma, n=2000, alpha=alpha)
    radius = fixed.conclude(tally(rng.binomial(2000, share, runs), 2000)).radius
    assert (radius > max(z + gap, 0)).double().mean() <= alpha + slack
    rule = Ladder((0.5, step), 2048, alpha, 0.0)
    hits, level = np.zeros(runs, int), torch.zeros(runs, dtype=torch.int64)
    for drawn in range(256, 2049, 256):
        hits += rng.binomial(256, share, runs)
        level, _ = rule.decide(tally(hits, drawn, level))
    assert (level == 2).double().mean() <= alpha + slack


def test_choosing_and_judging_by_the_same_votes_is_not_sound():
    """The shortcut that fresh votes are for: two classes of equal share, the luckier judged by the votes that chose."""
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.multinomial(12, [0.5, 0.5], 10_000))
    best = counts.max(1).values
    wrong = torch.from_numpy(np.where(best.numpy() == 12, 1.0, 0.0)).mean()
    assert wrong > 1.5 * 0.5**12  # the bound at alpha = 2^-12 declares 12 of 12; two classes double the chance
    fresh = torch.from_numpy(rng.binomial(12, 0.5, 10_000))
    assert (fresh == 12).double().mean() <= 0.5**12 + 3 * math.sqrt(0.5**12 / 10_000)


def test_the_smoothed_answer_is_the_majority():
    votes = tally([60, 20], 100)
    logits = vote_logits(votes.replace(selected=torch.zeros(2, 2, dtype=torch.int64)))
    assert logits.argmax(1).tolist() == [0, 1]
    assert logits.exp().sum(1).tolist() == pytest.approx([1, 1])
    assert logits[0, 0].exp().item() == pytest.approx(60.5 / 101)


def test_conditions_refuse_what_they_do_not_take():
    with pytest.raises(ParameterError, match=r"give radii=0\.25"):
        conditions_of(Smoothing(), Line("smoothing", eps=(0.5,), norm="l2"))
    with pytest.raises(ParameterError, match=r"give radii=0\.25"):
        conditions_of(Smoothing(), Line("smoothing", severities=(1,), norm="l2"))


def test_radii_come_as_text_and_sorted():
    assert SequentialSmoothing.from_text({"radii": "0.5+0.25"}).radii == (0.25, 0.5)
    assert SequentialSmoothing(sigma=0.5).grid == (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    assert SequentialSmoothing(sigma=0.5, radii=(0.3,)).grid == (0, 0.3)
    assert norm.cdf(1.5 / 0.5) == pytest.approx(0.99865, abs=1e-5)


def test_the_attack_beside_it_is_made_at_the_radii_above_0():
    beside = {"method": "smoothing-attack", "params": {"sigma": 0.5}}
    assert attacks_on(Smoothing(sigma=0.5), [0.0, 0.25]) == [{**beside, "eps": [0.25]}]
    assert attacks_on(Smoothing(sigma=0.5, radii=(0.0, 0.1)), []) == [{**beside, "eps": [0.1]}]
    assert fields_for(Smoothing(sigma=0.5), [0.2]) == {"params": {"sigma": 0.5, "radii": [0.2]}}
    assert fields_for(Smoothing(sigma=0.5), []) == {"params": {"sigma": 0.5}}


def test_a_label_loses_plainly_where_its_share_is_shown_to_be_below_one_half():
    """Of 100 first votes 34: at most .4998; 35: at most .5100. An unknown label does not lose."""
    votes = tally([0] * 4, 10).replace(selected=torch.tensor([[34, 66], [35, 65], [66, 34], [34, 66]]))
    found = Smoothing.plainly_wrong(votes, torch.tensor([0, 0, 1, -1]))
    assert found.tolist() == [True, False, True, False]


def test_an_answer_of_blank_votes_is_none():
    votes = tally([60, 60], 100).replace(blank=torch.tensor([0, 1]))
    assert vote_logits(votes).isnan().tolist() == [[False, False], [True, True]]


def test_the_seed_is_0_unless_given():
    given, method = named(at_distances(0.1)), Smoothing(sigma=0.25, n=200)
    counts = [method.certify(linear(), given, **seed).tally.counts for seed in ({}, {"seed": 0}, {"seed": 1})]
    assert torch.equal(counts[0], counts[1])
    assert not torch.equal(counts[0], counts[2])
