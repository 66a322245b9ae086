import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from unshaken.core.errors import ParameterError
from unshaken.measure import compare, compare_by_id, holm, paired_difference, simultaneous
from unshaken.measure.statistics.paired import mcnemar, newcombe, share_difference, tango

SUBNORMAL = sys.float_info.min / 2 > 0
"""Whether this process has them: a processor may be set to flush them to 0."""
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def columns(both, lost, gained, neither):
    """Correctness of baseline and candidate with these counts."""
    before = [1] * both + [1] * lost + [0] * gained + [0] * neither
    after = [1] * both + [0] * lost + [1] * gained + [0] * neither
    return before, after


def test_mcnemar_by_hand():
    # 1 lost, 5 gained: 2 (C(6,0) + C(6,1)) / 2^6 = 14/64; 3 and 3: twice more than a half, cut to 1; 0 and 5: 2/32
    assert mcnemar(1, 5) == pytest.approx(14 / 64)
    assert mcnemar(3, 3) == 1
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(0, 0) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_two_sided_binomial_test_and_symmetric(lost, gained):
    if lost + gained:
        assert mcnemar(lost, gained) == pytest.approx(stats.binomtest(lost, lost + gained).pvalue, rel=1e-9, abs=0)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_negative_counts_are_refused():
    with pytest.raises(ParameterError, match="lost -1"):
        mcnemar(-1, 2)


def test_compare_counts_the_four_kinds_of_pairs():
    c = compare(*columns(both=50, lost=4, gained=16, neither=30))
    assert (c.n, c.both_right, c.lost, c.gained, c.both_wrong) == (100, 50, 4, 16, 30)
    assert c.difference.value == pytest.approx(0.12)  # accuracy 66% after 54%
    assert c.p_value == c.p_adjusted == pytest.approx(stats.binomtest(4, 20).pvalue)
    assert c.improved()
    assert not c.regressed()


def test_the_difference_s_interval_has_the_width_that_theory_gives():
    # variance of the difference: (lost + gained - (gained - lost)^2 / n) / n^2
    n, lost, gained = 2000, 100, 160
    figure = compare(*columns(1000, lost, gained, n - 1000 - lost - gained)).difference
    sd = np.sqrt(lost + gained - (gained - lost) ** 2 / n) / n
    assert figure.low == pytest.approx(0.03 - 1.96 * sd, abs=0.001)
    assert figure.high == pytest.approx(0.03 + 1.96 * sd, abs=0.001)


def test_no_discordant_pair_does_not_mean_certainty():
    # 0 discordant of 10: their share is below 1 - 0.025^(1/10) = 0.3085 at 95%
    c = compare(*columns(both=6, lost=0, gained=0, neither=4))
    assert (c.difference.low, c.difference.high) == pytest.approx((-0.3085, 0.3085), abs=1e-4)
    assert c.difference.interval == "clopper-pearson 95% (no discordant pair)"
    assert c.p_value == 1


@settings(deadline=None, max_examples=40)
@given(PAIRS, st.randoms())
def test_compare_is_antisymmetric_and_blind_to_order(pairs, random):
    there, back = compare(*zip(*pairs, strict=True)), compare(*zip(*[p[::-1] for p in pairs], strict=True))
    assert (there.lost, there.gained, there.p_value) == (back.gained, back.lost, back.p_value)
    assert there.difference.value == -back.difference.value
    assert there.difference.low <= there.difference.value <= there.difference.high
    random.shuffle(pairs)
    assert compare(*zip(*pairs, strict=True)) == there


def test_compare_by_id_joins_before_it_compares():
    c = compare_by_id(["a", "b", "c"], [1, 1, 0], ["c", "a", "b"], [0, 1, 0])  # only b is lost
    assert (c.both_right, c.lost, c.gained, c.both_wrong) == (1, 1, 0, 1)


