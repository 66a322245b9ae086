"""`boxed`: images cut to [0, 1], with a gradient for the pixels on the border."""

from __future__ import annotations

import torch
from torch import Tensor


def boxed(images: Tensor) -> Tensor:
    """Values cut to [0, 1]; the gradient passes wherever nothing is cut, at 0 and 1 too.

    `torch.clamp` passes it there in torch 2.13, and stops it in 2.15: an attack through a clamp then never moves a
    pixel that is black or white, and a picture on a black ground looks robust.

    >>> x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    >>> boxed(x).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    >>> torch.autograd.grad(boxed(x).sum(), x)[0].tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]

    Args:
        images: any shape; NaN stays NaN.
    """
    return torch.where((images < 0) | (images > 1), images.detach().clamp(0, 1), images)
