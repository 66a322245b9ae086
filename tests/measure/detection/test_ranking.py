import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import roc_auc_score, roc_curve

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.ranking import auroc, compare_auroc, mean_auroc, mean_difference, of_sets, roc_band

# confidences of the field's worked example (higher is more normal), and the abnormality scores that they mean
NORMAL = -np.array([0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.55, 0.40, 0.35, 0.20])
ABNORMAL = -np.array([0.75, 0.65, 0.50, 0.30, 0.10])
SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=25)  # seven values: many ties


def credit(normal, abnormal):
    """The n x m matrix of DeLong's kernel: 1 above, 1/2 tied, 0 below."""
    x, y = np.asarray(normal)[:, None], np.asarray(abnormal)[None]
    return (y > x) + 0.5 * (y == x)


def naive_variance(matrix):
    n, m = matrix.shape
    return matrix.mean(1).var(ddof=1) / n + matrix.mean(0).var(ddof=1) / m


def labelled(normal, abnormal):
    return np.r_[np.zeros(len(normal)), np.ones(len(abnormal))], np.r_[normal, abnormal]


def test_auroc_of_the_worked_example():
    figure = auroc(NORMAL, ABNORMAL)
    assert figure.value == pytest.approx(0.7, abs=1e-12)
    assert (figure.n, figure.interval) == (15, "delong 95%")


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_auroc_agrees_with_sklearn_and_with_all_pairs(normal, abnormal):
    figure = auroc(normal, abnormal)
    assert figure.value == pytest.approx(roc_auc_score(*labelled(normal, abnormal)), abs=1e-12)
    assert figure.value == pytest.approx(credit(normal, abnormal).mean(), abs=1e-12)
    assert 0 <= figure.low <= figure.value <= figure.high <= 1


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_negated_scores_or_swapped_groups_give_the_complement(normal, abnormal):
    there = auroc(normal, abnormal)
    for back in (auroc(-np.array(normal), -np.array(abnormal)), auroc(abnormal, normal)):
        assert (back.value, back.low, back.high) == pytest.approx((1 - there.value, 1 - there.high, 1 - there.low))
    assert auroc(normal, normal).value == pytest.approx(0.5)


def test_the_interval_is_delong_s_from_all_pairs_on_the_logit_scale():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 40).astype(float), rng.integers(3, 12, 25).astype(float)
    matrix, figure = credit(x, y), auroc(x, y)
    theta, variance = matrix.mean(), naive_variance(matrix)
    parts = matrix.mean(1).var(ddof=1) / 40, matrix.mean(0).var(ddof=1) / 25
    dof = variance**2 / (parts[0] ** 2 / 39 + parts[1] ** 2 / 24)
    half = stats.t.ppf(0.975, dof) * np.sqrt(variance) / (theta * (1 - theta))
    ends = special.expit(special.logit(theta) + half * np.array([-1, 1]))
    assert (figure.low, figure.high) == pytest.approx(ends, abs=1e-12)


def test_perfect_and_reversed_scores_have_the_exact_bound_of_independent_pairs():
    # 6 of 6 disjoint pairs are right: the lower end solves theta^6 = 0.025
    perfect, upside_down = auroc(range(6), range(10, 30)), auroc(range(10, 30), range(6))
    assert (perfect.value, perfect.low, perfect.high) == pytest.approx((1, 0.025 ** (1 / 6), 1))
    assert (upside_down.value, upside_down.low, upside_down.high) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 6)))


@pytest.mark.parametrize(
    ("normal", "abnormal", "value"), [([1], [2], 1), ([1], [0, 2, 3], 2 / 3), ([1] * 9, [1] * 9, 0.5)]
)
def test_a_group_of_one_and_equal_scores_have_wide_intervals(normal, abnormal, value):
    figure = auroc(normal, abnormal)
    assert figure.value == pytest.approx(value)
    assert figure.high - figure.low > 0.6
    assert figure.interval == "clopper-pearson 95%"


def test_infinity_is_a_rank():
    assert auroc([-np.inf, 0.0, 1.0], [0.5, np.inf]).value == auroc([-9.0, 0.0, 1.0], [0.5, 9.0]).value
    assert auroc([0.0, np.inf], [np.inf]).value == 0.75


