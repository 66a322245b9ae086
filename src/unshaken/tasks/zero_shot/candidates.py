"""`Candidate`: a model that takes part, with its declared factors, and what becomes of it when it is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import Dataset
from unshaken.data.dataset import BadSample
from unshaken.data.streaming import stream
from unshaken.explain.engine.layer_features import features_of_batches
from unshaken.models import as_classifier
from unshaken.models.loaders.from_open_clip import load_dual_encoder
from unshaken.models.zero_shot import IMAGES, DualEncoder, ZeroShot, unit
from unshaken.tasks.zero_shot.model_factors import ModelFactors, parse_factors
from unshaken.tasks.zero_shot.prompts import load_templates

LONGEST_NAME = 100
"""Characters of a model's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that takes part in a comparison.

    Args:
        model: a `DualEncoder` or an `openclip:` SPEC, whose classes are then named by the data; or any other SPEC,
            `Classifier` or module from [0, 1] images to logits.
        factors: of its design, as declared by the user; see `ModelFactors`.
        templates: of a dual encoder's prompts; see `load_templates`.
    """

    model: str | nn.Module | DualEncoder
    factors: Mapping[str, Any] = field(default_factory=dict)
    templates: str | Sequence[str] = "plain"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCandidate:
    """A candidate that was loaded.

    Args:
        name: of the model.
        key: the name of its folder.
        classifier: on the CPU, in evaluation mode.
        encoder: of a dual encoder; None for a classifier with a head.
        templates: of its prompts; empty for a classifier with a head.
        factors: of its design, the number of prompts filled in.
    """

    name: str
    key: str
    classifier: Classifier
    encoder: DualEncoder | None
    templates: tuple[str, ...]
    factors: ModelFactors

    @property
    def is_zero_shot(self) -> bool:
        """Whether its logits are scaled cosines."""
        return isinstance(self.classifier.net, ZeroShot)


def check_candidates(candidates: Mapping[str, Candidate]) -> dict[str, ModelFactors]:
    """The declared factors of each model.

    Raises:
        ParameterError: there is no model, a name or a template cannot be used, or a factor is not known.
        MissingExtra: published templates are wanted, and open_clip is absent.
    """
    if not candidates:
        raise ParameterError("there is no model: give one at least, as in {'vit': Candidate(model='openclip:...')}")
    for name, candidate in candidates.items():
        if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name.strip() == name):
            raise ParameterError(f"the name {name!r} of a model must be 1 to {LONGEST_NAME} printable characters")
        if not isinstance(candidate, Candidate):
            kind = type(candidate).__name__
            raise ParameterError(f"model {name!r} must come as Candidate(model=...), not as {kind}")
        if isinstance(candidate.model, DualEncoder) or str(candidate.model).startswith("openclip:"):
            load_templates(candidate.templates)
    return {name: parse_factors(candidate.factors, name) for name, candidate in candidates.items()}


def key_of(place: int, name: str) -> str:
    """The folder of a model.

    >>> key_of(2, "ViT-B/32 (LAION)")
    '2-ViT-B-32-LAION'
    """
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:40]
    return f"{place}-{plain}" if plain else str(place)


def open_candidate(
    place: int, name: str, candidate: Candidate, classes: Sequence[str], *, download: bool = False
) -> LoadedCandidate:
    """Load a model.

    Args:
        place: its number.
        name: of the model.
        candidate: as the user gave it.
        classes: names of the data's classes, for prompts.
        download: whether weights may be fetched.

    Raises:
        ParameterError: a template or a class name is wrong.
        ModelError: the model cannot be loaded.
        DataError: a dual encoder needs names of classes, and the data has none.
    """
    factors, model = parse_factors(candidate.factors, name), candidate.model
    if isinstance(model, str) and model.startswith("openclip:"):
        model = load_dual_encoder(model, download=download)
    if not isinstance(model, DualEncoder):
        filled = factors.model_copy(update={"prompts": 0 if factors.prompts is None else factors.prompts})
        classifier = as_classifier(model, download=download).eval()
        return LoadedCandidate(name, key_of(place, name), classifier, None, (), filled)
    if not classes:
        raise DataError(
            f"model {name!r} needs names of the classes for its prompts, and the data has none: give classes"
        )
    templates = load_templates(candidate.templates)
    filled = factors.model_copy(update={"prompts": len(templates)})
    return LoadedCandidate(name, key_of(place, name), model.classifier(classes, templates), model, templates, filled)


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Images of a data set as a model embeds them.

    Args:
        ids: of the N samples that could be read.
        vectors: of length 1, float32 `[N, D]`.
        labels: int64 `[N]`, -1 where there is none.
    """

    ids: tuple[str, ...]
    vectors: Tensor
    labels: Tensor


def embed_images(
    model: Classifier, dataset: Dataset, indices: Sequence[int], *, batch: int = 64, workers: int | None = None
) -> Embeddings:
    """The image embeddings of a zero-shot model, one pass an image.

    Args:
        model: a zero-shot classifier.
        dataset: the samples.
        indices: which of them.
        batch: images in one pass.
        workers: threads that decode.

    Raises:
        ModelError: an embedding is not finite.
        DataError: no sample can be read.
    """
    ids: list[str] = []
    labels: list[Tensor] = []

    def images() -> Any:
        for part in stream(dataset, indices, view=model.view, workers=workers, batch_size=batch):
            if isinstance(part, BadSample):
                continue
            ids.extend(part.ids)
            labels.append(_labels(part))
            yield part.images

    parts = images()
    first = next(parts, None)
    if first is None:
        raise DataError(f"none of the samples of {dataset.options.spec!r} can be read: there is nothing to embed")

    def whole() -> Any:
        yield first
        yield from parts

    found = features_of_batches(model, whole(), [IMAGES], count=len(indices))[IMAGES]
    return Embeddings(tuple(ids), unit(found, "image"), torch.cat(labels))


def _labels(part: Batch) -> Tensor:
    return torch.full((len(part),), -1) if part.labels is None else part.labels
