"""What checks share of an image, as cleanvision 0.3.7 measures it, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.inspect.images import pattern, plain
from unshaken.inspect import DecodedSample

CLEANVISION = {
    (60, 80, 3, 2, 5): [
        0.051564993860108786, 0.1339708502424243, 0.20010785591535596, 0.25207382414652724, 0.7978577323630954,
        0.8516352208141755, 0.9186411486573502,
    ],
    (97, 41, 1, 7, 3): [
        0.05651764188035576, 0.15704039549331925, 0.22834600001842117, 0.27037392715555825, 0.7997652595402712,
        0.8440061175156677, 0.9087867741404269,
    ],
}  # fmt: skip
"""Quantiles of an image's brightness, by `calc_percentile_brightness` of cleanvision 0.3.7."""
GREY = [0.05094117647058824, 0.12156862745098039, 0.1803921568627451, 0.22745098039215686, 0.7490196078431373]


@pytest.mark.parametrize(("form", "expected"), CLEANVISION.items())
def test_the_brightness_is_that_of_cleanvision(form, expected):
    assert DecodedSample(pattern(*form)).brightness == pytest.approx(expected, rel=1e-12)


def test_the_brightness_of_a_grey_image_is_that_of_cleanvision():
    assert DecodedSample(pattern(60, 80, 3, 2, 5).convert("L")).brightness[:5] == pytest.approx(GREY, rel=1e-12)


def test_grey_is_an_image_with_equal_channels_to_the_last_pixel():
    grey = np.asarray(pattern(33, 50, 3, 2, 5).convert("L").convert("RGB")).copy()
    assert DecodedSample(Image.fromarray(grey)).is_grey
    assert DecodedSample(plain(7)).is_grey
    grey[7, 13, 2] ^= 1
    assert not DecodedSample(Image.fromarray(grey)).is_grey


def test_hashes_tell_pixels_size_and_mode_apart():
    images = [plain(0), plain(0, (30, 40)), plain((0, 0, 0)), plain(1)]
    assert len({DecodedSample(image).pixel_hash for image in images}) == 4
    assert DecodedSample(plain(0)).pixel_hash == DecodedSample(plain(0), b"file").pixel_hash
    assert DecodedSample(plain(0)).file_hash == "" != DecodedSample(plain(0), b"file").file_hash
