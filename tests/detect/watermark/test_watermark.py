"""Marks by hand: how far they move an image, what is read off, chance matches, and what cannot be decoded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import fft

from unshaken.core.errors import ParameterError
from unshaken.detect.watermark.watermark import (
    LUMA,
    DCTWatermark,
    SpreadSpectrum,
    Watermarker,
    against_the_detector,
    false_positive_rate,
    matches_needed,
    random_key,
)

GRAY = torch.full((2, 3, 32, 32), 0.5)


def photos(n=40, shape=(3, 32, 32), seed=0):
    """Smooth random images."""
    draws = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(draws, shape[1:], mode="bilinear")


@pytest.mark.parametrize(("a", "norm"), [(2 / 255, 0.4347), (8 / 255, 1.7388)])
def test_a_pattern_moves_an_image_by_a_root_d(a, norm):
    mark = SpreadSpectrum((3, 32, 32), a)
    change = mark.encode(GRAY) - GRAY
    assert torch.allclose(change.abs(), torch.tensor(a), atol=1e-6)
    assert change.flatten(1).norm(dim=1).tolist() == pytest.approx([norm, norm], abs=6e-5)
    dark = SpreadSpectrum((3, 32, 32), a).encode(torch.zeros(1, 3, 32, 32))
    assert 0 < float(dark.norm()) < norm  # less after clipping


def test_the_correlation_by_hand():
    """On a flat image the 3 x 3 mean takes all away; a lone pixel leaves 8/9 of itself and -1/9 around."""
    mark = SpreadSpectrum((1, 5, 5), 0.1)
    assert float(mark.score(torch.full((1, 1, 5, 5), 0.7)).abs()) < 1e-7
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 0.9
    p = mark.pattern[0]
    around = float(p[1:4, 1:4].sum() - p[2, 2])
    assert float(mark.score(image)) == pytest.approx((0.8 * float(p[2, 2]) - 0.1 * around) / 25, abs=1e-7)


def test_spread_spectrum_separates_and_needs_its_own_key():
    mark, other = SpreadSpectrum((3, 32, 32), 4 / 255), SpreadSpectrum((3, 32, 32), 4 / 255, seed=1)
    clean, marked = photos(), mark.encode(photos())
    assert float(mark.score(marked).min()) > float(mark.score(clean).max())
    assert bool(mark.bits(marked).all())
    assert mark.bits(marked).shape == (40, 1)
    assert float(other.score(marked).mean()) < 0.1 * float(mark.score(marked).mean())


def test_dct_bits_come_back_and_noise_of_a_quarter_step_takes_them():
    key = random_key(16, 0)
    mark = DCTWatermark(key, step=0.2)
    clean = 0.2 + 0.6 * photos()
    marked = mark.encode(clean)
    assert bool((mark.bits(marked) == key).all())
    assert mark.score(marked).tolist() == [1.0] * 40
    assert float(mark.score(clean).mean()) == pytest.approx(0.5, abs=0.1)
    noise = torch.randn(marked.shape, generator=torch.Generator().manual_seed(0))
    assert float(mark.score(marked + 0.01 * noise).mean()) == 1.0
    assert float(mark.score(marked + 0.3 * noise).mean()) < 0.6


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 20, 27)])
def test_dct_carriers_are_those_of_an_independent_transform(shape):
    """Carriers lie on `D (k + b/2)` by scipy's own 2-d DCT of the Haar low band; other coefficients do not move."""
    key = torch.tensor([True, False, True])
    mark = DCTWatermark(key, step=0.1)
    clean = 0.3 + 0.4 * photos(2, shape)
    marked = mark.encode(clean)

    def blocks(images):
        weights = LUMA if shape[0] == 3 else (1.0,)
        luma = np.einsum("nchw,c->nhw", images.double().numpy(), weights)
        for r in range(shape[1] // 8):
            for c in range(shape[2] // 8):
                part = luma[:, 8 * r : 8 * r + 8, 8 * c : 8 * c + 8]
                low = (part[:, ::2, ::2] + part[:, 1::2, ::2] + part[:, ::2, 1::2] + part[:, 1::2, 1::2]) / 2
                yield fft.dctn(low, axes=(1, 2), norm="ortho")

    place = 0
    for before, after in zip(blocks(clean), blocks(marked), strict=True):
        moved = np.abs(after - before)
        for i, j in ((0, 1), (1, 0)):
            units = after[:, i, j] / 0.1 - float(key[place % 3]) / 2
            assert np.abs(units - np.rint(units)).max() < 1e-4
            assert moved[:, i, j].max() <= 0.05 + 1e-5
            place += 1
        moved[:, 0, 1] = moved[:, 1, 0] = 0
        assert moved.max() < 1e-5
    assert torch.equal(marked[..., 8 * (shape[1] // 8) :, :], clean[..., 8 * (shape[1] // 8) :, :])


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


def test_what_cannot_be_decoded_counts_against_the_detector():
    mark = DCTWatermark(random_key(16, 0))
    images = mark.encode(photos(4))
    images[1, 0, 3, 3] = torch.nan
    images[3, 0, 3, 3] = torch.inf
    scores = mark.score(images)
    assert scores.isnan().tolist() == [False, True, False, True]
    counted = against_the_detector(scores, torch.tensor([True, True, False, False]))
    assert counted.tolist() == [scores[0], -math.inf, scores[2], math.inf]


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
        (lambda: DCTWatermark(torch.zeros(0)), "a key of shape"),
        (lambda: DCTWatermark(torch.ones(3), step=0), "step"),
        (lambda: DCTWatermark(torch.ones(3)).encode(torch.zeros(1, 3, 8, 8)), "carry 2 bits"),
        (lambda: DCTWatermark(torch.ones(1)).encode(torch.zeros(1, 2, 8, 8)), "1 or 3 channels"),
        (lambda: false_positive_rate(3, 4), "matched=4"),
        (lambda: matches_needed(3, 1), "rate"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
