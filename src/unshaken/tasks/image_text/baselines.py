"""Texts to add that mislead nobody on purpose: addresses, repeats, fillers, key words, other texts."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.image_text.changes import Rng, Write
from unshaken.tasks.image_text.samples import ImageTextSet

FILLERS = (
    "This was written some time ago and has been kept as it was.",
    "There is nothing more to add here for the time being.",
    "Please note that this is the usual form of such an entry.",
    "It was put here together with a number of others.",
    "As always, thank you for reading this until the end.",
    "More of the same kind may follow at a later time.",
)
"""Sentences about nothing."""
LETTERS = string.ascii_letters + string.digits


def write_urls(samples: ImageTextSet, rngs: Sequence[Rng]) -> list[str]:
    """A short address of random letters for each sample; it leads nowhere."""
    return ["https://t.co/" + "".join(LETTERS[i] for i in rng.integers(len(LETTERS), size=10)) for rng in rngs]


def write_repeats(samples: ImageTextSet, rngs: Sequence[Rng]) -> list[str]:
    """Each text once more: as long as itself, and with nothing new."""
    return list(samples.texts)


def filler(words: int = 20) -> Write:
    """Sentences about nothing in random order, cut to a number of words: a control of the length.

    Args:
        words: of each added text, as many as those of the dilutions that it is compared with.

    Raises:
        ParameterError: there are none.
    """
    if words < 1:
        raise ParameterError(f"a filler has 1 word or more, not {words}")

    def write(samples: ImageTextSet, rngs: Sequence[Rng]) -> list[str]:
        return [_fill(words, rng) for rng in rngs]

    return write


def keywords(*lists: Sequence[Sequence[str]]) -> Write:
    """Key words as they are: of the image, of the text, or of both.

    Args:
        lists: of words, each one list a sample, in the samples' order.
    """

    def write(samples: ImageTextSet, rngs: Sequence[Rng]) -> list[str]:
        if wrong := [len(one) for one in lists if len(one) != len(samples)]:
            raise DataError(f"{wrong[0]} lists of key words came with {len(samples)} samples: give one a sample")
        return [" ".join(dict.fromkeys(word for one in lists for word in one[i])) for i in range(len(samples))]

    return write


def nearest_texts(features: Callable[[Tensor], Tensor]) -> Write:
    """The text of the sample whose image is most alike by the cosine of features, never its own.

    Args:
        features: of images in [0, 1], `[N, D]`.
    """

    def write(samples: ImageTextSet, rngs: Sequence[Rng]) -> list[str]:
        if len(samples) < 2:
            raise DataError("the text of the most similar image needs two samples at least")
        unit = torch.nn.functional.normalize(features(samples.images.float() / 255), dim=1)
        near = unit @ unit.T
        near.fill_diagonal_(-torch.inf)
        return [samples.texts[j] for j in near.argmax(1).tolist()]

    return write


def written_by(function: Callable[[Sequence[str]], Sequence[str]]) -> Write:
    """What a user's function writes behind texts, such as a language model that continues them."""

    def write(samples: ImageTextSet, rngs: Sequence[Rng]) -> Sequence[str]:
        return function(samples.texts)

    return write


BASELINES: Mapping[str, Write] = {"url": write_urls, "repeat": write_repeats, "filler": filler()}
"""Name to what is added, for those that need nothing else."""


def _fill(words: int, rng: np.random.Generator) -> str:
    found: list[str] = []
    while len(found) < words:
        found += " ".join(FILLERS[i] for i in rng.permutation(len(FILLERS))).split()
    return " ".join(found[:words]).rstrip(",.") + "."
