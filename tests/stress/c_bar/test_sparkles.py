"""A star at single pixels by its formula; five of them whiten, and never darken."""

import math

import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.stress.c_bar.sparkles import Sparkles, star


def test_a_star_at_single_pixels(peer):
    lengths = torch.tensor([1.0, 3.0, 2.0, 5.0, 4.0], dtype=torch.float64)
    found = star(peer.double(), (4.5, 7.25), lengths, 0.65)
    for y, x in ((0, 0), (4, 7), (11, 3), (6, 16)):
        dy, dx = y - 4.5, x - 7.25
        turn = (math.atan2(dx, dy) + math.pi) / (2 * math.pi) * 5
        ray, f = int(turn), turn % 1
        reach = float(lengths[ray % 5] * (1 - f) + lengths[(ray + 1) % 5] * f)
        glow = (reach**2 / (dy**2 + dx**2 + 1e-4)) ** 0.65
        assert float(found[y, x]) == pytest.approx(min(1, (1 - (f - 0.5) ** 2) * glow))


def test_sparkles_whiten():
    batch = Batch(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), None, ("a", "b"))
    changed = Sparkles(truncate=False).apply(batch, 5).images
    assert bool((changed >= batch.images - 1e-6).all())
    assert float((changed - batch.images).max()) > 0.5
