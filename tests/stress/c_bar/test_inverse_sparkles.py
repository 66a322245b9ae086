"""The image is left inside the star and fades to white outside, the more the higher the exponent."""

import torch

from unshaken.core.batch import Batch
from unshaken.stress.c_bar.inverse_sparkles import InverseSparkles


def test_black_whitens_outside_the_star():
    black = Batch(torch.zeros(1, 3, 64, 64), None, ("a",))
    mild, strong = (InverseSparkles(truncate=False, preset="imagenet").apply(black, s).images[0, 0] for s in (1, 5))
    assert float(strong.min()) < 0.3
    assert float(strong[0, 0]) > 0.6
    assert float(strong.mean()) > float(mild.mean()) + 0.2
