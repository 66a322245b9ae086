"""A scene of one depth is in focus everywhere."""

import torch

from unshaken.core import Batch
from unshaken.stress.common_3d.far_focus import FarFocus


def test_a_flat_scene_stays_sharp():
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    method = FarFocus(truncate=False).with_depth(lambda given: torch.full((len(given), 16, 16), 0.5))
    assert torch.allclose(method.apply(Batch(images, None, ("a",)), 5).images, images, atol=1e-6)
