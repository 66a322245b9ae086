"""Maps of pixels as colours."""

from __future__ import annotations

import torch
from torch import Tensor

RISING = ((0.0, 0.0, 0.02), (0.34, 0.06, 0.43), (0.73, 0.21, 0.33), (0.98, 0.56, 0.04), (0.99, 1.0, 0.64))
"""From nothing to the most: dark to light, so that it can be read without colours."""
SIGNED = ((0.02, 0.19, 0.5), (0.4, 0.66, 0.86), (0.97, 0.97, 0.97), (0.95, 0.54, 0.4), (0.55, 0.05, 0.1))
"""From against the class, by nothing, to for it."""


def heat(one: Tensor) -> Tensor:
    """A map as a coloured picture.

    Args:
        one: `[H, W]`. Without negative values its range is brought to [0, 1]; with them 0 is white, and the largest
            absolute value is at an end.

    Returns:
        float32 `[3, H, W]` in [0, 1].
    """
    values = one.double()
    if float(values.min()) < 0:
        return _between((values / values.abs().max() + 1) / 2, SIGNED)
    low, high = values.min(), values.max()
    return _between((values - low) / (high - low) if high > low else torch.zeros_like(values), RISING)


def _between(shares: Tensor, stops: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Colours at shares of the way through equidistant stops, `[3, H, W]`."""
    colours, place = torch.tensor(stops), shares.float() * (len(stops) - 1)
    first = place.long().clamp(0, len(stops) - 2)
    part = (place - first)[..., None]
    return ((1 - part) * colours[first] + part * colours[first + 1]).permute(2, 0, 1)
