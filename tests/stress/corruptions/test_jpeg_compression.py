"""JPEG compression against Pillow, bit by bit."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.batch import Batch
from unshaken.stress.corruptions.brightness import Brightness
from unshaken.stress.corruptions.jpeg_compression import JpegCompression, jpeg_compression


def pillow(pixels, quality):
    """Saved and read by Pillow alone, `[H, W]` or `[H, W, 3]`."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("size", [(224, 224), (33, 50), (8, 17)])
@pytest.mark.parametrize("quality", [7, 10, 15, 18, 25, 40, 58, 85])
def test_equals_pillow_to_the_bit(peer, size, quality):
    pixels = peer.photo(*size)
    ours = np.rint(peer.to_rows(jpeg_compression(peer.to_images(pixels), quality)) * 255)
    assert np.array_equal(ours, pillow(pixels, quality))
    grey = np.ascontiguousarray(pixels[..., 0])
    ours = np.rint(peer.to_rows(jpeg_compression(peer.to_images(grey[..., None]), quality)) * 255)
    assert np.array_equal(ours[..., 0], pillow(grey, quality))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_to_the_bit(peer, severity):
    pixels = peer.photo()
    batch = Batch(peer.to_images(pixels), None, ("a",))
    ours = np.rint(peer.to_rows(JpegCompression().apply(batch, severity).images) * 255)
    assert np.array_equal(ours, peer.reference("jpeg_compression", pixels, severity))


def test_the_round_trip_of_other_corruptions_is_quality_85(peer):
    batch = Batch(peer.to_images(peer.photo(40, 56)), None, ("a",))
    bright = np.rint(peer.to_rows(Brightness().apply(batch, 2).images) * 255).astype(np.uint8)
    saved = np.rint(peer.to_rows(Brightness(jpeg_roundtrip=True).apply(batch, 2).images) * 255)
    assert np.array_equal(saved, pillow(bright, 85))


def test_values_between_levels_are_rounded():
    image = torch.full((1, 1, 8, 8), 100.4 / 255)
    assert torch.equal(jpeg_compression(image, 95), jpeg_compression(torch.full((1, 1, 8, 8), 100 / 255), 95))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(JpegCompression(jpeg_roundtrip=True), 2, channels=channels) == []