def test_compare_by_id_counts_missing_ids_or_leaves_them_out_when_asked():
    with pytest.raises(
        ParameterError, match="1 of 3 ids are missing on the second side, 0 of 2 on the first, such as 'b'"
    ):
        compare_by_id(["a", "b", "c"], [1, 1, 0], ["a", "c"], [0, 0])
    c = compare_by_id(["a", "b", "c"], [1, 1, 0], ["a", "c"], [0, 0], complete_only=True)
    assert (c.n, c.lost) == (2, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare([1, 0], [1]), "baseline 2, candidate 1"),
        (lambda: compare([], []), "empty"),
        (lambda: compare([1], [np.nan]), "missing"),
        (lambda: compare([1, 0], [0, 1], level=2), "level"),
        (lambda: compare_by_id(["a"], [1, 0], ["a"], [1]), "1 ids came with 2 values"),
        (lambda: paired_difference([1.0], [np.inf]), "must lie in"),
        (lambda: paired_difference([1.0], [1.0, 2.0]), "lengths"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def test_paired_difference_has_the_interval_of_the_standard_error():
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    b = a + rng.normal(0.3, 0.5, size=400)  # a itself varies twice as much, which pairing takes away
    figure, error = paired_difference(a, b, resamples=10_000), (b - a).std() / 20
    assert figure.value == pytest.approx((b - a).mean())
    assert (figure.low, figure.high) == pytest.approx(figure.value + 1.96 * error * np.array([-1, 1]), abs=0.003)
    order = rng.permutation(400)
    assert paired_difference(a[order], b[order], resamples=10_000) == figure


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04; running maximum .02 .03 .06 .06, in the given order
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1, allow_subnormal=SUBNORMAL), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p):
    p = np.array(p)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-15).all()


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ParameterError, match="p_values"):
        holm([0.5, 1.5])


def test_a_family_has_intervals_that_hold_together():
    # lost 8 of 8: p = 2/2^8 = .0078125, times 3 = .0234; lost 6 of 6: p = 2/2^6 = .03125, times 3 = .09375; equal: 1
    family = {"pgd": (20, 8, 0, 0), "fog": (20, 6, 0, 0), "snow": (20, 0, 0, 0)}
    together = simultaneous({name: compare(*columns(*c)) for name, c in family.items()})
    assert [c.p_adjusted for c in together.values()] == pytest.approx([0.0234375, 0.09375, 1])
    assert [c.regressed() for c in together.values()] == [True, False, False]
    pgd, fog, snow = (c.difference for c in together.values())
    assert (pgd.low, pgd.high) == tango(8, 0, 28, level=1 - 0.05 / 3)
    assert (fog.low, fog.high) == (tango(6, 0, 26, level=1 - 0.05 / 3)[0], 0.0)  # the exact test shows nothing
    assert snow.low < 0 < snow.high
    assert pgd.interval == "tango 95% for 3 differences together"
    assert together["fog"].p_value == pytest.approx(0.03125)
    assert {c.family for c in together.values()} == {3}
    assert simultaneous({}) == {}


@pytest.mark.parametrize("family", [1, 10])
def test_all_intervals_of_a_family_hold_together_with_their_level(family):
    """By enumeration of all outcomes of 16 pairs, each interval misses in 0.05 / M of all cases, or nearly so.

    So all M hold together in 0.95 of them, whatever the dependence. Where the two sides are alike this is exact, as
    McNemar's test is; elsewhere Tango's interval is an approximation, which covers 0.93 and more.
    """
    n, found = 16, {}
    for lost in range(n + 1):
        for gained in range(n + 1 - lost):
            one = compare(*columns(n - lost - gained, lost, gained, 0))
            found[lost, gained] = simultaneous(dict.fromkeys(range(family), one))[0]
    counts = np.array([(*key, n - sum(key)) for key in found])
    low, high = np.array([(c.difference.low, c.difference.high) for c in found.values()]).T
    for discordant in (0.05, 0.2, 0.5, 0.8):
        for share in (0.0, 0.2, 0.5, 0.8):
            lost, gained = discordant * (1 - share), discordant * share
            chance = stats.multinomial.pmf(counts, n, [lost, gained, 1 - discordant])
            missed = chance[(low > gained - lost + 1e-12) | (high < gained - lost - 1e-12)].sum()
            assert missed <= 0.05 / family * (1.0 if share == 0.5 else 1.4 + 1e-2)
    shown = [c for c in found.values() if c.regressed() or c.improved()]
    assert shown == [c for c in found.values() if c.p_adjusted < 0.05]
    assert all(c.p_value < 0.05 / family for c in shown)
    assert len(shown) > 20


