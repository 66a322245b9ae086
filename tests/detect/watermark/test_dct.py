"""Bits in low DCT coefficients: read back, lost in noise, and against scipy's transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import fft

from unshaken.detect.watermark.watermark import (
    DCTWatermark,
    against_the_detector,
    random_key,
)


def test_dct_bits_come_back_and_noise_of_a_quarter_step_takes_them(make):
    key = random_key(16, 0)
    mark = DCTWatermark(key, step=0.2)
    clean = 0.2 + 0.6 * make.photos()
    marked = mark.encode(clean)
    assert bool((mark.bits(marked) == key).all())
    assert mark.score(marked).tolist() == [1.0] * 40
    assert float(mark.score(clean).mean()) == pytest.approx(0.5, abs=0.1)
    noise = torch.randn(marked.shape, generator=torch.Generator().manual_seed(0))
    assert float(mark.score(marked + 0.01 * noise).mean()) == 1.0
    assert float(mark.score(marked + 0.3 * noise).mean()) < 0.6


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 20, 27)])
def test_dct_carriers_are_those_of_an_independent_transform(make, shape):
    """Carriers lie on `D (k + b/2)` by scipy's own 2-d DCT of the Haar low band; other coefficients do not move."""
    key = torch.tensor([True, False, True])
    mark = DCTWatermark(key, step=0.1)
    clean = 0.3 + 0.4 * make.photos(2, shape)
    marked = mark.encode(clean)

    def blocks(images):
        weights = (0.299, 0.587, 0.114) if shape[0] == 3 else (1.0,)  # ITU-R BT.601
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


def test_what_cannot_be_decoded_counts_against_the_detector(make):
    mark = DCTWatermark(random_key(16, 0))
    images = mark.encode(make.photos(4))
    images[1, 0, 3, 3] = torch.nan
    images[3, 0, 3, 3] = torch.inf
    scores = mark.score(images)
    assert scores.isnan().tolist() == [False, True, False, True]
    counted = against_the_detector(scores, torch.tensor([True, True, False, False]))
    assert counted.tolist() == [scores[0], -math.inf, scores[2], math.inf]


def test_a_key_may_fill_all_carriers(make):
    key = torch.tensor([True, False])
    mark = DCTWatermark(key)
    marked = mark.encode(0.3 + 0.4 * make.photos(2, (1, 8, 8)))
    assert mark.bits(marked).tolist() == [[True, False]] * 2


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_a_marked_image_stays_an_image(grey):
    marked = DCTWatermark(random_key(4, 0)).encode(torch.full((2, 3, 16, 16), grey))
    assert (float(marked.min()) >= 0, float(marked.max()) <= 1) == (True, True)
    assert len(marked.unique()) > 1
