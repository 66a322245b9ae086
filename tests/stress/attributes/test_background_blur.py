"""Blurred backgrounds."""

import torch

from unshaken.stress.attributes.background_blur import BackgroundBlur
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.object_layers import fill_holes


def test_the_background_is_blurred_by_the_size_of_the_picture(keeps_the_object, pictures, stacked):
    found = keeps_the_object(BackgroundBlur(), 5)
    expected = gaussian_blur(fill_holes(pictures.images, stacked), 8 * 40 / 224)
    around = ~stacked.expand_as(found)
    assert torch.allclose(found[around], expected[around])
    assert torch.equal(keeps_the_object(BackgroundBlur(), 1), keeps_the_object(BackgroundBlur(), 2))  # half a pixel
