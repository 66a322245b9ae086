from __future__ import annotations

import math
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.conformal import conformal_threshold
from unshaken.measure.detection.drift import ShareAlarm, drift, log_evidence, share_alarms, window_alarm
from unshaken.measure.statistics.intervals import clopper_pearson, share


def naive_evidence(accepted, p):
    """The mixture as its definition has it: over eight shares and all moments of change, one product at a time."""
    out = []
    flagged = [(1 - p) ** (1 - i / 9) for i in range(1, 9)]
    for t in range(1, len(accepted) + 1):
        total = 1 / (t + 1)  # stakes on moments that are still to come
        for j in range(1, t + 1):
            for r in flagged:
                ratios = [(1 - r) / p if x else r / (1 - p) for x in accepted[j - 1 : t]]
                total += math.prod(ratios) / (j * (j + 1)) / len(flagged)
        out.append(total)
    return np.log(out)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=15), st.sampled_from([0.3, 0.9, 0.95]))
def test_the_evidence_is_the_mixture_of_likelihood_ratios(accepted, promised):
    assert log_evidence(accepted, promised=promised) == pytest.approx(naive_evidence(accepted, promised), abs=1e-9)


@pytest.mark.parametrize("p", [0.8, 0.85, 1.0])
def test_the_evidence_is_a_martingale_at_the_promise_and_falls_above_it(p):
    # all 2^8 streams, each with its probability: the mean of E_t is 1 at p = promised, below 1 for p above
    t, promised = 8, 0.8
    streams = (np.arange(2**t)[:, None] >> np.arange(t)) & 1
    chance = np.where(streams, p, 1 - p).prod(1)
    mean = sum(c * np.exp(log_evidence(x, promised=promised)) for c, x in zip(chance, streams, strict=True))
    if p == promised:
        assert mean == pytest.approx(np.ones(t))
    else:
        assert (np.diff(np.append(1.0, mean)) < 0).all()


def test_false_alarms_over_the_whole_stream_are_rarer_than_alpha():
    rng, alpha, streams = np.random.default_rng(0), 0.1, 600
    alarms = [drift(rng.random(1500) < 0.95, promised=0.95, alpha=alpha, window=1500).alarm for _ in range(streams)]
    rate = np.mean([a is not None for a in alarms])
    assert rate <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / streams)
    assert rate > 0  # it is no alarm that never rings


@pytest.mark.parametrize(("start", "share", "delay"), [(0, 0.85, 250), (2000, 0.85, 350), (2000, 0.5, 40)])
def test_a_real_drop_is_found_and_soon(start, share, delay):
    rng, delays = np.random.default_rng(1), []
    for _ in range(60):
        stream = np.r_[rng.random(start) < 0.96, rng.random(2000) < share]
        alarm = drift(stream, promised=0.95, alpha=0.01).alarm
        delays.append(alarm - start)
    assert np.mean(np.array(delays) < 0) <= 0.05
    assert np.median(delays) < delay


def test_the_alarm_is_the_first_sample_with_enough_evidence():
    stream = np.r_[np.ones(50), np.zeros(30)]
    result = drift(stream, promised=0.9, alpha=0.01)
    assert (result.log10_evidence[: result.alarm] < 2).all()
    assert result.log10_evidence[result.alarm] >= 2
    assert 50 < result.alarm < 60
    assert drift(np.ones(500), promised=0.9).alarm is None


def test_windows_are_shares_with_their_intervals():
    stream = [1, 1, 0, 1, 1, 1, 0]
    result = drift(stream, promised=0.9, window=3, times=[0, 1, 1, 2.5, 3, 4, 9])
    assert [(w.start, w.stop, w.first_time, w.last_time) for w in result.windows] == [
        (0, 3, 0, 1),
        (3, 6, 2.5, 4),
        (6, 7, 9, 9),
    ]
    assert [w.share for w in result.windows] == [share(2, 3), share(3, 3), share(0, 1)]
    assert (result.promised, result.alpha) == (0.9, 0.01)
    assert drift(stream, window=100).windows[0].first_time is None
    assert len(drift(stream, window=100).windows) == 1


def test_a_sure_threshold_keeps_its_stream_quiet_and_an_abnormal_stream_rings():
    rng = np.random.default_rng(2)
    threshold = conformal_threshold(rng.normal(size=2000), 0.95, confidence=0.99)
    normal, shifted = rng.normal(size=3000), rng.normal(1, size=500)
    result = drift(threshold.accepts(np.r_[normal, shifted]), promised=0.95)
    assert 3000 < result.alarm < 3200


