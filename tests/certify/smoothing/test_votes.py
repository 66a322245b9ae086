"""Votes against a model whose answers under noise are known, and the bounds against numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.certify.smoothing.smoothing_sequential import SequentialSmoothing
from unshaken.certify.smoothing.votes import _rounded, check_reach, lower_bound, reach, upper_bound, vote, votes_for
from unshaken.core import Classifier, Oracle, SampleRng, UnshakenError
from unshaken.core.errors import ParameterError


class Threshold(nn.Module):
    """Class 1 where the mean pixel is above a level: under noise its share is known in closed form."""

    def __init__(self, level=0.5, classes=3):
        super().__init__()
        self.level, self.classes = level, classes

    def forward(self, x):
        z = (x.flatten(1).mean(1) - self.level)[:, None]
        return torch.cat([-z, z, *[z - 9 - z for _ in range(self.classes - 2)]], 1)


def oracle(limit=256, **options):
    return Oracle(Classifier(Threshold(**options)).eval(), limit=limit)


def images(*means):
    return torch.stack([torch.full((1, 4, 4), m) for m in means])


def ask(counted, x, ids=("a", "b", "c"), **options):
    settings = {"sigma": 0.4, "n0": 20, "n": 600, "seed": 0, "method": "smoothing"} | options
    return vote(counted, x, ids[: len(x)], **settings)


@pytest.mark.parametrize(
    ("successes", "trials", "alpha", "bound"),
    [
        (100_000, 100_000, 0.001, 0.999930925),
        (9_990, 10_000, 0.001, 0.9975883),
        (9_990, 10_000, 0.0005, 0.9974764),
        (9_900, 10_000, 0.001, 0.9865312),
        (9_900, 10_000, 0.0005, 0.9862882),
        (5_100, 10_000, 0.001, 0.4944993),
        (0, 100, 0.001, 0.0),
    ],
)
def test_lower_bounds_are_clopper_and_pearsons(successes, trials, alpha, bound):
    assert float(lower_bound(successes, trials, alpha)) == pytest.approx(bound, abs=6e-8)
    assert float(upper_bound(trials - successes, trials, alpha)) == pytest.approx(1 - bound, abs=6e-8)


def test_bounds_without_trials_say_nothing():
    assert float(lower_bound(0, 0, 0.01)) == 0
    assert float(upper_bound(0, 0, 0.01)) == 1


def test_shares_are_those_of_the_normal_law():
    """The mean of 16 pixels has a sixteenth of the noise's variance."""
    tally = ask(oracle(), images(0.45, 0.6), n=20_000)
    expected = [norm.cdf((0.5 - 0.45) * 4 / 0.4), norm.cdf((0.6 - 0.5) * 4 / 0.4)]
    assert tally.candidate.tolist() == [0, 1]
    assert (tally.hits / tally.drawn).tolist() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 20_000))


def test_choosing_and_judging_draws_are_different_draws():
    counted, rng = oracle(), SampleRng.of(0, "smoothing", ["a"])
    tally = ask(counted, images(0.5), n0=7, n=300)

    def count(start, stop):
        noisy = [images(0.5) + 0.4 * rng.fold(j).noise(1, 4, 4) for j in range(start, stop)]
        return counted.model(torch.cat(noisy)).argmax(1).bincount(minlength=3).tolist()

    assert tally.selected[0].tolist() == count(0, 7)
    assert tally.counts[0].tolist() == count(7, 307)
    assert tally.forwards.tolist() == [307]
    assert counted.meter.forwards == 307


@pytest.mark.parametrize("limit", [1, 5, 64, 1000])
def test_votes_do_not_depend_on_company_order_or_batch(limit):
    x = images(0.45, 0.5, 0.6)
    whole = ask(oracle(), x, n=300)
    back = vote(oracle(limit), x.flip(0), ("c", "b", "a"), sigma=0.4, n0=20, n=300, seed=0, method="smoothing")
    assert torch.equal(back.counts.flip(0), whole.counts)
    assert torch.equal(back.selected.flip(0), whole.selected)
    assert not torch.equal(ask(oracle(), x, n=300, seed=1).counts, whole.counts)


def test_a_lost_sample_gets_no_fresh_votes():
    labels = torch.tensor([0, 1, 1])
    tally = ask(oracle(), images(0.45, 0.45, 0.6), labels=labels, lost=lambda t, y: t.candidate != y)
    assert tally.drawn.tolist() == [600, 0, 600]