@pytest.mark.parametrize(
    ("n", "m", "theta", "least"), [(20, 20, 0.9, 0.925), (60, 200, 0.8, 0.93), (200, 200, 0.97, 0.925)]
)
def test_the_interval_covers(n, m, theta, least):
    rng, shift = np.random.default_rng(7), stats.norm.ppf(theta) * np.sqrt(2)  # P(N(shift, 1) > N(0, 1)) = theta
    figures = [auroc(rng.normal(size=n), rng.normal(shift, size=m)) for _ in range(600)]
    assert least <= np.mean([f.low <= theta <= f.high for f in figures]) <= 0.99


def test_the_paired_test_agrees_with_delong_s_covariances_from_all_pairs():
    rng = np.random.default_rng(3)
    n, m = 60, 45
    xa, ya = rng.integers(0, 12, n), rng.integers(2, 14, m)
    xb, yb = xa + rng.integers(-3, 4, n), ya + rng.integers(-3, 6, m)
    a, b, result = credit(xa, ya), credit(xb, yb), compare_auroc(xa, ya, xb, yb)
    s10, s01 = np.cov(a.mean(1), b.mean(1)), np.cov(a.mean(0), b.mean(0))
    contrast = np.array([-1, 1])
    parts = contrast @ s10 @ contrast / n, contrast @ s01 @ contrast / m
    error, dof = np.sqrt(sum(parts)), sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    d = b.mean() - a.mean()
    assert result.difference.value == pytest.approx(d)
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(d) / error, dof))
    half = stats.t.ppf(0.975, dof) * error
    assert (result.difference.low, result.difference.high) == pytest.approx((d - half, d + half))
    assert result.a == auroc(xa, ya)
    assert result.b == auroc(xb, yb)


def test_the_paired_test_is_antisymmetric_and_sees_what_unpaired_intervals_hide():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=300), rng.normal(0.8, size=300)
    better = x, y + 0.15
    there, back = compare_auroc(x, y, *better), compare_auroc(*better, x, y)
    assert there.difference.value == -back.difference.value > 0
    assert there.p_value == pytest.approx(back.p_value)
    assert there.p_value < 1e-6
    assert there.b.low < there.a.high  # the two intervals overlap


def test_the_paired_test_holds_its_level_and_its_interval_covers():
    rng, rejected, covered = np.random.default_rng(5), 0, 0
    for _ in range(500):
        x, y = rng.normal(size=40), rng.normal(1, size=40)
        a, b = ((x + rng.normal(size=40), y + rng.normal(size=40)) for _ in range(2))
        result = compare_auroc(*a, *b)
        rejected += result.p_value < 0.05
        covered += result.difference.low <= 0 <= result.difference.high
    assert rejected / 500 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert covered + rejected == 500


def test_a_pair_without_spread_is_not_certain():
    x, y = np.arange(10.0), np.arange(8.0) + 4
    same, held = compare_auroc(x, y, 2 * x, 2 * y), 0.025 ** (1 / 8)
    assert (same.difference.value, same.p_value) == (0, 1)
    assert (same.difference.low, same.difference.high) == pytest.approx((held - 1, 1 - held))
    # 8 of 8 independent pairs change from wrong to right: at most one in two would if the mean change were 0
    turned = compare_auroc(x + 100, y, x, y + 100)
    assert turned.difference.value == 1
    assert turned.p_value == pytest.approx(2 * 0.5**8)
    assert (turned.difference.low, turned.difference.high) == pytest.approx((2 * held - 1, 1))


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_the_curve_of_the_band_agrees_with_sklearn(normal, abnormal):
    fpr, tpr, _ = roc_curve(*labelled(normal, abnormal), drop_intermediate=False)
    band = roc_band(normal, abnormal, grid=fpr, resamples=2)
    assert band.detection_rate == pytest.approx([tpr[fpr <= rate + 1e-12].max() for rate in fpr])


def test_the_band_holds_the_curve_and_covers_the_true_one():
    rng, grid = np.random.default_rng(6), np.array([0.01, 0.05, 0.1, 0.3, 0.6, 1])
    truth = stats.norm.sf(stats.norm.isf(grid) - 1.5)
    covered = np.zeros(len(grid))
    for seed in range(120):
        band = roc_band(rng.normal(size=200), rng.normal(1.5, size=150), grid=grid, resamples=300, seed=seed)
        assert (band.low <= band.detection_rate).all()
        assert (band.detection_rate <= band.high).all()
        covered += (band.low <= truth) & (truth <= band.high)
    assert (covered / 120 >= 0.88).all()


