"""Relevance of an added text: to the text that is there, to the image, and in its topics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.imports import need
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.text import topic_divergence
from unshaken.tasks.image_text.words import content_words
from unshaken.tasks.ranking.ranker import Encode, encode_unit

ImageVectors = Callable[[Tensor], ArrayLike]
"""From images, float32 `[n, C, H, W]` in [0, 1], to vectors `[n, E]` in the space of the texts."""


@dataclass(frozen=True, slots=True)
class RelevanceScores:
    """How an added text fits its sample; not a number where nothing is added or nothing measures it.

    Args:
        text: cosine with the text that is there, `[N]`.
        image: cosine with the image, `[N]`.
        topics: divergence of the topics in bits, `[N]`; 0 for equal topics.
        match: probability that the added text belongs to the image, `[N]`.
    """

    text: Numbers
    image: Numbers
    topics: Numbers
    match: Numbers


@dataclass(frozen=True, slots=True)
class Relevance:
    """Measures how added texts fit their samples.

    Args:
        encode: of texts; best an `EncoderMemory`.
        image_vectors: of images in the same space, such as those of CLIP, or `ClassCaptionVectors`; None leaves the
            relevance to the image out.
        topics: from texts to shares of topics, such as a `TopicModel`; None leaves the topics out.
        match: from images in [0, 1] and texts to probabilities that they belong together, such as a `MatchScore`; None
            leaves it out.
    """

    encode: Encode
    image_vectors: ImageVectors | None = None
    topics: Callable[[Sequence[str]], Numbers] | None = None
    match: Callable[[Tensor, Sequence[str]], ArrayLike] | None = None

    def image_side(self, images: Tensor) -> Numbers | None:
        """Unit vectors `[N, E]` of images, uint8; None where nothing makes them.

        Raises:
            ModelError: they are not finite or not one an image.
        """
        if self.image_vectors is None:
            return None
        found = np.asarray(self.image_vectors(images.float() / 255), np.float64)
        if found.ndim != 2 or len(found) != len(images) or not np.isfinite(found).all():
            raise ModelError(
                f"vectors of images must be finite and [N, E]; they came as {found.shape} for {len(images)} images"
            )
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))

    def scores(
        self, texts: Sequence[str], added: Sequence[str], images: Numbers | None, pictures: Tensor | None = None
    ) -> RelevanceScores:
        """Measure how added texts fit their samples.

        Args:
            texts: that are there, N of them.
            added: one a text; blank for nothing.
            images: unit vectors of their images, as `image_side` gives them.
            pictures: the images themselves, uint8, for the match; None leaves it out.
        """
        text, image, topics, match = (np.full(len(texts), np.nan) for _ in range(4))
        rows = [i for i, d in enumerate(added) if d.strip()]
        if rows:
            own = encode_unit(self.encode, [texts[i] for i in rows]).astype(np.float64)
            new = encode_unit(self.encode, [added[i] for i in rows]).astype(np.float64)
            text[rows] = (own * new).sum(1)
            if images is not None:
                if images.shape[1] != new.shape[1]:
                    raise ModelError(f"vectors of images have {images.shape[1]} numbers and those of texts "
                                     f"{new.shape[1]}: both must be of one space")  # fmt: skip
                image[rows] = (new * images[rows]).sum(1)
            if self.topics is not None:
                before, after = (self.topics([t[i] for i in rows]) for t in (texts, added))
                topics[rows] = topic_divergence(before, after)
            if self.match is not None and pictures is not None:
                found = self.match(pictures[torch.tensor(rows)].float() / 255, [added[i] for i in rows])
                match[rows] = np.asarray(found, np.float64)
        return RelevanceScores(text, image, topics, match)


@dataclass(frozen=True, slots=True)
class ClassCaptionVectors:
    """Vectors of images without CLIP: captions of the classes, weighted by an image-only model.

    `v(x) = sum over classes c of q_c(x) e("a photo of a c")`.

    Args:
        probabilities: q, from images in [0, 1] to `[n, K]`.
        classes: K names.
        encode: e, of texts.
        template: `{}` stands for the name.
    """

    probabilities: Callable[[Tensor], ArrayLike]
    classes: Sequence[str]
    encode: Encode
    template: str = "a photo of a {}"

    def __call__(self, images: Tensor) -> Numbers:
        """Vectors `[N, E]`, not of length 1."""
        answer = self.probabilities(images)
        q = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer, np.float64)
        captions = encode_unit(self.encode, [self.template.format(name) for name in self.classes])
        if q.shape != (len(images), len(captions)):
            raise ModelError(f"the image model gave {q.shape} for {len(images)} images of {len(captions)} classes")
        return np.asarray(q @ captions.astype(np.float64))


class TopicModel:
    """Topics of texts by latent Dirichlet allocation, learned from other texts.

    Args:
        texts: to learn from, the training texts.
        topics: number of topics T.
        seed: of the fit.

    Raises:
        ParameterError: fewer than two topics are wanted, or no text has a word.
        MissingExtra: scikit-learn is absent.

    Source: Blei et al. 2003, JMLR 3.
    """

    def __init__(self, texts: Sequence[str], *, topics: int = 20, seed: int = 0) -> None:
        if topics < 2:
            raise ParameterError(f"topics must be 2 or more, not {topics}")
        why = "a model of topics"
        counting = need("sklearn.feature_extraction.text", "scikit-learn", "ranking", why)
        package = need("sklearn.decomposition", "scikit-learn", "ranking", why)
        self._counter: Any = counting.CountVectorizer(analyzer=content_words)
        try:
            counts = self._counter.fit_transform(list(texts))
        except ValueError:
            raise ParameterError(f"none of {len(texts)} texts has a word to learn topics from") from None
        own = seed % 2**32
        self._model: Any = package.LatentDirichletAllocation(topics, random_state=own, learning_method="batch")
        self._model.fit(counts)

    def __call__(self, texts: Sequence[str]) -> Numbers:
        """Shares of topics `[N, T]`; a text without a known word has equal ones."""
        return np.asarray(self._model.transform(self._counter.transform(list(texts))), np.float64)
