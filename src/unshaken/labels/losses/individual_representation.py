"""Individual representation calibration: representations stay near those that no label has touched."""

from __future__ import annotations

from torch import Tensor


def individual_representation(features: Tensor, frozen: Tensor) -> Tensor:
    """`mean_i |f_i - z_i|^2`, a scalar; its gradient is `2 (f - z) / B`.

    Args:
        features: f, of the encoder that is trained, `[B, m]`.
        frozen: z, of the encoder as it was pretrained, `[B, m]`.

    Source: Zhang et al. 2023, arXiv:2211.10955; the norm is not published.
    """
    return (features - frozen).square().sum(1).mean()
