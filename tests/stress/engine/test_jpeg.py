"""JPEG of a batch against Pillow's, image by image."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.stress.engine.jpeg import jpeg_compression


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_each_image_is_what_pillow_makes_of_it(channels, mode):
    images = torch.rand(2, channels, 17, 22, generator=torch.Generator().manual_seed(0))
    found = jpeg_compression(images, 40)
    assert found.dtype == torch.float32
    for ours, image in zip(found, images, strict=True):
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels if channels == 3 else pixels[..., 0], mode).save(file, "JPEG", quality=40)
        theirs = np.asarray(Image.open(file)).reshape(17, 22, channels)
        assert np.array_equal((ours * 255).round().permute(1, 2, 0).numpy(), theirs)


def test_no_images_stay_none():
    assert jpeg_compression(torch.zeros(0, 3, 8, 8), 50).shape == (0, 3, 8, 8)
