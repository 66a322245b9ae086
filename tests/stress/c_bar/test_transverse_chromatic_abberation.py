"""Enlarged channels against scipy's zoom of 8-bit planes; a grey image stays grey."""

import numpy as np
from scipy.ndimage import zoom

from unshaken.core.batch import Batch
from unshaken.stress.c_bar.transverse_chromatic_abberation import TransverseChromaticAbberation, enlarge_channels


def test_equals_scipy_s_zoom(peer):
    pixels = peer.photo(20, 26)
    ours = peer.to_rows(enlarge_channels(peer.to_images(pixels)[0].double(), (1.1, 1.0, 1.25))) * 255
    for channel, scale in enumerate((1.1, 1.0, 1.25)):
        large = zoom(pixels[..., channel], scale, prefilter=False)
        top, left = ((a - b) // 2 for a, b in zip(large.shape, (20, 26), strict=True))
        apart = np.abs(np.rint(ours[..., channel]) - large[top : top + 20, left : left + 26].astype(float))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.02  # where the sum lies half-way between two levels


def test_the_order_of_channels_differs_between_samples(peer):
    image = peer.to_images(peer.photo(24, 24))
    batch = Batch(image.expand(6, -1, -1, -1), None, tuple("abcdef"))
    changed = TransverseChromaticAbberation().apply(batch, 5).images
    assert len({tuple(row) for row in (changed - batch.images).abs().mean((2, 3)).argsort().tolist()}) > 1