class Diary:
    """A journal in memory."""

    def __init__(self, records=()):
        self.records = dict(records)

    def found(self):
        return self.records

    def keep(self, sample, record):
        self.records[sample] = record

    def flush(self):
        pass


def test_what_a_journal_has_is_not_asked_again():
    x, diary = images(0.45, 0.5, 0.6), Diary()
    whole = ask(oracle(), x, journal=diary)
    assert set(diary.records) == {"a", "b", "c"}
    counted = oracle()
    again = ask(counted, x, journal=Diary({k: diary.records[k] for k in ("a", "c")}))
    assert counted.meter.forwards == 620
    assert torch.equal(again.counts, whole.counts)
    assert torch.equal(again.selected, whole.selected)


def test_a_tally_adds_up():
    tally = ask(oracle(), images(0.45), n0=20, n=300)
    assert int(tally.forwards) == int(tally.drawn) + int(tally.selected.sum()) + int(tally.blank) == 320
    assert float(tally.seconds) > 0


def test_blank_votes_are_draws_that_count_for_no_class():
    class Blank(Threshold):
        def forward(self, x):
            z = super().forward(x)
            return torch.where(z[:, 1:2] > 0.1, torch.nan, z)

    counted = Oracle(Classifier(Blank()).eval())
    tally = ask(counted, images(0.45), n0=20, n=300)
    assert int(tally.blank) > 5
    assert int(tally.drawn + tally.selected.sum()) == 320 - int(tally.blank)
    assert counted.meter.forwards == 320


def test_reach_by_hand():
    """The card's numbers: all of 100,000 draws at alpha 0.001."""
    assert reach(0.25, 100_000, 0.001) == pytest.approx(0.9529, abs=5e-5)
    assert reach(0.5, 100_000, 0.001) == pytest.approx(1.9057, abs=5e-5)


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.0, 1.5, 1.9])
def test_the_votes_asked_for_are_enough_and_one_less_is_not(radius):
    n = votes_for(radius, 0.5, 0.001)
    assert reach(0.5, n, 0.001) > radius
    assert reach(0.5, n - 1, 0.001) <= radius


@pytest.mark.parametrize("method", [Smoothing, SequentialSmoothing])
def test_too_few_votes_are_refused_before_the_run_with_the_number_needed(method):
    with pytest.raises(ParameterError) as caught:
        method(sigma=0.25, n=1000, radii=(0.5, 1.0))
    message = str(caught.value)
    assert "certify a radius of 0.6158 at most, not 1: give n=218105 or more" in message
    assert "\n" not in message
    method(sigma=0.25, n=218105, radii=(0.5, 1.0))


def test_so_few_votes_that_nothing_can_be_said_are_refused():
    with pytest.raises(ParameterError, match="certify nothing, even when all agree: give n=10 or more"):
        Smoothing(n=9)
    Smoothing(n=10)


def test_a_radius_that_no_number_of_votes_reaches_asks_for_more_noise():
    with pytest.raises(UnshakenError, match=r"a larger sigma, such as 1\.4"):
        check_reach("smoothing", (4.0,), sigma=0.25, n=100_000, alpha=0.001)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sigma": 0}, "sigma=0"),
        ({"sigma": -1}, "sigma=-1"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"alpha": 0}, "alpha=0"),
        ({"n": 0}, "n=0"),
        ({"n0": 0}, "n0=0"),
        ({"radii": "0.5+x"}, "radii"),
        ({"radii": (-0.5,)}, "radii"),
    ],
)
@pytest.mark.parametrize("method", [Smoothing, SequentialSmoothing])
def test_bad_parameters_are_named(method, values, words):
    with pytest.raises(ParameterError, match=words) as caught:
        method(**values)
    assert "\n" not in str(caught.value)


def test_a_proposed_deviation_is_rounded_upwards_to_two_digits():
    assert [_rounded(s) for s in (1.3333, 0.01231, 12.1, 0.2)] == ["1.4", "0.013", "13", "0.2"]


def test_a_radius_that_is_reached_exactly_is_refused():
    best = reach(0.25, 1000, 0.001)
    check_reach("smoothing", (best * (1 - 1e-9),), sigma=0.25, n=1000, alpha=0.001)
    with pytest.raises(ParameterError, match=r"give n=100[01] or more"):
        check_reach("smoothing", (best,), sigma=0.25, n=1000, alpha=0.001)
