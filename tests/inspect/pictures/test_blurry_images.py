"""The score as cleanvision 0.3.7 measures it: edges and shades at 64 pixels."""

import math

import numpy as np
import pytest
from PIL import Image

from tests.inspect.images import find, pattern, plain
from unshaken.inspect import BlurryImages, DecodedSample

CLEANVISION = {
    (60, 80, 3, 2, 5): (62.63670464781742, 7.505726980113252),
    (97, 41, 1, 7, 3): (98.09525790202446, 6.021446047254762),
    (40, 150, 9, 1, 0): (72.08137231139472, 3.322508465000503),
}
"""`blurriness` and `blurriness_grayscale_std`, by `BlurrinessProperty.calculate`."""


@pytest.mark.parametrize(("form", "expected"), CLEANVISION.items())
def test_the_score_is_that_of_cleanvision(form, expected):
    edges, shades = (1 - math.exp(-one / 100) for one in expected)
    assert BlurryImages().score(DecodedSample(pattern(*form))) == pytest.approx(edges, rel=1e-12)
    assert shades < 0.18  # so that it does not count


def test_a_blurred_photo_is_found_and_a_drawing_is_not():
    sharp = pattern(64, 64, 3, 2, 5)
    soft = np.random.default_rng(0).integers(60, 190, (4, 4), np.uint8)
    blurred = Image.fromarray(soft).resize((64, 64), Image.Resampling.BICUBIC)
    drawing = plain(255, (64, 64))
    drawing.paste(0, (30, 0, 31, 64))  # one line: weak edges in all, but two shades
    found = find(BlurryImages(), [sharp, blurred, drawing])
    assert found.rows.tolist() == [1]
