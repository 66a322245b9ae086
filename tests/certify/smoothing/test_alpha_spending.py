"""The sequential test: exact by enumeration, sound in simulation, and sharper than splitting alpha evenly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import betabinom, binom, norm

from unshaken.certify.smoothing.alpha_spending import boundaries, chance_to_end_within, look_times


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
