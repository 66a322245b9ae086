"""8-bit pixels and back, and JPEG against Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.pixels import jpeg_compression, through_jpeg, to_pixels, to_planes


def test_planes_and_pixels_by_hand():
    pixels = np.array([[[0, 51, 255], [102, 153, 204]]], np.uint8)
    planes = to_planes(pixels)
    assert torch.allclose(planes, torch.tensor([[[0.0, 0.4]], [[0.2, 0.6]], [[1.0, 0.8]]]))
    assert np.array_equal(to_pixels(planes), pixels)
    assert to_pixels(torch.tensor([[[0.49 / 255, 0.51 / 255, 254.4 / 255, 254.6 / 255]]])).ravel().tolist() == [
        0, 1, 254, 255
    ]  # fmt: skip


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


@pytest.mark.parametrize("quality", [1, 40, 95])
@pytest.mark.parametrize("size", [(1, 1), (16, 1100), (700, 300)])
def test_a_picture_is_what_a_file_of_pillow_keeps(size, quality):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    assert np.array_equal(through_jpeg(pixels, quality), np.asarray(Image.open(file)))
