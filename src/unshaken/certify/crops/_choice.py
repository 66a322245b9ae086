"""The choice of a crop by content: best score, ties broken by the pixels themselves, never by position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.state import State

Size = tuple[int, int]
Score = Callable[[Tensor, Size], Tensor]
"""From grey levels int64 `[N, H, W]` and a crop's height and width h, w to a score a position, int64
`[N, H - h + 1, W - w + 1]`. It may read pixels inside the crop only."""

ScoreName = Literal["hash", "laplacian", "random_filter", "box_energy", "box_mean"]

PRIME = 2**32 - 5
MULTIPLIER = 2654435761
"""Knuth's multiplicative hash: 2^32 over the golden ratio."""


def grey_levels(images: Tensor) -> Tensor:
    """Luminance in whole numbers.

    Args:
        images: uint8 `[N, C, H, W]` with 1 or 3 channels.

    Returns:
        int64 `[N, H, W]`, 0 to 255: `(299 R + 587 G + 114 B + 500) // 1000`.

    Raises:
        ParameterError: another number of channels.
    """
    if images.shape[1] == 1:
        return images[:, 0].long()
    if images.shape[1] != 3:
        raise ParameterError(f"crop selection reads 1 or 3 channels, not {images.shape[1]}")
    red, green, blue = images.long().unbind(1)
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


def hash_score(seed: int = 0) -> Score:
    """A hash of the 5 x 5 block at the crop's centre: no two different blocks are alike, near or not.

    The block's grey levels are summed with random weights of 20 bits, then multiplied modulo `2^32 - 5`.
    """
    weights = np.random.Generator(np.random.Philox(seed)).integers(1, 2**20, (5, 5))

    def score(grey: Tensor, size: Size) -> Tensor:
        values = _centre_filter(grey, size, weights, "hash") % PRIME
        high, low = MULTIPLIER >> 16, MULTIPLIER & 0xFFFF  # in two steps of 16 bits, so that int64 never overflows
        return ((values * high % PRIME) * 65536 + values * low) % PRIME

    return score


def laplacian_score() -> Score:
    """The absolute Laplacian (four neighbours) at the crop's centre pixel."""
    weights = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])

    def score(grey: Tensor, size: Size) -> Tensor:
        return _centre_filter(grey, size, weights, "laplacian").abs()

    return score


def random_filter_score(seed: int = 0) -> Score:
    """The response of a random 9 x 9 filter, of sum zero, at the crop's centre."""
    weights = np.random.Generator(np.random.Philox(seed)).integers(-1000, 1001, (9, 9))
    weights = weights.size * weights - weights.sum()

    def score(grey: Tensor, size: Size) -> Tensor:
        return _centre_filter(grey, size, weights, "random_filter")

    return score


def box_energy_score() -> Score:
    """The sum over the crop of squared differences of neighbours. Smooth in position: a bad score, for comparison."""

    def score(grey: Tensor, size: Size) -> Tensor:
        down, right = grey.diff(dim=1).square(), grey.diff(dim=2).square()
        return _box_sum(down, (size[0] - 1, size[1])) + _box_sum(right, (size[0], size[1] - 1))

    return score


def box_mean_score() -> Score:
    """The sum of the crop's grey levels. Smooth in position: a bad score, for comparison."""
    return _box_sum


def score_named(name: ScoreName, seed: int = 0) -> Score:
    """The score of a name; `seed` is that of the random weights where it has any."""
    makers: dict[str, Callable[[], Score]] = {
        "hash": lambda: hash_score(seed),
        "laplacian": laplacian_score,
        "random_filter": lambda: random_filter_score(seed),
        "box_energy": box_energy_score,
        "box_mean": box_mean_score,
    }
    return makers[name]()


