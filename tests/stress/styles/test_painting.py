"""Kuwahara's filter: beside a slow reference, and what it keeps."""

import numpy as np
import torch

from tests.stress.styles.squares import square
from unshaken.stress.styles.painting import Painting, kuwahara


def slow(image, radius):
    """The same by loops, on one grey picture."""
    framed = np.pad(image, radius, mode="edge")
    out = np.empty_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            windows = [
                framed[y + a : y + a + radius + 1, x + b : x + b + radius + 1] for a in (0, radius) for b in (0, radius)
            ]
            out[y, x] = min(windows, key=np.var).mean()
    return out


def test_it_is_the_mean_of_the_calmest_square():
    image = np.random.default_rng(0).random((11, 14))
    got = kuwahara(torch.from_numpy(image)[None, None].float(), 2)[0, 0].numpy()
    np.testing.assert_allclose(got, slow(image, 2), atol=1e-6)


def test_a_sharp_edge_stays_and_noise_goes():
    batch = square()
    torch.testing.assert_close(Painting().apply(batch, 5).images, batch.images, atol=1 / 200, rtol=0)
    noise = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert float(kuwahara(noise, 3).std()) < 0.7 * float(noise.std())
