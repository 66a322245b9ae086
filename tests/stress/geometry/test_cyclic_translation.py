"""Cyclic translation against numpy's rolling."""

import numpy as np
import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.stress.geometry.cyclic_translation import CyclicTranslation, cyclic_translation
from unshaken.stress.geometry.translation import NEIGHBOURS

PICTURE = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, -1), (-3, 2), (20, -13)])
def test_equals_a_roll(dy, dx):
    expected = np.roll(PICTURE.numpy(), (-dy, -dx), (2, 3))
    assert np.array_equal(cyclic_translation(PICTURE, torch.tensor([dy]), torch.tensor([dx])).numpy(), expected)


@pytest.mark.parametrize("severity", [1, 5])
def test_each_sample_moves_by_the_severity_to_one_of_eight_neighbours(severity):
    dy, dx = CyclicTranslation().moves(severity, SampleRng.of(0, "moves", [str(i) for i in range(800)]))
    moves, counts = torch.stack([dy, dx], 1).unique(dim=0, return_counts=True)
    assert sorted(map(tuple, moves.tolist())) == sorted((severity * a, severity * b) for a, b in NEIGHBOURS)
    assert counts.min() > 60  # 100 each on average


def test_one_pixel_moves_every_pixel_and_loses_none():
    images = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    moved = CyclicTranslation().apply(Batch(images, None, tuple(map(str, range(16)))), 1).images
    assert torch.equal(moved.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
    assert all(not torch.equal(a, b) for a, b in zip(moved, images, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(CyclicTranslation(), 2, channels=channels) == []
