"""Dual smoothing: radii from votes by hand, sound in simulation, the shortcuts that are not, and a whole run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import binom, binomtest
from torch import nn

from tests.covering import covering
from unshaken.certify.smoothing.dual_radius import dual_radius
from unshaken.certify.smoothing.dual_smoothing import DualSmoothing
from unshaken.certify.smoothing.halves import halves
from unshaken.certify.smoothing.votes import Tally, lower_bound
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import parse_method
from unshaken.run.adapters.certify import attacks_on

REPETITIONS = 10_000


def tally(selected, counts):
    """Votes of N samples, `[N, K]` each."""
    selected, counts = torch.as_tensor(selected), torch.as_tensor(counts)
    level = torch.zeros(len(counts), dtype=torch.int64)
    return Tally(selected, counts, level, level > 0, level, level.double())


def hits(*k, n=10_000):
    """Class 0 gets k of n votes, and all those that choose."""
    return tally([[100, 0]] * len(k), [[v, n - v] for v in k])


class Sides(nn.Module):
    """Class 1 where the mean over a side's pixels is above 1/2: exact under noise, with the expansion `mask`."""

    def __init__(self, side=8):
        super().__init__()
        left = torch.zeros(side * side)
        left[halves("checkerboard", "mask", side, side).pixels("left")] = 1
        self.register_buffer("left", left)

    def forward(self, x):
        pixels = x.flatten(1)
        there = torch.where(pixels[:, self.left > 0].abs().sum(1) > 0, self.left.sum(), (1 - self.left).sum())
        z = (pixels.sum(1) / there - 0.5) * 10
        return torch.stack([-z, z], 1)


def oracle(**options):
    return Oracle(Classifier(Sides(), name="sides").eval(), **options)


def batch(*means, labels=None):
    """Images of 8 x 8 pixels: of each the mean of the left half's pixels, and of the right half's."""
    images = torch.empty(len(means), 1, 64)
    cut = halves("checkerboard", "mask", 8, 8)
    for image, (left, right) in zip(images, means, strict=True):
        image[0, cut.pixels("left")], image[0, cut.pixels("right")] = left, right
    return Batch(images.view(-1, 1, 8, 8), labels, tuple(f"s{i}" for i in range(len(means))))


# Radii from votes.


@pytest.mark.parametrize(("sigma", "half", "full"), [(0.18, 0.9642, 0.9702), (0.36, 1.9284, 1.9405)])
def test_the_largest_radius_of_100000_votes(sigma, half, full):
    best = hits(100_000, n=100_000)
    assert float(DualSmoothing(sigma=sigma).judge(best, best).radius) == pytest.approx(half, abs=5e-5)
    alone = float(lower_bound(100_000, 100_000, 0.001))
    assert alone == pytest.approx(0.999930925, abs=5e-10)
    assert float(ndtri(alone)) == pytest.approx(3.811457, abs=5e-7)
    assert float(dual_radius(alone, alone, sigma)) == pytest.approx(full, abs=5e-5)  # with alpha a side


def test_bounds_and_radii_by_hand():
    found = DualSmoothing(sigma=0.25).judge(hits(9_990, 9_900, 5_100), hits(9_900, 5_100, 4_800))
    assert found.p_left.tolist() == pytest.approx([0.9974764, 0.9862882, 0.4936], abs=2e-4)
    assert float(found.p_left[0]) == pytest.approx(0.9974764, abs=6e-8)
    assert float(found.p_right[0]) == pytest.approx(0.9862882, abs=6e-8)
    expected = 0.25 * (ndtri(0.9974764) + ndtri(0.9862882)) / math.sqrt(2)
    assert float(found.radius[0]) == pytest.approx(expected, abs=1e-6)
    assert found.abstained.tolist() == [False, False, True]
    assert found.p_lower.tolist() == pytest.approx(((found.p_left + found.p_right) / 2).tolist())
    assert found.reasons[:2] == [None, None]
    assert found.reasons[2] == (
        "top class got 5100 and 4800 of 10000 votes on the halves: not shown to be above one half on average at "
        "alpha=0.001"
    )


