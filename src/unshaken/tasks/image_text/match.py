"""A learned match score of images and texts: which texts belong to which images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.core.rng import seeded
from unshaken.measure import Figure, auroc
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.image_text.fit_fusion import FusionTraining, fit_head, match_scores
from unshaken.tasks.image_text.fusion import FusionHead, ImageFeatures, encode_texts, image_features_of
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.ranking.ranker import Encode

MISMATCHES = 3
"""Texts of other samples for each of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchScore:
    """P(match) of an image and a text, by a head that learned to tell a sample's own text from those of others.

    Args:
        image_features: of the images.
        encode: of the texts.
        head: of two classes; the second is a match.
    """

    image_features: ImageFeatures
    encode: Encode
    head: FusionHead

    @classmethod
    def fit(
        cls, samples: ImageTextSet, image_features: ImageFeatures, encode: Encode, *,
        training: FusionTraining | None = None,
    ) -> MatchScore:  # fmt: skip
        """Learn from matched pairs and three mismatched ones for each.

        Args:
            samples: four at least, whose texts differ.
            image_features: as of `FusionClassifier`.
            encode: as of `FusionClassifier`.
            training: how.

        Raises:
            DataError: there are too few samples, or all texts are equal.
        """
        training = training or FusionTraining()
        rows, partners = draw_mismatches(samples, training.seed)
        features = image_features_of(image_features, samples.images.float() / 255)
        vectors, there = encode_texts(encode, samples.texts, "whole")
        labels = (torch.from_numpy(rows) == torch.from_numpy(partners)).long()
        with seeded(training.seed):
            head = FusionHead(features.shape[1], vectors.shape[2], 2, hidden=training.hidden, dropout=training.dropout)
            head.standardise(features)
            fit_head(head, features[rows], vectors[partners], there[partners], labels, training)
        return cls(image_features, encode, head.eval())

    def __call__(self, images: Tensor, texts: Sequence[str]) -> Numbers:
        """P(match) of images, float32 `[n, C, H, W]` in [0, 1], with n texts, `[n]`."""
        vectors, there = encode_texts(self.encode, texts, "whole")
        found = match_scores(self.head, image_features_of(self.image_features, images), vectors, there)
        return np.asarray(widen(found).numpy())

    def scores(self, samples: ImageTextSet, rows: NDArray[np.int64], partners: NDArray[np.int64]) -> Numbers:
        """P(match) of the images of some samples with the texts of others, `[M]`."""
        features = image_features_of(self.image_features, samples.images.float() / 255)
        vectors, there = encode_texts(self.encode, samples.texts, "whole")
        found = match_scores(self.head, features[rows], vectors[partners], there[partners])
        return np.asarray(widen(found).numpy())

    def auroc(self, samples: ImageTextSet, *, seed: int = 0) -> Figure:
        """How well the score tells matched pairs of other samples from mismatched ones: 0.5 for not at all.

        Args:
            samples: none of those that were learned from.
            seed: of the mismatched texts.
        """
        rows, partners = draw_mismatches(samples, seed)
        scores = self.scores(samples, rows, partners)
        return auroc(scores[rows != partners], scores[rows == partners])


def draw_mismatches(samples: ImageTextSet, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of an image and a text by their rows: each with its own, and with three of other samples.

    A text that equals a sample's own is never a mismatch of it.

    Returns:
        Rows of the images `[4 N]` and of the texts `[4 N]`, equal in the first N.

    Raises:
        DataError: there are fewer than four samples, or the texts are all equal.
    """
    n = len(samples)
    texts = np.array(samples.texts, object)
    if n <= MISMATCHES or len(set(samples.texts)) < 2:
        raise DataError(f"{n} samples of {len(set(samples.texts))} different texts are too few for mismatched pairs")
    rng = np.random.default_rng([seed, n])
    rows, partners = [np.arange(n)], [np.arange(n)]
    for _ in range(MISMATCHES):
        drawn = rng.integers(n, size=n)
        while (same := np.flatnonzero(texts[drawn] == texts)).size:
            drawn[same] = rng.integers(n, size=same.size)
        rows.append(np.arange(n))
        partners.append(drawn)
    return np.concatenate(rows), np.concatenate(partners)
