"""Prompts: sets of templates, the accuracy of each alone, and of all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshaken.core.classifier import predict
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.imports import need
from unshaken.measure import Figure, paired_difference, share
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.models.loaders.options import read_lines
from unshaken.models.zero_shot import PLACE, TEMPLATE, check_templates, class_weights, unit

PUBLISHED = {"openai-7": "SIMPLE_IMAGENET_TEMPLATES", "openai-80": "OPENAI_IMAGENET_TEMPLATES"}
"""Sets of templates that open_clip brings along."""


def load_templates(source: str | Sequence[str]) -> tuple[str, ...]:
    """Templates by name, from a file of one sentence a line, or as they are given.

    Args:
        source: `plain` ("a photo of a {}."), `openai-7` or `openai-80` (from open_clip), a text file, or sentences.

    Raises:
        ParameterError: there is no such set or file, or a template has no `{}`.
        MissingExtra: a published set is wanted, and open_clip is absent.
    """
    if not isinstance(source, str):
        return check_templates(source)
    if source == "plain":
        return (TEMPLATE,)
    if source in PUBLISHED:
        library = need("open_clip", "open-clip-torch", "models", f"templates {source!r}")
        return tuple(template(PLACE) for template in getattr(library, PUBLISHED[source]))
    if "." not in source and "/" not in source:
        raise ParameterError(f"no templates {source!r}; {did_you_mean(source, ['plain', *PUBLISHED])}, or a text file")
    return check_templates(read_lines(source, "templates"))


@dataclass(frozen=True, slots=True)
class PromptFigures:
    """Accuracies by single templates and by all together.

    Args:
        alone: the accuracy with each template alone.
        spread: standard deviation of these accuracies over templates; 0 for one template.
        together: the accuracy with the mean of all.
        gain: that accuracy minus the mean of the single ones, paired by image.
    """

    alone: tuple[Figure, ...]
    spread: float
    together: Figure
    gain: Figure

    @property
    def range(self) -> float:
        """The best template's accuracy minus the worst's."""
        values = [figure.value for figure in self.alone]
        return max(values) - min(values)


def prompt_hits(images: Tensor, prompts: Tensor, labels: Tensor) -> tuple[Flags, Flags]:
    """The images that are classified correctly, by each template alone and by all together.

    Args:
        images: embeddings `[N, D]`.
        prompts: embeddings of each class in each template, `[K, P, D]`.
        labels: int64 `[N]`, below K.

    Returns:
        bool `[N, P]` and `[N]`.

    Raises:
        ModelError: an embedding is not finite.
        DataError: shapes do not fit, or a label is beyond the classes.
    """
    if images.ndim != 2 or prompts.ndim != 3 or images.shape[1] != prompts.shape[2] or len(labels) != len(images):
        shapes = f"{tuple(images.shape)}, {tuple(prompts.shape)} and {tuple(labels.shape)}"
        raise DataError(f"images [N, D], prompts [K, P, D] and labels [N] do not fit: {shapes}")
    if not len(labels) or int(labels.min()) < 0 or int(labels.max()) >= len(prompts):
        raise DataError(f"labels must lie in 0..{len(prompts) - 1}, one an image, one image at least")
    pictures, sentences = unit(images, "image"), unit(prompts, "text")
    alone = [predict(pictures @ sentences[:, p].T) == labels for p in range(sentences.shape[1])]
    together = predict(pictures @ class_weights(prompts).T) == labels
    return torch.stack(alone, 1).numpy(), together.numpy()


def prompt_figures(alone: Flags, together: Flags) -> PromptFigures:
    """The accuracies of templates, and what all together gain, from hits.

    Args:
        alone: bool `[N, P]`, as `prompt_hits` gives them.
        together: bool `[N]`.
    """
    n = len(together)
    figures = tuple(share(int(column.sum()), n) for column in alone.T)
    single: Numbers = alone.mean(1)
    spread = float(np.std([f.value for f in figures], ddof=1)) if len(figures) > 1 else 0.0
    gain = paired_difference(single, together.astype(np.float64), low=-1.0, high=1.0)
    return PromptFigures(figures, spread, share(int(together.sum()), n), gain)