def test_a_side_below_one_half_is_rescued_by_the_other_but_not_where_both_must_keep_the_class():
    left, right = hits(5_100), hits(9_990)
    assert float(lower_bound(5_100, 10_000, 0.001)) == pytest.approx(0.4944993, abs=6e-8)
    summed, both = (DualSmoothing(sigma=0.25, n=10_000, aggregation=a).judge(left, right) for a in ("sum", "both"))
    assert float(summed.p_left) < 0.5 < float(summed.p_right)
    assert float(summed.radius) == pytest.approx(float(dual_radius(summed.p_left, summed.p_right, 0.25)), abs=1e-12)
    assert not bool(summed.abstained)
    assert bool(both.abstained)
    assert both.reasons[0].endswith("not shown to be each above one half at alpha=0.001")


def test_both_needs_no_correction_for_two_bounds():
    found = DualSmoothing(sigma=0.25, aggregation="both").judge(hits(9_990), hits(9_900))
    assert float(found.p_lower) == pytest.approx(0.9865312, abs=6e-8)
    assert float(found.radius) == pytest.approx(0.25 * ndtri(0.9865312), abs=1e-6)


def test_the_class_is_chosen_by_the_first_votes_of_both_sides():
    left = tally([[60, 40, 0]], [[9_000, 900, 100]])
    right = tally([[10, 80, 10]], [[9_000, 900, 100]])
    found = DualSmoothing().judge(left, right)
    assert found.prediction.tolist() == [1]
    assert bool(found.abstained)
    assert found.tally.forwards.tolist() == [20_200]


def test_rivals_bounds_help_where_the_rest_is_spread():
    counts = [[6_000, *[1_000] * 4]]
    votes = tally([[60, 10, 10, 10, 10]], counts)
    alone, rivals = (
        DualSmoothing(sigma=0.25, n=10_000, aggregation=a).judge(votes, votes) for a in ("sum", "two-sided")
    )
    assert float(rivals.radius) > 2 * float(alone.radius)
    assert float(rivals.radius) < 0.25 * (ndtri(0.6) - ndtri(0.1)) / math.sqrt(2)
    pair = tally([[90, 10]], [[9_000, 1_000]])
    same = [DualSmoothing(aggregation=a).judge(pair, pair).radius for a in ("sum", "two-sided")]
    assert torch.equal(*same)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_all_bounds_that_are_used_fail_with_probability_alpha_at_most(classes):
    for rule in ("sum", "two-sided"):
        low, high = DualSmoothing(alpha=0.01, aggregation=rule)._levels(classes)
        assert 2 * low + 2 * (classes - 1) * high == pytest.approx(0.01)


# Soundness, with known probabilities; both halves are linear classifiers, which attain every radius.


def polled(rng, p, n):
    """Counts `[REPETITIONS, K]` of n draws."""
    return torch.from_numpy(rng.multinomial(n, p, REPETITIONS))


TRUTHS = [
    ((0.51, 0.49), (0.51, 0.49)),
    ((0.49, 0.51), (0.52, 0.48)),
    ((0.95, 0.05), (0.9, 0.1)),
    ((0.99, 0.01), (0.4, 0.6)),
    ((0.999, 0.001), (0.5, 0.5)),
    ((0.5, 0.5), (0.5, 0.5)),
    ((0.45, 0.35, 0.2), (0.5, 0.2, 0.3)),
    ((0.34, 0.33, 0.33), (0.34, 0.33, 0.33)),
]


def false_share(method, p, q, rng, *, rescaled=1, n=300, n0=30):
    """How many of the repetitions certify a class farther than it reaches."""
    sides = [tally(polled(rng, t, n0), polled(rng, t, n) * rescaled) for t in (p, q)]
    found = method.judge(*sides)
    a, b = (ndtri(np.array(t)) for t in (p, q))
    s, t = method.sigmas.values()
    if method.aggregation == "both":
        reach = np.maximum(0, np.minimum(s * a, t * b))
    else:
        reach = np.maximum(0, a + b) / math.sqrt(s**-2 + t**-2)
    radius = found.radius.numpy()
    return int(((radius > reach[found.prediction.numpy()] + 1e-12) & ~found.abstained.numpy()).sum())


@covering("p, q, given", TRUTHS, [[{}], [{"aggregation": "both", "sigma_right": 0.5}]])
def test_certificates_are_false_with_probability_alpha_at_most(p, q, given):
    method = DualSmoothing(sigma=0.25, n=300, n0=30, alpha=0.05, **given)
    wrong = false_share(method, p, q, np.random.default_rng(1))
    assert binomtest(wrong, REPETITIONS, 0.05, alternative="greater").pvalue > 1e-3


