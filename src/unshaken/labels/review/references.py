"""Reference pictures of a class: of samples whose label is least suspect, those that are most like the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unshaken.measure.statistics.columns import Indices, Numbers

SIDE = 8
"""Pixels of a side of the pictures that are compared."""
Vector = NDArray[np.floating]
SHOWN = 4
"""Reference pictures of a class."""


class Likeness(Protocol):
    """A way to compare samples: the nearer their vectors, the more alike they are.

    Attributes:
        basis: what is compared, in a word.
        most_of_a_class: candidates of a class.
        most: candidates of all classes together, the samples themselves included.
    """

    basis: str
    most_of_a_class: int
    most: int

    def vector(self, sample: int) -> Vector | None:
        """The vector of a sample, or None where there is none."""


class PixelLikeness:
    """Samples compared in their pixels, made 8 by 8: what is left where a search has no features.

    Args:
        picture: gives the pixels of a sample, uint8 `[H, W, C]`, or None where it cannot be read.
    """

    basis, most_of_a_class, most = "pixels", 64, 6000

    def __init__(self, picture: Callable[[int], np.ndarray | None]) -> None:
        self._picture, self._found = picture, dict[int, Vector | None]()

    def vector(self, sample: int) -> Vector | None:
        """The small picture of a sample, `[192]`; None where it cannot be read."""
        if sample not in self._found:
            pixels = self._picture(sample)
            self._found[sample] = None if pixels is None else shrink(pixels)
        return self._found[sample]


class FeatureLikeness:
    """Samples compared by the cosine of a network's features.

    Args:
        features: of all samples, float `[N, D]`.
    """

    basis, most_of_a_class, most = "features", 1000, 100_000

    def __init__(self, features: NDArray[np.floating]) -> None:
        self._features = features

    def vector(self, sample: int) -> Vector | None:
        """The features of a sample, scaled to length 1."""
        values = np.asarray(self._features[sample], np.float32)
        return values / max(float(np.linalg.norm(values)), 1e-12)


class References:
    """Reference pictures of classes.

    Candidates are the least suspect samples of a class. Those are shown whose vectors are nearest to the sample's; with
    more samples to show than may be compared, the least suspect of the class.

    Args:
        labels: of all samples, int `[N]`.
        scores: how likely each label is right; the lower the more suspect, `[N]`.
        likeness: the way to compare samples.
        wanted: samples that will be shown, with the classes that each needs.
    """

    def __init__(
        self, labels: Indices, scores: Numbers, likeness: Likeness, wanted: Mapping[int, Sequence[int]]
    ) -> None:
        self._likeness, self._candidates = likeness, dict[int, tuple[Indices, Vector]]()
        classes = sorted({c for needed in wanted.values() for c in needed})
        most = (likeness.most - len(wanted)) // max(1, len(classes))
        self._compares = most > SHOWN
        most = min(most, likeness.most_of_a_class) if self._compares else SHOWN + 1
        order = np.argsort(-scores, kind="stable")
        self._pools = {c: order[labels[order] == c][:most] for c in classes}

    @property
    def basis(self) -> str:
        """Quantity compared, in a word; empty where there are too many samples to compare."""
        return self._likeness.basis if self._compares else ""

    def of(self, sample: int, label: int) -> list[int]:
        """The samples to show beside one, the most similar first.

        Args:
            sample: index of the sample.
            label: class of the references; one that `wanted` names.
        """
        own = self._likeness.vector(sample) if self._compares else None
        if own is None:
            return [int(i) for i in self._pools[label] if i != sample][:SHOWN]
        pool, vectors = self._known(label)
        order = np.argsort(np.linalg.norm(vectors - own, axis=1), kind="stable")
        return [int(i) for i in pool[order] if i != sample][:SHOWN]

    def _known(self, label: int) -> tuple[Indices, Vector]:
        """Candidates of a class that have a vector, and these, `[n, D]`."""
        if label not in self._candidates:
            pairs = ((i, self._likeness.vector(i)) for i in self._pools[label].tolist())
            found = [(i, vector) for i, vector in pairs if vector is not None]
            pool = np.array([i for i, _ in found], np.int64)
            self._candidates[label] = pool, np.stack([v for _, v in found]) if found else np.zeros((0, 1))
        return self._candidates[label]


def shrink(pixels: np.ndarray) -> Vector:
    """An image as 8 by 8 pixels in three colours, `[192]`.

    Args:
        pixels: uint8 `[H, W, C]` with one channel or three.
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64).ravel()
