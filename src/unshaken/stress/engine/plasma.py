"""The diamond-square fractal (plasma), for whole batches."""

from __future__ import annotations

from torch import Tensor


def plasma_size(side: int) -> int:
    """The map's side for an image's longer side in pixels: the next power of two."""
    return 1 << (side - 1).bit_length()


def plasma(draws: Tensor, size: int, decay: float) -> Tensor:
    """A wrapped height map by the diamond-square method.

    From one corner at height 0, each level halves the grid: the centre of a square, then the middle of its left and
    upper edge, are the mean of their four neighbours plus `w U(-w, w)`. The wobble `w` starts at 100 and is divided by
    `decay` after each level, so the noise falls by `decay` squared.

    Args:
        draws: float32 `[N, size * size - 1]`, uniform on [-1, 1), level by level: centres, upper edges, left edges.
        size: side in pixels, a power of two.
        decay: above 1; the larger, the smoother.

    Returns:
        Float32 `[N, size, size]`, each map scaled to run from 0 to 1.
    """
    grid, wobble, used = draws.new_zeros(len(draws), 1, 1), 100.0, 0
    while (n := grid.shape[1]) < size:
        centres, uppers, lefts = draws[:, used : used + 3 * n * n].reshape(-1, 3, n, n).mul(wobble * wobble).unbind(1)
        used, wobble = used + 3 * n * n, wobble / decay
        across = grid + grid.roll(-1, 2)
        down = grid + grid.roll(-1, 1)
        centre = (down + down.roll(-1, 2)).mul_(0.25).add_(centres)
        finer = grid.new_empty(len(grid), n, 2, n, 2)
        finer[:, :, 0, :, 0] = grid
        finer[:, :, 1, :, 1] = centre
        finer[:, :, 0, :, 1] = across.add_(centre).add_(centre.roll(1, 1)).mul_(0.25).add_(uppers)
        finer[:, :, 1, :, 0] = down.add_(centre).add_(centre.roll(1, 2)).mul_(0.25).add_(lefts)
        grid = finer.view(len(grid), 2 * n, 2 * n)
    low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
    return grid.sub_(low).div_(high - low)
