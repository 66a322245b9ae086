"""Directions of objects."""

import math

import pytest
import torch

from unshaken.core import Batch
from unshaken.stress.attributes.object_direction import ANGLES, ObjectDirection


@pytest.mark.parametrize("severity", [1, 3])
def test_the_angle_is_drawn_within_the_severity(severity):
    """A thin bar's slope gives the angle back."""
    names = tuple(str(i) for i in range(12))
    bar = torch.zeros(81, 81, dtype=torch.bool)
    bar[39:42, 5:76] = True
    batch = Batch(torch.rand(12, 1, 81, 81, generator=torch.Generator().manual_seed(0)), None, names)
    made, _ = ObjectDirection(size=0).with_masks(dict.fromkeys(names, bar)).edits(batch, severity)
    angles = []
    for mask in made.masks[:, 0]:
        rows, columns = mask.nonzero().double().T
        covariance = torch.cov(torch.stack([columns, -rows]))
        axis = torch.linalg.eigh(covariance).eigenvectors[:, 1]
        angles.append(math.degrees(math.atan2(float(axis[1]), float(axis[0])) + math.pi / 2) % 180 - 90)
    assert max(map(abs, angles)) <= ANGLES[severity - 1] + 1
    assert min(angles) < 0 < max(angles)
    assert max(map(abs, angles)) > ANGLES[severity - 1] / 2
