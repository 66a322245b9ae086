"""Pictures with a known object."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unshaken.core import Batch


@pytest.fixture
def pictures() -> Batch:
    """Three pictures of noise, 40 x 48 pixels."""
    images = torch.rand(3, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.zeros(3, dtype=torch.int64), ("a", "b", "c"))


@pytest.fixture
def masks(pictures: Batch) -> dict[str, Tensor]:
    """Their objects: rectangles of 18 x 20 pixels, each at its own place; 18.75 % of the picture."""
    found = {}
    for i, name in enumerate(pictures.ids):
        mask = torch.zeros(40, 48, dtype=torch.bool)
        mask[4 + 6 * i : 22 + 6 * i, 5 + 8 * i : 25 + 8 * i] = True
        found[name] = mask
    return found


@pytest.fixture
def stacked(masks: dict[str, Tensor]) -> Tensor:
    """The masks as bool `[3, 1, 40, 48]`."""
    return torch.stack(list(masks.values()))[:, None]


@pytest.fixture
def keeps_the_object(pictures: Batch, masks: dict[str, Tensor], stacked: Tensor) -> Callable[..., Tensor]:
    """Edits the pictures, checks that no pixel of an object changed, and gives the edited images."""

    def check(method, severity=1, seed=0):
        images = method.with_masks(masks).apply(pictures, severity, seed).images
        inside = stacked.expand_as(images)
        assert torch.equal(images[inside], pictures.images[inside])
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
        return images

    return check