def test_the_simulation_would_see_a_mistake():
    """With the shares themselves in the place of their lower bounds, about half of all certificates are false."""
    rng = np.random.default_rng(2)
    p = polled(rng, (0.95, 0.05), 300)[:, 0] / 300
    q = polled(rng, (0.9, 0.1), 300)[:, 0] / 300
    wrong = int((dual_radius(p, q, 0.25) > dual_radius(0.95, 0.9, 0.25)).sum())
    assert wrong > 0.4 * REPETITIONS


# Shortcuts that break it.


def test_alpha_for_each_side_does_not_hold_for_both_bounds_together():
    n, alpha = 10_000, 0.001
    p = float(lower_bound(9_900, n, alpha)) - 1e-12  # the hardest share: 9,900 or more hits are as likely as alpha
    for level, low, high in ((alpha, 1.9 * alpha, 2 * alpha), (alpha / 2, 0.5 * alpha, alpha)):
        false = lower_bound(np.arange(n + 1), n, level).numpy() > p
        one = float(binom.pmf(np.arange(n + 1), n, p)[false].sum())
        assert low < 1 - (1 - one) ** 2 < high


def test_counts_multiplied_before_the_bound_are_false_far_too_often():
    method = DualSmoothing(sigma=0.25, n=10_000, alpha=0.001)
    honest, scaled = (
        false_share(method, (0.999, 0.001), (0.999, 0.001), np.random.default_rng(3), rescaled=r, n=10_000)
        for r in (1, 10)
    )
    assert honest <= 25
    assert scaled > 50 * REPETITIONS * 0.001
    assert float(ndtri(float(lower_bound(10_000, 10_000, 0.001)))) == pytest.approx(3.199, abs=1e-3)
    assert float(ndtri(float(lower_bound(100_000, 100_000, 0.001)))) == pytest.approx(3.811, abs=1e-3)


def lopsided():
    """A plane through all 64 pixels, an image at distance 0.4 from it, and the shortest change that crosses it."""
    w = torch.from_numpy(np.random.default_rng(4).standard_normal(64)).float()
    w /= w.norm()
    return w, 0.4, -1.01 * 0.4 * w


def noisy_sums(w, distance, change, draws, generator):
    """`<w, x + change + noise>` less the plane's threshold, noise of deviation 0.25 on all pixels, pixel by pixel."""
    noise = 0.25 * torch.randn(draws, 64, generator=generator)
    return (noise + change) * w + distance / 64


def test_a_denoiser_that_saw_both_halves_has_no_certificate():
    """Each half, cut after a map of the whole noisy image, may hold all of it: here, the side of a plane."""
    w, distance, change = lopsided()
    generator, n = torch.Generator().manual_seed(0), 20_000
    method = DualSmoothing(sigma=0.25, n=n)

    def votes(moved):
        won = int((noisy_sums(w, distance, moved, n, generator).sum(1) > 0).sum())
        return tally([[100, 0]], [[won, n - won]])

    found = method.judge(votes(torch.zeros(64)), votes(torch.zeros(64)))
    assert float(found.radius) > 1.3 * float(change.norm())
    after = [int(votes(change).counts[0, 0]) for _ in range(2)]
    assert sum(after) < n  # the class is lost on both halves, well within the radius


def test_votes_on_the_mean_of_both_halves_logits_have_no_certificate():
    w, distance, change = lopsided()
    left = halves("checkerboard", "mask", 8, 8).pixels("left")
    here = torch.zeros(64, dtype=torch.bool).index_fill(0, left, True)
    generator, n = torch.Generator().manual_seed(1), 20_000

    def votes(moved):
        terms = noisy_sums(w, distance, moved, n, generator)
        logits = (terms[:, here].sum(1) + terms[:, ~here].sum(1)) / 2
        won = int((logits > 0).sum())
        return tally([[100, 0]], [[won, n - won]])

    joint = votes(torch.zeros(64))
    found = DualSmoothing(sigma=0.25, n=n).judge(joint, joint)
    assert float(found.radius) > 1.3 * float(change.norm())
    assert int(votes(change).counts[0, 0]) < n / 2


# The whole method.


