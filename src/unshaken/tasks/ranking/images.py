"""Retrieval of images by vectors of any model, and attacks on its queries within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
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
    return F.normalize(flat.float(), dim=1)


def rank_images(
    queries: ArrayLike, gallery: ArrayLike, query_ids: Sequence[str], gallery_ids: Sequence[str], *, depth: int = DEPTH
) -> dict[str, Ranking]:
    """The gallery in order of the inner product with each query, ties as in `sort_by_score`.

    Args:
        queries: vectors `[Q, E]` of length 1.
        gallery: vectors `[G, E]`.
        query_ids: Q names; an image of the gallery of the same name is the query itself and is left out.
        gallery_ids: G names.
        depth: largest number of images of each ranking.

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
        others = [i for i, image in enumerate(ranking.ids) if image != query][:depth]
        found[query] = Ranking(tuple(ranking.ids[i] for i in others), ranking.scores[others])
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


class GalleryClasses(nn.Module):
    """Retrieval as a classifier: `log(sum of exp(s / t))` over the images of each class, from cosines s.

    Its cross-entropy is the negative logarithm of the share that the query's own class has of the whole sum: a smooth
    measure of the ranking, whose gradient any attack on classifiers follows. A class without an image has no share.

    Args:
        model: gives vectors.
        layer: whose outputs are the vectors.
        gallery: vectors `[G, E]` of length 1.
        labels: of the gallery, int64 `[G]`.
        classes: number K of classes.
        temperature: t; the smaller, the more the best image of each class counts alone.
    """

    gallery: Tensor
    members: Tensor

    def __init__(
        self, model: Classifier, layer: str, gallery: Tensor, labels: Tensor, classes: int, temperature: float
    ) -> None:
        super().__init__()
        self.model, self.layer, self.temperature = model, layer, temperature
        self.register_buffer("gallery", gallery, persistent=False)
        self.register_buffer("members", F.one_hot(labels, classes).T.bool(), persistent=False)

    @override
    def forward(self, images: Tensor) -> Tensor:
        cosines = vectors_of(self.model.features(images, [self.layer])[1][self.layer]) @ self.gallery.T
        own = (cosines / self.temperature)[:, None].expand(-1, len(self.members), -1)
        least = torch.finfo(cosines.dtype).min / 4
        return own.masked_fill(~self.members, least).logsumexp(2)


def attack_queries(
    model: Classifier,
    queries: Batch,
    gallery: Tensor,
    gallery_labels: Tensor,
    layer: str,
    attack: Attack[Any],
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
    temperature: float = 0.05,
) -> Tensor:
    """Change images of queries within a budget, so that images of their class fall in the order of the gallery.

    The search is that of any attack on classifiers that follows a loss, such as PGD; it makes all its steps. Of the
    changed and the unchanged query that stands which has the larger loss by a fresh pass.

    Args:
        model: gives the vectors, see `image_vectors`; in it gradients must pass.
        queries: with the class of each; none of them is an image of the gallery.
        gallery: images `[G, C, H, W]` in [0, 1].
        gallery_labels: int64 `[G]`.
        layer: whose outputs are the vectors.
        attack: such as `PGD(steps=20, rel_stepsize=0.1)`.
        eps: radius in [0, 1] pixel units.
        norm: of the budget.
        seed: of the search.
        temperature: see `GalleryClasses`.

    Returns:
        Images `[N, C, H, W]`, inside the budget and [0, 1].

    Raises:
        ParameterError: a query has no label, or one that no image of the gallery has; or all images have one class.
        ModelError: there is no such layer.
    """
    wanted, there = queries.labels, set(gallery_labels.tolist())
    if wanted is None or not set(wanted.tolist()) <= there or len(there) < 2:
        raise ParameterError("an attack on retrieval needs queries with labels that the gallery has, of two at least")
    classes = int(gallery_labels.max()) + 1
    vectors = image_vectors(model, gallery, layer)
    asked = Classifier(
        GalleryClasses(model, layer, vectors, gallery_labels, classes, temperature), name=f"retrieval by {model.name}"
    ).eval()
    found = find_end_points(asked, attack, queries, norm=norm, eps=eps, seed=seed, early=False).x
    with evaluating(asked):
        oracle = Oracle(asked)
        before, after = (
            F.cross_entropy(oracle.exact(images), wanted, reduction="none") for images in (queries.images, found)
        )
    return torch.where((after > before)[:, None, None, None], found, queries.images)
