"""Reference pictures of a class: of samples whose label is least suspect, those that look most like the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from unshaken.measure.statistics.columns import Indices, Numbers

SIDE = 8
"""Pixels of a side of the pictures that are compared."""
SHOWN = 4
"""Reference pictures of a class."""
MOST_READ = 6000
"""Images that may be read to find the nearest; beyond them the least suspect of the class are shown."""
MOST_OF_A_CLASS = 64


class References:
    """Reference pictures of classes.

    Candidates are the least suspect samples of a class. Of at most 64 of them those are shown that are nearest to the
    sample in the pixels of both, made 8 by 8.

    Args:
        labels: of all samples, int `[N]`.
        scores: how likely each label is right; the lower the more suspect, `[N]`.
        picture: gives the pixels of a sample, uint8 `[H, W, C]`, or None where it cannot be read.
        wanted: samples that will be shown, with the classes that each needs.
    """

    def __init__(
        self, labels: Indices, scores: Numbers, picture: Callable[[int], np.ndarray | None],
        wanted: Mapping[int, Sequence[int]],
    ) -> None:  # fmt: skip
        self._picture, self._small = picture, dict[int, Numbers | None]()
        classes = sorted({c for needed in wanted.values() for c in needed})
        most = (MOST_READ - len(wanted)) // max(1, len(classes))
        self._compares = most > SHOWN
        most = min(most, MOST_OF_A_CLASS) if self._compares else SHOWN + 1
        order = np.argsort(-scores, kind="stable")
        self._pools = {c: order[labels[order] == c][:most] for c in classes}

    def of(self, sample: int, label: int) -> list[int]:
        """The samples to show beside one, the most similar first.

        Args:
            sample: index of the sample.
            label: class of the references; one that `wanted` names.
        """
        pool = [int(i) for i in self._pools[label] if i != sample]
        own = self._shrunk(sample) if self._compares else None
        if own is None:
            return pool[:SHOWN]
        near = [(float(np.abs(own - small).sum()), i) for i in pool if (small := self._shrunk(i)) is not None]
        return [i for _, i in sorted(near)[:SHOWN]]

    def _shrunk(self, sample: int) -> Numbers | None:
        if sample not in self._small:
            pixels = self._picture(sample)
            self._small[sample] = None if pixels is None else shrink(pixels)
        return self._small[sample]


def shrink(pixels: np.ndarray) -> Numbers:
    """An image as 8 by 8 pixels in three colours, `[192]`.

    Args:
        pixels: uint8 `[H, W, C]` with one channel or three.
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel()
