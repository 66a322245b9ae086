"""Retrieval of images by vectors of any model: the gallery in order for each query, and who is relevant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.tasks.ranking.order import DEPTH, Ranking, sort_by_score, tie_order


def image_vectors(model: Classifier, images: Tensor, layer: str, *, batch: int = 256) -> Tensor:
    """The outputs of a layer as vectors of length 1, maps averaged over places, `[N, E]`.

    Args:
        model: any classifier.
        images: `[N, C, H, W]` in [0, 1].
        layer: its name; see `Classifier.features`.
        batch: images of one pass.

    Raises:
        ModelError: there is no such layer.
    """
    found = []
    with evaluating(model), torch.no_grad():
        for part in images.split(batch):  # type: ignore[no-untyped-call]
            found.append(vectors_of(model.features(part, [layer])[1][layer]))
    return torch.cat(found)


def vectors_of(values: Tensor) -> Tensor:
    """Outputs of a layer as float32 vectors of length 1, `[N, E]`: maps `[N, E, ...]` are averaged over places."""
    flat = values.flatten(2).mean(2) if values.dim() > 2 else values
    return torch.nn.functional.normalize(flat.float(), dim=1)


def rank_images(
    queries: ArrayLike, gallery: ArrayLike, query_ids: Sequence[str], gallery_ids: Sequence[str], *, depth: int = DEPTH
) -> dict[str, Ranking]:
    """The gallery in order of the inner product with each query, ties as in `sort_by_score`.

    Args:
        queries: vectors `[Q, E]` of length 1.
        gallery: vectors `[G, E]`.
        query_ids: Q names; an image of the gallery of the same name is the query itself and is left out.
        gallery_ids: G names.
        depth: images kept of each ranking.

    Raises:
        ParameterError: there are not as many names as vectors, a name comes twice, or the vectors do not fit together.
    """
    asked, there = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    if asked.ndim != 2 or there.ndim != 2 or asked.shape[1] != there.shape[1]:
        raise ParameterError(f"vectors of queries {list(asked.shape)} and gallery {list(there.shape)} do not fit")
    if len(asked) != len(query_ids) or len(there) != len(gallery_ids):
        raise ParameterError(f"give one name a vector: {len(query_ids)} for {len(asked)} queries, {len(gallery_ids)} "
                             f"for {len(there)} images of the gallery")  # fmt: skip
    for what, ids in (("query", query_ids), ("gallery", gallery_ids)):
        if len(set(ids)) < len(ids):
            raise ParameterError(
                f"{len(ids) - len(set(ids))} {what} names come twice: give every image a name of its own"
            )
    ties, found = tie_order(gallery_ids), {}
    for query, row in zip(query_ids, asked @ there.T, strict=True):
        ranking = sort_by_score(gallery_ids, row, depth=depth + 1, ties=ties)
        kept = [i for i, image in enumerate(ranking.ids) if image != query][:depth]
        found[query] = Ranking(tuple(ranking.ids[i] for i in kept), ranking.scores[kept])
    return found


def same_class(
    query_ids: Sequence[str], query_labels: Sequence[int], gallery_ids: Sequence[str], gallery_labels: Sequence[int]
) -> dict[str, dict[str, int]]:
    """Judgements by class: an image of the gallery is relevant if it has the query's class and is not the query.

    Args:
        query_ids: Q names.
        query_labels: Q classes.
        gallery_ids: G names.
        gallery_labels: G classes.

    Returns:
        Query id to relevant image to 1. A query whose class the gallery has not has no entry.
    """
    by_class: dict[int, list[str]] = {}
    for image, label in zip(gallery_ids, gallery_labels, strict=True):
        by_class.setdefault(int(label), []).append(image)
    pairs = zip(query_ids, query_labels, strict=True)
    found = {q: {image: 1 for image in by_class.get(int(label), []) if image != q} for q, label in pairs}
    return {query: grades for query, grades in found.items() if grades}
