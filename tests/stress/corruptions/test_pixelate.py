"""Pixelation against Pillow, bit by bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.batch import Batch
from unshaken.stress.corruptions.pixelate import Pixelate, pixelate, pixelate_pixels

RATIOS = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.25, 0.15)


@pytest.mark.parametrize(("variant", "back"), [("hendrycks", Image.BOX), ("bethge", Image.NEAREST)])
def test_equals_pillow_to_the_bit_at_any_size(variant, back):
    rng = np.random.default_rng(0)
    for height in [*range(8, 70), 99, 224, 256, 299]:
        for ratio in RATIOS:
            width = height + 3
            pixels = rng.integers(0, 256, (height, width), dtype=np.uint8)
            small = Image.fromarray(pixels).resize((int(width * ratio), int(height * ratio)), Image.BOX)
            theirs = np.asarray(small.resize((width, height), back))
            ours = pixelate(torch.from_numpy(pixels)[None, None].float() / 255, ratio, variant)
            assert np.array_equal(np.rint(ours[0, 0].numpy() * 255), theirs), (height, ratio)


@pytest.mark.parametrize("variant", ["hendrycks", "bethge"])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_to_the_bit(peer, variant, severity):
    pixels = peer.photo()
    batch = Batch(peer.to_images(pixels), None, ("a",))
    ours = np.rint(peer.to_rows(Pixelate(variant=variant).apply(batch, severity).images) * 255)
    assert np.array_equal(ours, peer.reference("pixelate", pixels, severity))


def test_blocks_by_hand():
    image = torch.tensor([[0.0, 2, 10, 20], [4, 6, 30, 40]]).repeat_interleave(2, 0)[None, None] / 255
    blocks = torch.tensor([[1.0, 1, 15, 15], [5, 5, 35, 35]]).repeat_interleave(2, 0) / 255
    assert torch.equal(pixelate(image, 0.5)[0, 0], blocks)


def test_a_constant_image_is_a_fixed_point():
    image = torch.full((1, 3, 50, 37), 77 / 255)
    for ratio in RATIOS:
        assert torch.equal(pixelate(image, ratio), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(Pixelate(preset="imagenet"), 1, channels=channels) == []


@pytest.mark.parametrize("size", [(8, 9), (40, 33), (257, 260)])
def test_images_that_share_a_pass_are_those_of_pillow(peer, size):
    pixels = list(np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8))
    rows = [i % 3 for i in range(50 if size[0] < 100 else 3)]
    found = pixelate(torch.cat([peer.to_images(pixels[i]) for i in rows]), 0.4)
    theirs = [pixelate_pixels(one, 0.4) for one in pixels]
    for i, ours in zip(rows, found, strict=True):
        assert np.array_equal(np.rint(peer.to_rows(ours[None]) * 255), theirs[i])
