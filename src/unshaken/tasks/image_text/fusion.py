"""A fusion classifier: features of an image and vectors of a text, joined in a small head."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.explain.engine.layer_features import features_of_batches
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.image_text.words import split_sentences
from unshaken.tasks.ranking.ranker import Encode, encode_unit

Uses = Literal["both", "image", "text"]
"""What a head reads."""
Pool = Literal["whole", "mean", "max", "attention"]
"""How a text becomes one vector: encoded whole, or pooled over the vectors of its sentences."""
MOST_SENTENCES = 16
"""Sentences of a text that are pooled; further ones are left out, and `truncates` says so."""
ImageFeatures = Callable[[Tensor], Tensor]
"""From images, float32 `[n, C, H, W]` in [0, 1], to float32 `[n, D]`."""


class FusionHead(nn.Module):
    """A multilayer perceptron on the features of the image and the vector of the text, the image first.

    Args:
        image_size: D, numbers of an image's features.
        text_size: E, numbers of a text's vector.
        classes: number of classes K.
        hidden: widths of the hidden layers, each with ReLU and dropout.
        dropout: share of hidden units that are left out in training.
        uses: `both`, `image` or `text`; what is not used is left out, weights and all.
        pool: over the sentences; `attention` weighs them by a learned direction.

    Raises:
        ParameterError: `uses` or `pool` is not known.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, image_size: int, text_size: int, classes: int, *, hidden: Sequence[int] = (128,), dropout: float = 0.2,
        uses: Uses = "both", pool: Pool = "whole",
    ) -> None:  # fmt: skip
        super().__init__()
        for name, value, known in (("uses", uses, get_args(Uses)), ("pool", pool, get_args(Pool))):
            if value not in known:
                raise ParameterError(f"{name} {value!r} is not known; {did_you_mean(value, known)}")
        self.uses, self.pool = uses, pool
        self.register_buffer("mean", torch.zeros(image_size))
        self.register_buffer("scale", torch.ones(image_size))
        self.direction = nn.Parameter(torch.zeros(text_size)) if pool == "attention" and uses != "image" else None
        width = image_size * (uses != "text") + text_size * (uses != "image")
        layers: list[nn.Module] = []
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.body = nn.Sequential(*layers, nn.Linear(width, classes))

    def standardise(self, features: Tensor) -> None:
        """Take the mean and the deviation of image features `[N, D]`, so that they weigh as much as unit vectors."""
        self.mean.copy_(features.mean(0))
        self.scale.copy_(features.std(0).clamp(min=1e-6) * features.shape[1] ** 0.5)

    @override
    def forward(self, features: Tensor, vectors: Tensor, there: Tensor) -> Tensor:
        parts = []
        if self.uses != "text":
            parts.append((features - self.mean) / self.scale)
        if self.uses != "image":
            parts.append(pool_sentences(vectors, there, self.pool, self.direction))
        logits: Tensor = self.body(torch.cat(parts, 1))
        return logits


def pool_sentences(vectors: Tensor, there: Tensor, pool: Pool, direction: Tensor | None = None) -> Tensor:
    """One vector a text, `[N, E]`, from the vectors of its sentences.

    Args:
        vectors: `[N, S, E]`.
        there: bool `[N, S]`.
        pool: `whole` and `mean` take the mean, `max` the largest number at each place, `attention` the mean weighted
            by `softmax(v . direction)`.
        direction: `[E]`, for `attention`.
    """
    if pool == "max":
        return vectors.masked_fill(~there[..., None], -torch.inf).amax(1)
    scores = torch.zeros_like(vectors[..., 0]) if pool != "attention" or direction is None else vectors @ direction
    weights = scores.masked_fill(~there, -torch.inf).softmax(1)
    return (weights[..., None] * vectors).sum(1)


class ImageFeatureMemory:
    """Features of a layer of a frozen classifier, computed once for each picture, whatever text comes with it.

    Args:
        model: stays as it is.
        layer: as in `net.named_modules()`; `NAME:in` for what goes into a layer, such as the last linear one.
    """

    def __init__(self, model: Classifier, layer: str) -> None:
        self.model, self.layer = model, layer
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Features `[N, D]` of images in [0, 1]."""
        keys = [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images.contiguous()]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            rows = torch.tensor(list(new.values()))
            with evaluating(self.model):
                found = features_of_batches(self.model, torch.split(images[rows], 64), [self.layer])[self.layer]
            self._known.update(zip(new, found, strict=True))
        return torch.stack([self._known[key] for key in keys])


def encode_texts(encode: Encode, texts: Sequence[str], pool: Pool) -> tuple[Tensor, Tensor]:
    """Vectors of the sentences of texts, `[N, S, E]`, and which of them are there, bool `[N, S]`.

    Args:
        encode: an encoder of texts; its vectors are brought to length 1.
        texts: N of them.
        pool: `whole` takes each text as one sentence.
    """
    parts = [[t] if pool == "whole" else split_sentences(t)[:MOST_SENTENCES] for t in texts]
    flat = torch.from_numpy(encode_unit(encode, [s for sentences in parts for s in sentences]))
    counts = torch.tensor([len(sentences) for sentences in parts])
    there = torch.arange(int(counts.max())) < counts[:, None]
    vectors = torch.zeros(*there.shape, flat.shape[1])
    vectors[there] = flat
    return vectors, there


@dataclass(frozen=True, slots=True, eq=False)
class FusionClassifier:
    """A head over frozen features of images and frozen vectors of texts; called, it gives probabilities.

    Args:
        image_features: of the images; best an `ImageFeatureMemory`, since texts change more often than images.
        encode: of the texts; best an `EncoderMemory`.
        head: trained by `fit_fusion`.
    """

    image_features: ImageFeatures
    encode: Encode
    head: FusionHead

    def __call__(self, images: Tensor, texts: Sequence[str]) -> Numbers:
        """Probabilities `[N, K]`.

        Args:
            images: float32 `[N, C, H, W]` in [0, 1].
            texts: N of them.
        """
        vectors, there = encode_texts(self.encode, texts, self.head.pool)
        features = image_features_of(self.image_features, images)
        with evaluating(self.head), torch.no_grad():
            logits = self.head(features, vectors, there)
        return np.asarray(widen(logits).softmax(1).numpy(), np.float64)

    def truncates(self, texts: Sequence[str]) -> list[bool | None]:
        """Whether less than the whole of each text is read; None where the encoder does not say."""
        says = getattr(getattr(self.encode, "encode", self.encode), "truncates", None)
        if self.head.pool == "whole":
            return [None] * len(texts) if says is None else list(says(texts))
        found: list[bool | None] = []
        for text in texts:
            sentences = split_sentences(text)
            cut = len(sentences) > MOST_SENTENCES
            found.append(cut or (None if says is None else any(says(sentences))))
        return found


def image_features_of(function: ImageFeatures, images: Tensor) -> Tensor:
    """Features `[N, D]`, checked.

    Raises:
        ModelError: they have another shape, or are not finite.
    """
    found = function(images)
    if found.ndim != 2 or len(found) != len(images) or not torch.isfinite(found).all():
        raise ModelError(
            f"image features must be finite and [N, D]; they came as {tuple(found.shape)} for {len(images)} images"
        )
    return found.float()