def _centre_filter(grey: Tensor, size: Size, weights: NDArray[np.int64], name: str) -> Tensor:
    """A filter applied to the block around pixel `(h // 2, w // 2)` of every crop; only these pixels are read."""
    side = len(weights)
    if min(size) < side:
        raise ParameterError(f"the score {name!r} reads {side} x {side} pixels, more than a crop of {size}")
    tops, lefts = grey.shape[1] - size[0] + 1, grey.shape[2] - size[1] + 1
    first = size[0] // 2 - side // 2, size[1] // 2 - side // 2
    total = torch.zeros(len(grey), tops, lefts, dtype=torch.int64, device=grey.device)
    for dy, row in enumerate(weights.tolist()):
        for dx, weight in enumerate(row):
            if weight:
                top, left = first[0] + dy, first[1] + dx
                total.add_(grey[:, top : top + tops, left : left + lefts], alpha=weight)
    return total


def _box_sum(values: Tensor, size: Size) -> Tensor:
    """Sums over all boxes; exact, for whole numbers have no rounding."""
    h, w = size
    padded = torch.nn.functional.pad(values.cumsum(1).cumsum(2), (1, 0, 1, 0))
    return padded[:, h:, w:] - padded[:, :-h, w:] - padded[:, h:, :-w] + padded[:, :-h, :-w]


class Selection(State):
    """The selected crops of images, best first.

    Args:
        top: int64 `[N, k]`, the crop's first row in the image.
        left: int64 `[N, k]`, its first column.
        score: int64 `[N, k]`.
        margin: int64 `[N]`, best score minus the second best; 0 for a tie, and where there is one candidate only.
    """

    top: Tensor
    left: Tensor
    score: Tensor
    margin: Tensor


