"""Retrieval both ways: captions for an image, and images for a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import DataError, ParameterError
from unshaken.measure import Figure, share
from unshaken.measure.statistics.spread import figure_of_means
from unshaken.tasks.ranking.images import rank_images
from unshaken.tasks.zero_shot.tables import Captions

DEPTHS = (1, 5, 10)
"""The K of Recall@K."""
TO_TEXT, TO_IMAGE = "image-to-text", "text-to-image"


@dataclass(frozen=True, slots=True)
class RetrievalRanks:
    """The first hit of each query of one direction.

    Args:
        direction: `image-to-text` or `text-to-image`.
        ids: of the queries: an image's, or the number of a caption.
        images: whose image each query is of: queries of one image are not independent.
        ranks: of the first hit, from 1; 0 where none is within the depth.
        depth: places of each ranking that count.
    """

    direction: str
    ids: tuple[str, ...]
    images: tuple[str, ...]
    ranks: tuple[int, ...]
    depth: int

    def recall(self, k: int) -> Figure:
        """Recall@K: the share of queries with a hit among the first K; the interval resamples images.

        Raises:
            ParameterError: K is below 1 or beyond the depth.
        """
        if not 1 <= k <= self.depth:
            raise ParameterError(f"recall at {k} is not known: the first {self.depth} were kept")
        hits = np.array([0 < rank <= k for rank in self.ranks])
        _, place = np.unique(self.images, return_inverse=True)
        counts = np.stack([np.bincount(place, hits), np.bincount(place)], 1).astype(np.float64)
        if hits.all() or not hits.any():  # a bootstrap would have no width
            return share(int(hits.all()) * len(counts), len(counts))
        most = counts[:, 1].max()
        possible = np.array([[0.0, most], [most, most]])  # an image whose queries all miss, or all hit
        return figure_of_means(counts, lambda m: m[..., 0] / m[..., 1], possible=lambda: possible)


def retrieve(
    images: ArrayLike, ids: Sequence[str], texts: ArrayLike, captions: Captions, *, depth: int = max(DEPTHS)
) -> tuple[RetrievalRanks, RetrievalRanks]:
    """Rank all captions for each image, and all images for each caption, by cosine.

    An image is found by any of its captions: its hit is the first of them. The caption of another image is a miss, even
    where its words are the same. Equal scores are decided as in `sort_by_score`.

    Args:
        images: embeddings `[N, D]` of length 1.
        ids: of the N images.
        texts: embeddings `[M, D]` of length 1.
        captions: the M captions, all of these images; an image without one asks for none.
        depth: places of each ranking that count.

    Returns:
        `image-to-text` and `text-to-image`.

    Raises:
        DataError: numbers do not fit, or a caption's image is not there.
        ParameterError: embeddings do not fit together or are not finite.
    """
    pictures, sentences = (np.asarray(vectors, np.float32) for vectors in (images, texts))
    if len(sentences) != len(captions.texts):
        raise DataError(f"{len(sentences)} embeddings came with {len(captions.texts)} captions: give one a caption")
    for what, vectors in (("image", pictures), ("text", sentences)):
        if not np.isfinite(vectors).all():
            raise ParameterError(f"{what} embeddings must be finite, but some are not: check weights and input")
    captions.among(ids)
    asked = list(dict.fromkeys(captions.images))
    own: dict[str, list[int]] = {}  # the captions of each image
    for number, image in enumerate(captions.images):
        own.setdefault(image, []).append(number)
    texts_ids = [f"caption {i}" for i in range(len(sentences))]
    images_ids = [f"image {name}" for name in ids]
    place = {name: i for i, name in enumerate(ids)}
    queries = [f"image {name}" for name in asked]
    by_image = rank_images(pictures[[place[name] for name in asked]], sentences, queries, texts_ids, depth=depth)
    to_text = [_first({f"caption {i}" for i in own[n]}, by_image[q].ids) for n, q in zip(asked, queries, strict=True)]
    by_text = rank_images(sentences, pictures, texts_ids, images_ids, depth=depth)
    to_image = [_first({f"image {n}"}, by_text[q].ids) for n, q in zip(captions.images, texts_ids, strict=True)]
    numbers = tuple(str(i) for i in range(len(sentences)))
    return (
        RetrievalRanks(TO_TEXT, tuple(asked), tuple(asked), tuple(to_text), depth),
        RetrievalRanks(TO_IMAGE, numbers, captions.images, tuple(to_image), depth),
    )


def _first(wanted: set[str], ranked: Sequence[str]) -> int:
    """The rank of the first that is wanted, from 1; 0 for none."""
    return next((rank for rank, name in enumerate(ranked, 1) if name in wanted), 0)


def recalls(found: RetrievalRanks, depths: Sequence[int] = DEPTHS) -> dict[str, Figure]:
    """Recall at the depths that lie within the depth of the ranking, by name."""
    return {f"recall_{k}": found.recall(k) for k in depths if k <= found.depth}
