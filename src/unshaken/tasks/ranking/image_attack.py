"""Attacks on retrieval of images: a query is changed within a budget, so that images of its class fall in the order."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.tasks.ranking.images import image_vectors, vectors_of


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
        attack: such as `PGD(steps=20, step_size=0.1)`.
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
