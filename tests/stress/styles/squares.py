"""Pictures whose renderings are known: a dark square on a bright ground, and one of one colour."""

import torch

from unshaken.core import Batch


def square(n=2, side=32):
    images = torch.full((n, 3, side, side), 0.8)
    images[:, :, 10:22, 10:22] = 0.3
    return Batch(images, None, tuple(f"s{i}" for i in range(n)))


def flat(value=0.5):
    return Batch(torch.full((1, 3, 24, 24), value), None, ("a",))
