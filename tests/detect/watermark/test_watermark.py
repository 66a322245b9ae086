"""Marks by hand: how far they move an image, what is read off, chance matches, and detectors that set their mark."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.watermark.spread_spectrum import SpreadSpectrumWatermark
from unshaken.detect.watermark.watermark import (
    DCTWatermark,
    SpreadSpectrum,
    Watermarker,
    false_positive_rate,
    matches_needed,
    random_key,
)

GRAY = torch.full((2, 3, 32, 32), 0.5)


@pytest.mark.parametrize(("n", "k", "p"), [(32, 24, 0.00350), (64, 42, 0.00843), (100, 61, 0.01760)])
def test_matches_of_a_random_key(n, k, p):
    assert false_positive_rate(n, k) == pytest.approx(p, abs=6e-6)
    by_hand = sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n
    assert false_positive_rate(n, k) == pytest.approx(by_hand, rel=1e-9)
    assert matches_needed(n, p + 1e-5) == k
    assert matches_needed(n, p - 1e-5) == k + 1
    assert (false_positive_rate(n, 0), false_positive_rate(n, n)) == (1.0, 0.5**n)


def test_keys_are_fair_and_follow_from_the_seed():
    assert torch.equal(random_key(64, 3), random_key(64, 3))
    assert not torch.equal(random_key(64, 3), random_key(64, 4))
    assert float(random_key(10_000, 0).double().mean()) == pytest.approx(0.5, abs=0.02)


def test_both_are_watermarkers():
    made: list[Watermarker] = [SpreadSpectrum((3, 32, 32), 0.01), DCTWatermark(random_key(8, 0))]
    for mark in made:
        assert mark.encode(GRAY).shape == GRAY.shape
        assert mark.score(GRAY).shape == (2,)
        assert mark.bits(GRAY).dtype == torch.bool


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SpreadSpectrum((3, 8, 8), 0.0), "amplitude"),
        (lambda: SpreadSpectrum((3, 8, 8), 1.1), "amplitude"),
        (lambda: DCTWatermark(torch.zeros(0)), "a key of shape"),
        (lambda: DCTWatermark(torch.ones(3), step=0), "step"),
        (lambda: DCTWatermark(torch.ones(3)).encode(torch.zeros(1, 3, 8, 8)), "carry 2 bits"),
        (lambda: DCTWatermark(torch.ones(1)).encode(torch.zeros(1, 2, 8, 8)), "1 or 3 channels"),
        (lambda: DCTWatermark(torch.ones(3, 1)), "a key of shape"),
        (lambda: false_positive_rate(3, 4), "matched=4"),
        (lambda: false_positive_rate(3, -1), "matched=-1"),
        (lambda: false_positive_rate(0, 0), "n=0"),
        (lambda: matches_needed(3, 1), "rate"),
        (lambda: matches_needed(3, 0), "rate"),
        (lambda: matches_needed(0, 0.5), "n=0"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()


def test_what_is_just_allowed():
    assert SpreadSpectrum((1, 2, 2), 1.0).encode(torch.zeros(1, 1, 2, 2)).unique().tolist() in ([0, 1], [0], [1])
    assert (false_positive_rate(1, 1), matches_needed(1, 0.5), matches_needed(3, 0.1)) == (0.5, 1, 4)


def test_it_marks_and_scores_as_the_watermark_of_its_key(make, anatomy):
    detector, mark = SpreadSpectrumWatermark(seed=3, amplitude=0.02), SpreadSpectrum((3, 32, 32), 0.02, seed=3)
    images = make.photos(4)
    marked = detector.mark(images)
    assert torch.equal(marked, mark.encode(images))
    scores = detector.score(ForwardPass(anatomy, torch.zeros(4, 2), images=marked), {})
    assert scores.dtype == torch.float64
    assert torch.equal(scores, mark.score(marked).double())


def test_images_of_another_size_have_a_mark_of_their_own(make):
    detector = SpreadSpectrumWatermark()
    assert detector.mark(make.photos(2, (1, 16, 24))).shape == (2, 1, 16, 24)
    assert not torch.equal(detector.mark(torch.full((1, 1, 8, 8), 0.5)), torch.full((1, 1, 8, 8), 0.5))