def test_halves_of_known_probabilities_are_certified_just_below_the_truth():
    sigma, n = 0.8, 4000
    method = DualSmoothing(sigma=sigma, n=n, expansion="mask", alpha=0.01)
    given = batch((0.62, 0.70), (0.75, 0.45), (0.3, 0.35))
    found = method.certify(oracle(), given)
    deviation = sigma / math.sqrt(32)
    for i, means in enumerate(((0.62, 0.70), (0.75, 0.45), (0.7, 0.65))):
        a, b = ((m - 0.5) / deviation for m in means)
        exact = sigma * (a + b) / math.sqrt(2)
        assert 0.8 * exact < float(found.radius[i]) <= exact
        share = found.left.hits[i] if i < 2 else found.left.counts[i, 0]
        assert float(share) / n == pytest.approx(float(ndtr(a)), abs=0.03)
    assert found.prediction.tolist() == [1, 1, 0]


def test_what_happens_on_one_side_does_not_reach_the_other():
    method = DualSmoothing(sigma=0.5, n=200, n0=20, expansion="mask")
    one, other = batch((0.6, 0.55)), batch((0.1, 0.55))
    counted = oracle()
    assert torch.equal(method.votes(counted, one, "right").counts, method.votes(counted, other, "right").counts)
    assert not torch.equal(method.votes(counted, one, "left").counts, method.votes(counted, other, "left").counts)


def test_it_costs_twice_the_votes_and_says_so():
    counted = oracle(limit=64)
    found = DualSmoothing(n=150, n0=10, expansion="mask").certify(counted, batch((0.9, 0.9), (0.4, 0.6)))
    assert found.tally.forwards.tolist() == [320, 320]
    assert counted.meter.forwards == 640
    assert found.left.drawn.tolist() == found.right.drawn.tolist() == [150, 150]


def test_a_label_that_is_lost_on_the_left_saves_votes_on_the_right():
    given = batch((0.1, 0.1), (0.9, 0.9), labels=torch.tensor([1, 1]))
    method = DualSmoothing(sigma=0.25, n=400, n0=40, expansion="mask", skip_wrong=True)
    found = method.certify(oracle(), given)
    assert found.left.drawn.tolist() == [400, 400]
    assert found.right.drawn.tolist() == [0, 400]
    assert found.abstained.tolist() == [True, False]
    assert found.reasons[0] == "the label plainly loses on the left half: no more votes were drawn on the right"
    assert method.certify(oracle(), batch((0.1, 0.1))).right.drawn.tolist() == [400]  # no label is known


class Memory:
    """A journal in memory."""

    def __init__(self):
        self.records, self.flushed = {}, 0

    def found(self):
        return dict(self.records)

    def keep(self, sample, record):
        self.records[sample] = record

    def flush(self):
        self.flushed += 1


def test_both_sides_are_kept_in_one_journal_and_found_again():
    method = DualSmoothing(n=120, n0=10, expansion="mask")
    given, journal = batch((0.9, 0.7), (0.2, 0.4), (0.5, 0.6)), Memory()
    whole = method.certify(oracle(), given, journal=journal)
    assert set(journal.records) == {f"{s}/s{i}" for s in ("left", "right") for i in range(3)}
    assert journal.flushed >= 2
    del journal.records["right/s1"]
    counted = oracle()
    again = method.certify(counted, given, journal=journal)
    assert counted.meter.forwards == 130
    for name in ("radius", "prediction", "p_left", "p_right"):
        assert torch.equal(getattr(again, name), getattr(whole, name))


NET = """
import torch
from torch import nn

class Constant(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.register_buffer("values", torch.tensor(values))

    def forward(self, x):
        return self.values.expand(len(x), -1)

def one():
    return Constant([0.0, 1.0])

def three():
    return Constant([0.0, 1.0, 2.0])
"""


def test_another_network_for_the_right_half(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    text = f"dual-smoothing:n=100,n0=10,expansion=mask,sigma=0.25,right=py:{tmp_path}/net.py:one"
    method = parse_method(text, "certify")
    found = method.certify(oracle(), batch((0.9, 0.0), (0.1, 0.0)))
    assert found.right.counts.tolist() == [[0, 100], [0, 100]]
    assert found.left.counts.tolist() == [[0, 100], [100, 0]]
    assert found.abstained.tolist() == [False, True]
    alone = DualSmoothing(n=100, n0=10, expansion="mask", sigma=0.25)
    given = Classifier(Sides()).eval()
    assert alone.certify(oracle(), batch((0.9, 0.0)), right=given).right.counts.tolist() == [[100, 0]]
    with pytest.raises(ModelError, match="the two halves' models have 2 and 3 classes"):
        method.model_copy(update={"right": f"py:{tmp_path}/net.py:three"}).certify(oracle(), batch((0.9, 0.0)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"radii": (0.6,), "n": 1000}, "n=1000 votes a side at alpha=0.001 and sigma=0.25 .* 0.8.* at most"),
        ({"split": "diagonal"}, "split='diagonal'"),
        ({"expansion": "blur"}, "expansion='blur'"),
        ({"sigma_right": 0.0}, "sigma_right=0.0"),
        ({"aggregation": "released"}, "aggregation='released'"),
    ],
)
def test_parameters_that_will_not_do(given, message):
    if "radii" in given:
        assert DualSmoothing(**given).radii == (0.6,)
        given = given | {"radii": (1.2,)}
    with pytest.raises(ParameterError, match=message):
        DualSmoothing(**given)


