"""A detector that sets its own mark: the mark of its key, found again in the same pixels."""

from __future__ import annotations

import torch

from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.watermark.spread_spectrum import SpreadSpectrumWatermark
from unshaken.detect.watermark.watermark import SpreadSpectrum


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