def test_long_streams_neither_overflow_nor_lose_the_drop():
    stream = np.r_[np.ones(200_000), np.zeros(60)]
    evidence = log_evidence(stream, promised=0.95)
    assert np.isfinite(evidence).all()
    assert evidence[199_999] == pytest.approx(-math.log(200_001), abs=0.2)  # nearly all that is left is unstaked
    assert drift(stream, promised=0.95, window=1000).alarm < 200_020
    assert np.isfinite(log_evidence(np.zeros(100_000), promised=0.95)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drift([]), "accepted is empty"),
        (lambda: drift([1, np.nan]), "missing"),
        (lambda: drift([1, 2]), "true or false"),
        (lambda: drift([1], promised=95), "promised"),
        (lambda: drift([1], alpha=0), "alpha"),
        (lambda: drift([1], window=0), "window"),
        (lambda: drift([1], level=1), "level"),
        (lambda: drift([1, 1], times=[1]), "accepted 2, times 1"),
        (lambda: drift([1, 1], times=[2, 1]), "1 follows 2"),
        (lambda: drift([1, 1], times=[2, np.inf]), "times must lie in"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def tail(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) >= k), by hand."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_window_rings_from_the_count_whose_tail_is_its_part_of_alpha(window):
    n, most, alpha = 50, 0.1, 0.01
    least = next(k for k in range(n + 1) if tail(k, n, most) <= alpha / (window * (window + 1)))
    quiet = [0] * (window - 1)
    assert window_alarm([*quiet, least - 1], [n] * window, most=most, alpha=alpha) is None
    assert window_alarm([*quiet, least], [n] * window, most=most, alpha=alpha) == window - 1


def test_a_stream_that_keeps_its_promise_rings_no_more_often_than_alpha():
    counts = np.random.default_rng(0).binomial(100, 0.05, (2000, 50))
    rung = sum(window_alarm(row, [100] * 50, most=0.05, alpha=0.1) is not None for row in counts)
    assert rung <= 2000 * 0.1 + 4 * np.sqrt(2000 * 0.1 * 0.9)
    assert rung > 0


@pytest.mark.parametrize(
    ("rejected", "samples", "options"),
    [
        ([], [], {}),
        ([1, 2], [5], {}),
        ([6], [5], {}),
        ([-1], [5], {}),
        ([1], [5], {"most": 1}),
        ([1], [5], {"alpha": 0}),
    ],
)
def test_what_is_no_stream_is_refused(rejected, samples, options):
    with pytest.raises(ParameterError):
        window_alarm(rejected, samples, **{"most": 0.1, **options})


def test_shares_are_watched_from_both_sides_of_what_the_reference_allows():
    reference, sizes = [600, 300, 100], [200, 200, 150]
    counts = np.array([[120, 60, 20], [118, 62, 20], [40, 60, 50]])
    found = share_alarms(counts, sizes, reference, 1000, alpha=0.01)
    each = 0.01 / 12
    low, high = (end.tolist() for end in clopper_pearson(reference, [1000] * 3, level=1 - 2 * each))
    assert found == [ShareAlarm(0, 2, False, low[0], high[0]), ShareAlarm(2, 2, True, low[2], high[2])]
    assert window_alarm(counts[:, 2], sizes, most=high[2], alpha=each) == 2
    assert share_alarms(counts[:2], sizes[:2], reference, 1000) == []


def test_a_stream_of_the_reference_rings_in_no_category_more_often_than_alpha():
    rng, shares, rung = np.random.default_rng(0), [0.5, 0.3, 0.15, 0.05], 0
    for _ in range(150):
        reference, counts = rng.multinomial(200, shares), rng.multinomial(100, shares, 20)
        rung += bool(share_alarms(counts, [100] * 20, reference, 200, alpha=0.1))
    assert rung <= 150 * 0.1 + 4 * np.sqrt(150 * 0.1 * 0.9)
    drifted = rng.multinomial(100, shares[::-1], 3)
    assert {a.category for a in share_alarms(drifted, [100] * 3, rng.multinomial(200, shares), 200, alpha=0.1)} >= {
        0,
        3,
    }


@pytest.mark.parametrize(
    ("counts", "reference", "message"),
    [
        ([[1, 2]], [5], "a row for each of 1 windows"),
        ([1, 2], [5, 5], "must have"),
        ([[1, 2]], [50, 5], "more samples"),
    ],
)
def test_shares_that_do_not_fit_are_refused(counts, reference, message):
    with pytest.raises(ParameterError, match=message):
        share_alarms(counts, [10], reference, 10)