def test_the_band_by_hand():
    # false alarms 0 above 4, 1/2 above 3, 1 below; abnormal above: 1/3, 2/3, 1
    band = roc_band([3, 4], [3.5, 5, 1], grid=[0, 0.4, 0.5, 1], resamples=50)
    assert band.detection_rate == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert band.interval == "bootstrap 95% (50), at least clopper-pearson"
    perfect = roc_band(range(5), range(10, 15), resamples=50)
    assert len(perfect.false_alarm_rate) == 101
    assert perfect.low[0] == pytest.approx(0.025 ** (1 / 5))  # no width in the bootstrap, 5 of 5 are not certainty


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auroc([], [1]), "normal is empty"),
        (lambda: auroc([1], []), "abnormal is empty"),
        (lambda: auroc([1, np.nan], [1]), "normal has 1 missing"),
        (lambda: auroc([1], [[1]]), "abnormal must be one column"),
        (lambda: auroc([1, 2], [1, 3], level=1.5), "level"),
        (lambda: auroc([1, 2], [3, 4], level=95), "level"),
        (lambda: compare_auroc([1, 2], [3], [1], [3]), "normal_a 2, normal_b 1"),
        (lambda: compare_auroc([1], [3], [1], [3, 4]), "abnormal_a 1, abnormal_b 2"),
        (lambda: roc_band([np.nan], [1]), "missing"),
        (lambda: roc_band([1], [2], grid=[1.5]), "grid"),
        (lambda: roc_band([1], [2], resamples=0), "resamples"),
        (lambda: roc_band([1], [2], level=0), "level"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, 300), rng.normal(1.2, 1, 200), rng.normal(0.4, 1, 150)


def test_of_one_set_it_is_delong(scores):
    normal, near, _ = scores
    found, known = mean_auroc(of_sets(normal, [near])), auroc(normal, near)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((known.value, known.low, known.high, known.n))


def test_the_difference_for_one_set_is_delongs(scores):
    normal, near, _ = scores
    rng = np.random.default_rng(1)
    other = normal + rng.normal(0, 1, 300), near + rng.normal(0, 1, 200)
    found, p_value = mean_difference(of_sets(normal, [near]), of_sets(other[0], [other[1]]))
    known = compare_auroc(normal, near, *other)
    assert (found.value, found.low, found.high) == pytest.approx(
        (known.difference.value, known.difference.low, known.difference.high)
    )
    assert p_value == pytest.approx(known.p_value)


def test_of_several_sets_the_interval_is_that_of_the_bootstrap(scores):
    normal, *sets = scores
    found, rng = mean_auroc(of_sets(normal, sets)), np.random.default_rng(2)
    assert found.value == pytest.approx(np.mean([auroc(normal, s).value for s in sets]))

    def drawn(values):
        return values[rng.integers(len(values), size=len(values))]

    draws = []
    for _ in range(2000):
        own = drawn(normal)  # the normal samples are the same for both sets
        draws.append(np.mean([_area(own, drawn(s)) for s in sets]))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def _area(normal, abnormal):
    return np.searchsorted(np.sort(normal), abnormal).mean() / len(normal)


def test_what_sets_have_in_common_is_counted_in_full(scores):
    normal, near, _ = scores
    once, twice = mean_auroc(of_sets(normal, [near])), mean_auroc(of_sets(normal, [near, near + 1e-9]))
    part = of_sets(normal, [near]).normal.var(ddof=1) / len(normal)
    assert of_sets(normal, [near, near]).variance()[0] > part  # averaging halves nothing of the normal part
    assert twice.high - twice.low < once.high - once.low


def test_perfect_and_tied_scores_have_wide_ends():
    perfect = mean_auroc(of_sets(np.arange(3.0), [np.arange(5.0, 9.0), np.arange(5.0, 7.0)]))
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.025 ** (1 / 2))  # Clopper-Pearson's of the two pairs without a common sample
    tied = mean_auroc(of_sets(np.zeros(3), [np.zeros(4)]))
    assert (tied.value, tied.low < 0.1, tied.high > 0.9) == (0.5, True, True)
    assert mean_difference(of_sets(np.zeros(3), [np.ones(4)]), of_sets(np.zeros(3), [np.ones(4)])) == (None, None)
