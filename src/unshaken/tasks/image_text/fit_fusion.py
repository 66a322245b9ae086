"""Training of fusion heads: plain, with a modality left out at times, or with diluted texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import evaluating
from unshaken.core.descent import descend
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng, seeded
from unshaken.tasks.image_text.fusion import (
    FusionClassifier,
    FusionHead,
    ImageFeatures,
    Pool,
    Uses,
    encode_texts,
    image_features_of,
)
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.ranking.neural import EncoderMemory
from unshaken.tasks.ranking.ranker import Encode


@dataclass(frozen=True, slots=True)
class FusionTraining:
    """How a head is trained.

    Args:
        hidden: widths of its hidden layers.
        dropout: share of hidden units that are left out.
        modality_dropout: chance that a sample's image features or its text vectors, one of both, are zeros.
        share: of the samples of a step whose text is one of `diluted`, where such are given.
        steps: optimizer steps.
        batch_size: samples a step.
        lr: largest learning rate of AdamW.
        weight_decay: of AdamW.
        seed: of weights, order and draws.

    Raises:
        ParameterError: a share is outside [0, 1], or there is no step.
    """

    hidden: Sequence[int] = (128,)
    dropout: float = 0.2
    modality_dropout: float = 0.0
    share: float = 0.5
    steps: int = 600
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dropout", "modality_dropout", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} must lie in [0, 1], not {getattr(self, name)}")
        if self.steps < 1 or self.batch_size < 1:
            raise ParameterError(f"steps and batch_size must be 1 or more, not {self.steps} and {self.batch_size}")


def fit_fusion(
    samples: ImageTextSet, image_features: ImageFeatures, encode: Encode, *, uses: Uses = "both",
    pool: Pool = "whole", training: FusionTraining | None = None, diluted: Sequence[Sequence[str]] = (),
) -> FusionClassifier:  # fmt: skip
    """Train a head; features and vectors stay as they are, and the same arguments give the same weights on a CPU.

    The image features should come from a network that did not learn from these images: on its own training images it
    is too sure, the head leans on it, and looks more robust than it is.

    Args:
        samples: to learn from, of two classes at least.
        image_features: of the images.
        encode: of the texts; each text is encoded once.
        uses: `both`, or one modality alone.
        pool: over sentences; `max` and `attention` are less diluted by further ones than the mean is.
        training: how.
        diluted: hardening: further texts of the samples, N in each, that take the place of their own in training.

    Raises:
        DataError: there is one class only, or there are not N diluted texts.
        ModelError: features or vectors have a wrong shape or are not finite.
        RunError: the loss is no number any more.
    """
    training = training or FusionTraining()
    encode = encode if isinstance(encode, EncoderMemory) else EncoderMemory(encode)
    if len(set(samples.labels.tolist())) < 2:
        raise DataError("the samples are of one class only: two are needed to learn")
    if wrong := [len(texts) for texts in diluted if len(texts) != len(samples)]:
        raise DataError(f"{wrong[0]} diluted texts came with {len(samples)} samples: give one a sample")
    features = image_features_of(image_features, samples.images.float() / 255)
    versions = [samples.texts, *diluted]
    vectors, there = encode_texts(encode, [text for texts in versions for text in texts], pool)
    with seeded(training.seed):
        head = FusionHead(
            features.shape[1], vectors.shape[2], len(samples.classes), hidden=training.hidden,
            dropout=training.dropout, uses=uses, pool=pool,
        )  # fmt: skip
        head.standardise(features)
        fit_head(head, features, vectors, there, torch.from_numpy(samples.labels), training)
    return FusionClassifier(image_features, encode, head.eval())


def fit_head(
    head: FusionHead, features: Tensor, vectors: Tensor, there: Tensor, labels: Tensor, training: FusionTraining
) -> list[float]:
    """Train a head in place by cross-entropy; dropout draws from the global generator.

    Args:
        head: as it starts.
        features: of the images, `[N, D]`.
        vectors: of the texts, `[V N, S, E]`: V versions of all of them, their own first.
        there: bool `[V N, S]`.
        labels: int64 `[N]`.
        training: how.

    Returns:
        The loss of each step.
    """
    n, others = len(labels), len(vectors) // len(labels) - 1
    head.train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=training.lr, weight_decay=training.weight_decay)

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        places = rows
        if others:
            drawn, which = rng.fold("diluted").fresh(2).unbind(1)
            version = 1 + (which * others).long().clamp(max=others - 1)
            places = rows + n * torch.where(drawn < training.share, version, 0)
        images, texts = features[rows], vectors[places]
        if training.modality_dropout:
            dropped = rng.fold("modality").fresh(1)
            images = torch.where(dropped < training.modality_dropout / 2, head.mean, images)
            no_text = (dropped >= training.modality_dropout / 2) & (dropped < training.modality_dropout)
            texts = texts.masked_fill(no_text[..., None], 0.0)
        return F.cross_entropy(head(images, texts, there[places]), labels[rows])

    return descend(
        optimizer, loss, n, steps=training.steps, batch_size=training.batch_size, seed=training.seed, name="fusion"
    )


@torch.no_grad()
def match_scores(head: FusionHead, features: Tensor, vectors: Tensor, there: Tensor) -> Tensor:
    """P(match) `[N]` of pairs of images and texts, by a head of two classes, of which the second is a match."""
    with evaluating(head):
        logits: Tensor = head(features, vectors, there)
    return logits.softmax(1)[:, 1]
