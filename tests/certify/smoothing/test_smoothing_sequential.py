"""The ladder on samples whose shares are known: what it costs, what it finds, what it never says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import betabinom, binom, norm

from unshaken.certify.smoothing.smoothing_sequential import (
    Ladder,
    SequentialSmoothing,
    boundaries,
    chance_to_end_within,
    look_times,
)
from unshaken.certify.smoothing.votes import ASK, Tally, lower_bound
from unshaken.core.errors import ParameterError


def declared(paths, looks, few):
    """Bool a path: at some look it has few enough failures."""
    failures = np.cumsum(paths, 1)[:, [n - 1 for n in looks]]
    return (failures <= few).any(1)


@pytest.mark.parametrize("p", [0.5, 0.7])
def test_the_probability_of_declaring_is_what_was_spent_by_enumeration(p):
    looks, spent = [4, 8, 12], [0.02, 0.05, 0.1]
    few = boundaries(p, looks, spent)
    paths = np.array(list(itertools.product((0, 1), repeat=12)))  # 1 is a failure
    weight = np.prod(np.where(paths == 1, 1 - p, p), axis=1)
    for i, allowed in enumerate(spent):
        used = weight[declared(paths, looks[: i + 1], few[: i + 1])].sum()
        more = few[: i + 1].copy()
        more[i] += 1
        assert used <= allowed < weight[declared(paths, looks[: i + 1], more)].sum()


def test_one_look_is_the_exact_binomial_test():
    for p, n, alpha in ((0.5, 100, 0.001), (0.9, 5000, 0.01), (0.99865, 100_000, 0.001)):
        few = int(boundaries(p, [n], [alpha])[0])
        assert binom.cdf(few, n, 1 - p) <= alpha < binom.cdf(few + 1, n, 1 - p)


@pytest.mark.parametrize("z", [0.0, 1.0, 2.0, 3.0])
def test_the_last_look_is_almost_as_sharp_as_one_look_alone(z):
    p, looks = float(norm.cdf(z)), look_times(100_000, 256)
    spent = 0.001 * np.sqrt(np.array(looks) / looks[-1])
    last, alone = boundaries(p, looks, spent)[-1], boundaries(p, [100_000], [0.001])[0]
    deviation = np.sqrt(100_000 * p * (1 - p))
    assert 0 <= alone - last < 0.75 * deviation


def test_all_successes_are_declared_early():
    looks = look_times(100_000, 256)
    few = boundaries(float(norm.cdf(3)), looks, 0.001 * np.sqrt(np.array(looks) / looks[-1]))
    assert looks[int(np.flatnonzero(few >= 0)[0])] < 7_000


@pytest.mark.parametrize("p", [0.5, 0.8413, 0.97725, 0.99865])
def test_false_declarations_stay_within_alpha_in_simulation(p):
    alpha, looks, runs = 0.01, look_times(20_000, 256), 10_000
    few = boundaries(p, looks, alpha * np.sqrt(np.array(looks) / looks[-1]))
    rng = np.random.default_rng(5)
    steps = np.diff([0, *looks])
    failures = np.stack([rng.binomial(s, 1 - p, runs) for s in steps], 1).cumsum(1)
    rate = (failures <= few).any(1).mean()
    assert rate <= alpha + 3 * np.sqrt(alpha / runs)
    assert rate >= alpha / 3  # nor is it wasted
    # The shortcut: the plain exact test at full alpha at every look.
    each = np.array([boundaries(p, [n], [alpha])[0] for n in looks])
    assert (failures <= each).any(1).mean() > 2 * alpha


def test_look_times_are_multiples_that_grow_and_end_at_n():
    times = look_times(100_000, 256)
    assert times[0] == 256
    assert times[-1] == 100_000
    assert all(t % 256 == 0 for t in times[:-1])
    gaps = np.diff(times)
    assert (gaps[:-1] >= 256).all()
    assert len(times) < 120
    assert look_times(100, 256) == [100]


def test_the_chance_of_ending_well_is_that_of_simulation():
    rng = np.random.default_rng(0)
    failures, trials, most, n = 30, 4000, 300, 40_000
    share = rng.beta(failures + 0.5, trials - failures + 0.5, 200_000)
    simulated = (failures + rng.binomial(n - trials, share) <= most).mean()
    found = chance_to_end_within(np.array([failures]), np.array([trials]), np.array([most]), n)
    assert float(found[0]) == pytest.approx(simulated, abs=0.04)


@pytest.mark.parametrize(("failures", "trials", "most", "n"), [(2, 12, 8, 40), (3, 40, 12, 120), (9, 30, 20, 60)])
def test_the_chance_of_ending_well_is_near_the_exact_one_for_few_trials_too(failures, trials, most, n):
    exact = betabinom(n - trials, failures + 0.5, trials - failures + 0.5).cdf(most - failures)
    found = chance_to_end_within(np.array([failures]), np.array([trials]), np.array([most]), n)
    assert float(found[0]) == pytest.approx(float(exact), abs=0.06)


def test_nothing_left_to_come_decides_by_the_failures():
    found = chance_to_end_within(np.array([3, 4]), np.array([10, 10]), np.array([3, 3]), 10)
    assert found.tolist() == pytest.approx([1.0, 0.0])


def test_looks_are_a_twentieth_apart_or_a_step():
    times = look_times(20_000, 100)
    assert times[:21] == list(range(100, 2200, 100))
    assert times[-1] == 20_000
    later = [t for t in times[:-1] if t >= 4_000]
    for before, after in itertools.pairwise(later):
        assert after == 100 * round(before * 1.05 / 100)


STEPS = tuple(float(ndtr(z / 2)) for z in range(7))


def climb(shares, n=100_000, alpha=0.001, give_up=0.035, seed=0):
    """Levels passed and votes drawn by samples of these shares, by the rule that the certifier uses."""
    rule, rng = Ladder(STEPS, n, alpha, give_up), np.random.default_rng(seed)
    count = len(shares)
    hits, drawn = np.zeros(count, np.int64), np.zeros(count, np.int64)
    level, going = torch.zeros(count, dtype=torch.int64), np.arange(count)
    while len(going):
        now = np.minimum(ASK, n - drawn[going])
        hits[going] += rng.binomial(now, shares[going])
        drawn[going] += now
        ours, theirs = torch.from_numpy(hits[going]), torch.from_numpy(drawn[going] - hits[going])
        first = torch.tensor([[1, 0]]).repeat(len(going), 1)
        first_level = level[going]
        votes = Tally(
            first, torch.stack([ours, theirs], 1), first_level, first_level > 9, torch.zeros_like(ours), ours.double()
        )
        level[going], decided = rule.decide(votes)
        going = going[~decided.numpy() & (drawn[going] < n)]
    return level.numpy(), drawn


@pytest.fixture(scope="module")
def mixed():
    """A thousand samples, from plainly wrong to hardly ever wrong: shares even in the normal quantile."""
    return ndtr(np.random.default_rng(1).uniform(-1, 4.5, 1000))


def test_a_tenth_of_the_votes_for_almost_the_same_curve(mixed):
    level, drawn = climb(mixed)
    hits = np.random.default_rng(2).binomial(100_000, mixed)
    bound = lower_bound(hits, 100_000, 0.001).numpy()
    for i, step in enumerate(STEPS):
        assert abs((level > i).mean() - (bound >= step).mean()) <= 0.008
    assert drawn.mean() < 10_000


def test_no_step_is_passed_that_is_not_true_but_by_chance(mixed):
    for seed in range(3):
        level, _ = climb(mixed, n=20_000, alpha=0.01, seed=seed)
        true = (mixed[:, None] > np.array(STEPS)).sum(1)
        assert (level > true).mean() <= 0.01 + 3 * np.sqrt(0.01 / 1000)


def test_who_is_never_given_up_draws_until_the_top_or_the_end(mixed):
    some = mixed[:100]
    patient, drawn = climb(some, n=5000, give_up=0.0)
    top = patient == len(STEPS)
    assert (drawn[~top] == 5000).all()
    quick, fewer = climb(some, n=5000, give_up=0.5)
    assert fewer.mean() < drawn.mean()
    assert quick.mean() <= patient.mean()


def test_a_sample_that_always_agrees_needs_few_more_votes_than_the_exact_bound():
    level, drawn = climb(np.ones(1))
    assert level.tolist() == [len(STEPS)]
    assert 5114 < drawn[0] < 7200  # log(0.001) / log(Phi(3)) = 5113.1


def test_give_up_is_a_probability():
    with pytest.raises(ParameterError, match="give_up=1"):
        SequentialSmoothing(give_up=1.0)


def by_step(share, n, alpha):
    """The fewest votes, all for one class, that show a share at a look: `share^drawn <= alpha sqrt(drawn / n)`."""
    drawn = ASK
    while share**drawn > alpha * np.sqrt(drawn / n):
        drawn += ASK
    return drawn


def test_the_steps_that_votes_for_one_class_pass_by_hand():
    """Of 10,000 votes at alpha .001: after 256, 512, 1,024 votes without a failure those shares that are that rare."""
    rule = Ladder(STEPS, 10_000, 0.001, 0.0)
    votes = {}
    for drawn in (ASK, 2 * ASK, 4 * ASK):
        hits = torch.tensor([drawn])
        none = torch.zeros(1, dtype=torch.int64)
        tally = Tally(torch.tensor([[1, 0]]), torch.stack([hits, 0 * hits], 1), none, none > 0, none, hits.double())
        level, decided = rule.decide(tally)
        votes[drawn] = int(level)
        assert not bool(decided)
    for drawn, level in votes.items():
        assert level == sum(by_step(s, 10_000, 0.001) <= drawn for s in STEPS), drawn
    assert votes[ASK] < votes[4 * ASK] < len(STEPS)


def test_between_looks_nothing_is_decided():
    rule = Ladder(STEPS, 10_000, 0.001, 0.9)
    hits, level = torch.tensor([100]), torch.tensor([2])
    votes = Tally(torch.tensor([[1, 0]]), torch.stack([hits, hits], 1), level, level > 9, 0 * level, hits.double())
    passed, decided = rule.decide(votes)
    assert (passed.tolist(), decided.tolist()) == ([2], [False])
    top = votes.replace(level=torch.tensor([len(STEPS)]))
    assert rule.decide(top)[1].tolist() == [True]


def test_the_radius_of_each_step_by_hand():
    """The first step shows that the class is right more often than not, at radius 0; without it nothing is shown."""
    none = torch.zeros(4, dtype=torch.int64)
    votes = torch.tensor([[9, 1]]).repeat(4, 1)
    tally = Tally(votes, votes, torch.arange(4), none == 0, none, none.double())
    found = SequentialSmoothing(sigma=0.5, radii=(0.25, 0.5)).conclude(tally)
    assert found.abstained.tolist() == [True, False, False, False]
    assert found.radius.tolist() == [0, 0, 0.25, 0.5]