@dataclass(frozen=True, slots=True)
class Candidates:
    """All scored crops of images.

    Args:
        pixels: uint8 `[N, C, H, W]`, wrapped copies of rows and columns added for cyclic candidates.
        scores: int64 `[N, a, b]`; entry `(i, j)` is the crop whose first pixel is `(first[0] + i, first[1] + j)`.
        size: the crop's height and width.
        first: position of the first candidate.
    """

    pixels: Tensor
    scores: Tensor
    size: Size
    first: tuple[int, int] = (0, 0)

    def part(self, top: int, left: int, rows: int, columns: int) -> Candidates:
        """The candidates in a rectangle of positions, counted from the first."""
        scores = self.scores[:, top : top + rows, left : left + columns]
        return Candidates(self.pixels, scores, self.size, (self.first[0] + top, self.first[1] + left))

    def best(self, top: int = 1) -> Selection:
        """The best k, by (score, content)."""
        columns = self.scores.shape[2]
        flat = self.scores.flatten(1)
        if not 1 <= top <= flat.shape[1]:
            raise ParameterError(f"top={top} crops cannot be selected out of {flat.shape[1]} candidates")
        score, place = flat.topk(min(top + 1, flat.shape[1]), dim=1)
        tied = (score.diff(dim=1) == 0).any(1)
        for i in tied.nonzero().flatten().tolist():
            ordered = self._ranked(i, top)
            place[i, :top] = torch.tensor(ordered, device=place.device)
        margin = score[:, 0] - score[:, 1] if score.shape[1] > 1 else torch.zeros_like(score[:, 0])
        place = place[:, :top]
        y, x = place.div(columns, rounding_mode="floor") + self.first[0], place % columns + self.first[1]
        return Selection(y, x, flat.gather(1, place), margin)

    def is_best(self) -> Tensor:
        """Bool `[N, a, b]`: the crops of the best score whose content is that of the selected one."""
        flat = self.scores.flatten(1)
        mask = flat == flat.amax(1, keepdim=True)
        for i in (mask.sum(1) > 1).nonzero().flatten().tolist():
            largest = self._largest(i, mask[i].nonzero().flatten().tolist())
            mask[i] = False
            mask[i, largest] = True
        return mask.view(self.scores.shape)

    def _ranked(self, i: int, top: int) -> list[int]:
        """Places of the best k candidates of one image by (score, content)."""
        flat = self.scores[i].flatten()
        left = torch.ones_like(flat, dtype=torch.bool)
        found: list[int] = []
        while len(found) < top:
            best = flat[left].amax()
            places = self._largest(i, ((flat == best) & left).nonzero().flatten().tolist())[: top - len(found)]
            found += places
            left[places] = False
        return found

    def _largest(self, i: int, places: list[int]) -> list[int]:
        """Those places of one image whose crop is lexicographically the largest: by row, then channel, then column."""
        (height, width), columns = self.size, self.scores.shape[2]
        image = self.pixels[i].cpu().numpy()
        if image.min() == image.max():
            return places
        starts = {p: (self.first[0] + p // columns, self.first[1] + p % columns) for p in places}
        for dy in range(height):
            rows = {p: image[:, y + dy, x : x + width].tobytes() for p, (y, x) in starts.items()}
            largest = max(rows.values())
            starts = {p: at for p, at in starts.items() if rows[p] == largest}
            if len(starts) == 1:
                break
        return list(starts)


def to_levels(images: Tensor) -> Tensor:
    """Images in [0, 1] as the 256 levels that scores read, uint8, without gradients."""
    return (images.detach().float() * 255).round_().clamp_(0, 255).to(torch.uint8)


def wrapped(images: Tensor, size: Size) -> Tensor:
    """Images with their first rows and columns repeated behind the last, so that every wrapped crop is a plain one."""
    rows = torch.arange(images.shape[2] + size[0] - 1, device=images.device) % images.shape[2]
    columns = torch.arange(images.shape[3] + size[1] - 1, device=images.device) % images.shape[3]
    return images[:, :, rows][:, :, :, columns]


def candidates(pixels: Tensor, size: Size, score: Score) -> Candidates:
    """Score every crop of images, at every pixel: a coarser grid would see other crops after most shifts.

    Args:
        pixels: uint8 `[N, C, H, W]`.
        size: the crop's height and width, at most H and W.
        score: see `unshaken.certify.crops._choice`.

    Raises:
        ParameterError: the crop does not fit into the images.
    """
    if not (1 <= size[0] <= pixels.shape[2] and 1 <= size[1] <= pixels.shape[3]):
        raise ParameterError(
            f"a crop of {size[0]} x {size[1]} pixels does not fit into images of {pixels.shape[2]} x {pixels.shape[3]}"
        )
    return Candidates(pixels, score(grey_levels(pixels), size), size)


def central(found: Candidates, rows: int, columns: int) -> Candidates:
    """The central block of positions, of at most the given numbers of rows and columns."""
    height, width = found.scores.shape[1:]
    a, b = min(rows, height), min(columns, width)
    return found.part((height - a) // 2, (width - b) // 2, a, b)


def windows_agree(photo: Candidates, rows: int, columns: int) -> Tensor:
    """Whether all windows of a photo select the same crop: true if they do, false if at least two differ.

    A window sees a rectangle of the photo's candidates. All select the photo's best crop if each of them sees it;
    otherwise one that sees it differs from one that does not. Copies of the best crop count as one.

    Args:
        photo: the candidates that any window sees.
        rows: of candidates that one window sees, at most the photo's.
        columns: as `rows`.

    Returns:
        Bool `[N]`.
    """
    best = photo.is_best().float()[:, None]
    pooled = F.max_pool2d(best, (rows, columns), stride=1)
    return pooled.flatten(1).bool().all(1)


def cut(images: Tensor, selection: Selection, size: Size) -> Tensor:
    """The selected crops; gradients pass to the pixels that were cut.

    Args:
        images: `[N, C, H, W]`.
        selection: k crops an image.
        size: their height and width.

    Returns:
        `[N, k, C, h, w]`.
    """
    (h, w), places = size, zip(selection.top.tolist(), selection.left.tolist(), strict=True)
    return torch.stack(
        [
            torch.stack([image[:, top : top + h, left : left + w] for top, left in zip(tops, lefts, strict=True)])
            for image, (tops, lefts) in zip(images.unbind(), places, strict=True)
        ]
    )


def resize(crops: Tensor, size: Size | None) -> Tensor:
    """Crops `[M, C, h, w]` at another size, bilinear with antialiasing; as they are where it is theirs or None."""
    if size is None or tuple(crops.shape[2:]) == size:
        return crops
    return F.interpolate(crops, size, mode="bilinear", antialias=True, align_corners=False)
