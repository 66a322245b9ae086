"""The ladder on samples whose shares are known: what it costs, what it finds, what it never says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from unshaken.certify.smoothing.smoothing_sequential import Ladder, SequentialSmoothing
from unshaken.certify.smoothing.votes import ASK, Tally, lower_bound
from unshaken.core.errors import ParameterError

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