Z = stats.norm.ppf(0.975)


def test_tango_s_interval_of_a_published_example():
    # Cavo et al. 2012 in Fagerland, Lydersen & Laake 2017, chapter 8: 59 and 80 pairs alike, 6 and 16 discordant
    assert tango(16, 6, 161) == pytest.approx((-0.1240, -0.0054), abs=5e-5)


@pytest.mark.parametrize(("lost", "gained", "n"), [(3, 1, 20), (0, 1, 10), (16, 6, 161), (0, 4, 4), (7, 0, 9)])
def test_the_ends_of_tango_s_interval_solve_the_score_equation(lost, gained, n):
    def score(d):
        """With the likeliest shares whose difference is d, found by search and not by the closed form."""

        def cost(q):  # share of lost samples; q + d of gained ones
            p = np.array([q, q + d, 1 - 2 * q - d])
            counts = np.array([lost, gained, n - lost - gained])
            return -(counts * np.log(np.maximum(p, 1e-300))).sum()

        ends = max(0.0, -d), (1 - d) / 2
        q = optimize.minimize_scalar(cost, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        return (gained - lost - n * d) / np.sqrt(n * (2 * q + d - d * d))

    for end, z in zip(tango(lost, gained, n), (Z, -Z), strict=True):
        if abs(end) < 1:
            assert score(end) == pytest.approx(z, abs=1e-3)


def test_tango_s_interval_at_its_ends():
    assert tango(0, 0, 10) == pytest.approx((-(Z**2) / (10 + Z**2), Z**2 / (10 + Z**2)))
    assert tango(5, 0, 5)[0] == -1
    assert tango(0, 5, 5)[1] == 1
    low, high = tango(2, 7, 30)
    assert tango(7, 2, 30) == pytest.approx((-high, -low))
    assert tango(0, 1, 1) == pytest.approx((tango(1, 0, 1)[1] * -1, 1))


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ParameterError, match="samples"):
        share_difference(*counts)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        ((56, 48), (70, 80), 0.0524, 0.3339),
        ((9, 3), (10, 10), 0.1705, 0.8090),
        ((5, 0), (56, 29), -0.0381, 0.1926),
        ((0, 0), (10, 20), -0.1611, 0.2775),
        ((10, 0), (10, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_s_interval_of_his_own_examples(successes, n, low, high):
    figure = newcombe(successes, n)  # Newcombe 1998, table II, method 10
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=5e-5)


def test_newcombe_refuses_counts_that_cannot_be():
    with pytest.raises(ParameterError, match="successes"):
        newcombe((3, 1), (2, 2))


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize(("p_lost", "p_gained"), [(0, 0.01), (0.02, 0.03), (0, 0.1), (0.1, 0.3), (0.05, 0.9)])
def test_a_paired_difference_of_shares_covers_also_where_few_samples_differ(n, p_lost, p_gained):
    covered = 0.0
    for lost in range(n + 1):
        for gained in range(n - lost + 1):
            p = stats.multinomial.pmf([lost, gained, n - lost - gained], n, [p_lost, p_gained, 1 - p_lost - p_gained])
            if p > 1e-7:
                figure = share_difference(lost, gained, n)
                covered += p * (figure.low <= p_gained - p_lost <= figure.high)
    assert covered > 0.93  # summed over all outcomes: exact


@pytest.mark.parametrize(("p", "q"), [(1.0, 0.95), (0.99, 0.8), (0.5, 0.5), (1.0, 1.0)])
def test_a_difference_of_independent_shares_covers_also_at_the_ends(p, q):
    n, m = 20, 10
    covered = 0.0
    for k in range(n + 1):
        for j in range(m + 1):
            chance = stats.binom.pmf(k, n, p) * stats.binom.pmf(j, m, q)
            if chance > 1e-7:
                figure = newcombe((k, j), (n, m))
                covered += chance * (figure.low <= p - q <= figure.high)
    assert covered > 0.92