def test_the_mend_that_the_guard_names_is_enough():
    with pytest.raises(ParameterError, match="give n=") as caught:
        DualSmoothing(sigma=0.25, n=1000, radii=(1.2,))
    needed = int(str(caught.value).partition("give n=")[2].split()[0])
    assert DualSmoothing(sigma=0.25, n=needed, radii=(1.2,)).n == needed
    with pytest.raises(ParameterError, match=f"give n={needed} "):
        DualSmoothing(sigma=0.25, n=needed - 1, radii=(1.2,))
    with pytest.raises(ParameterError, match=r"certify a radius of 0 at most, not 0\.1"):
        DualSmoothing(n=10, radii=(0.1,))


def test_a_split_without_pixels_is_one_line():
    thin = Batch(torch.zeros(1, 1, 8, 1), None, ("a",))
    with pytest.raises(ParameterError, match="split=columns leaves one side of an image of 8 x 1 pixels empty"):
        DualSmoothing(split="columns", n=20).certify(oracle(), thin)


def test_what_stands_beside_it_in_a_plan():
    method = DualSmoothing(sigma=0.3, n=50, n0=7)
    assert method.most_passes(10) == 2 * 57
    (beside,) = attacks_on(method, [0.0, 0.2])
    assert (beside["method"], beside["eps"]) == ("dual-smoothing-attack", [0.2])
    assert beside["params"]["sigma"] == 0.3
    assert "sigma_right" not in beside["params"]
    assert attacks_on(DualSmoothing(radii=(0.0, 0.1)), [])[0]["eps"] == [0.1]


def test_a_sum_that_reaches_nowhere_is_none():
    """Shares of .6 and .4: the sum of the quantiles is 0 and below, and so the class is not known."""
    found = DualSmoothing(sigma=0.25).judge(hits(6_000), hits(4_000))
    assert (found.abstained.tolist(), found.radius.tolist()) == ([True], [0.0])
    assert found.tally.blank.tolist() == [0]
    blank = hits(9_000).replace(blank=torch.tensor([3]))
    assert DualSmoothing().judge(blank, blank).tally.blank.tolist() == [6]


def test_radii_that_both_sides_reach_are_allowed_to_the_end():
    """Of `both` the nearer side decides, with all of alpha; of the sum both, with half of it each."""
    both = {"aggregation": "both", "n": 1000, "sigma": 0.2, "sigma_right": 0.5}
    reach = 0.2 * float(ndtri(0.001 ** (1 / 1000)))
    DualSmoothing(**both, radii=(reach * 0.999,))
    with pytest.raises(ParameterError, match="at most, not"):
        DualSmoothing(**both, radii=(reach * 1.001,))
    summed = {"n": 1000, "sigma": 0.2, "sigma_right": 0.5}
    reach = 2 * float(ndtri(0.0005 ** (1 / 1000))) / math.sqrt(0.2**-2 + 0.5**-2)
    DualSmoothing(**summed, radii=(reach * 0.999,))
    with pytest.raises(ParameterError, match="at most, not"):
        DualSmoothing(**summed, radii=(reach * 1.001,))


def test_the_seed_is_0_unless_given():
    given, method = batch((0.55, 0.55)), DualSmoothing(sigma=0.5, n=200, expansion="mask")
    found, same, other = (method.certify(oracle(), given, **seed) for seed in ({}, {"seed": 0}, {"seed": 1}))
    assert torch.equal(found.left.counts, same.left.counts)
    assert torch.equal(found.right.counts, same.right.counts)
    assert not torch.equal(found.left.counts, other.left.counts)
    assert torch.equal(method.votes(oracle(), given, "left").counts, same.left.counts)
