"""Changes of samples, of the text, of the image, or of both; and texts to add that mislead nobody on purpose."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor
from unshaken.tasks.image_text.predict import Predict
from unshaken.tasks.image_text.relevance import Relevance
from unshaken.tasks.image_text.samples import ImageTextSet, to_bytes
from unshaken.tasks.image_text.words import Position, add_text
from unshaken.tasks.ranking.perturbations import perturb

Rng = np.random.Generator
Write = Callable[[ImageTextSet, Sequence[Rng]], Sequence[str]]
"""From samples, and a generator for each, to the text that is added to each."""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The texts and images of samples after a change, and what the change took.

    Args:
        texts: N of them.
        images: uint8 `[N, C, H, W]`; the same tensor where images stay as they are.
        added: the text that was added to each text; empty for nothing.
        queries: of the classifier, for each sample.
        kept: whether a change was found for the sample; one without stays as it was.
        reasons: why candidates were refused, in words; empty for none.
        positions: where texts were put; empty where none is.
    """

    texts: tuple[str, ...]
    images: Tensor
    added: tuple[str, ...]
    queries: tuple[int, ...]
    kept: tuple[bool, ...]
    reasons: tuple[str, ...]
    position: str = ""

    @classmethod
    def of(
        cls, samples: ImageTextSet, *, texts: Sequence[str] | None = None, images: Tensor | None = None,
        added: Sequence[str] | None = None, position: str = "",
    ) -> ChangeResult:  # fmt: skip
        """A change that asks nothing and refuses nothing; what is not given stays as it is."""
        n = len(samples)
        return cls(
            samples.texts if texts is None else tuple(texts), samples.images if images is None else images,
            ("",) * n if added is None else tuple(added), (0,) * n, (True,) * n, ("",) * n, position,
        )  # fmt: skip


class Change(Protocol):
    """Interface of all changes of samples."""

    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        """Change samples.

        Args:
            samples: as they are.
            predict: the classifier that a search asks; other changes never do.
            relevance: measures added texts, for searches with floors.
            seed: of what is drawn; a sample's draws depend on it, the change and the sample's id alone.
        """


@dataclass(frozen=True, slots=True)
class AppendText(Change):
    """Add a text to each text; nothing is removed and images stay as they are.

    `apply` raises a ParameterError where there is not one text a sample.

    Args:
        name: of the stream of random numbers.
        write: gives the added texts.
        position: where they are put.
    """

    name: str
    write: Write
    position: Position = "end"

    @override
    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        rngs = SampleRng.of(seed, f"append {self.name}", samples.ids).generators()
        added = [str(text) for text in self.write(samples, rngs)]
        if len(added) != len(samples):
            raise ParameterError(f"{self.name}: {len(added)} texts were written for {len(samples)} samples")
        texts = [add_text(t, d, self.position) for t, d in zip(samples.texts, added, strict=True)]
        return ChangeResult.of(samples, texts=texts, added=added, position=self.position)


@dataclass(frozen=True, slots=True)
class PerturbText(Change):
    """Misspell, drop or move words of each text, as rankers' queries are; see `unshaken.tasks.ranking.perturb`.

    Args:
        name: such as `swap`, `keyboard` or `shuffle-words`.
        words: misspelt in each text.
    """

    name: str
    words: int = 1

    @override
    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        texts = perturb(dict(zip(samples.ids, samples.texts, strict=True)), self.name, seed, words=self.words)
        return ChangeResult.of(samples, texts=[texts[i] or t for i, t in zip(samples.ids, samples.texts, strict=True)])


@dataclass(frozen=True, slots=True)
class ChangeImage(Change):
    """Corrupt each image by a stressor; texts stay as they are.

    Args:
        stressor: its registry name, or an instance.
        severity: one of its severities, 1 to 5 for most.
    """

    stressor: str | Stressor
    severity: int = 3

    @override
    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        method = find_method(self.stressor, "stress").cls() if isinstance(self.stressor, str) else self.stressor
        images = method.apply(samples.batch(), self.severity, seed).images
        return ChangeResult.of(samples, images=to_bytes(images))


@dataclass(frozen=True, slots=True)
class ChangeBoth(Change):
    """Change the image first, and then the text with the changed image in view.

    Args:
        image: such as `ChangeImage`.
        text: such as `AppendText` or a search.
    """

    image: Change
    text: Change

    @override
    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        first = self.image.apply(samples, predict, relevance, seed)
        changed = samples.with_images(first.images).with_texts(first.texts)
        return self.text.apply(changed, predict, relevance, seed)


FILLERS = (
    "This was written some time ago and has been kept as it was.",
    "There is nothing more to add here for the time being.",
    "Please note that this is the usual form of such an entry.",
    "It was put here together with a number of others.",
    "As always, thank you for reading this until the end.",
    "More of the same kind may follow at a later time.",
)
"""Sentences about nothing."""
NEUTRAL_WORDS = (
    "curtains",
    "pencils",
    "spoons",
    "calendar",
    "blankets",
    "candles",
    "violin",
    "ladder",
    "carpet",
    "soap",
)
"""Words of no class, for sentences of the form of dilutions that mislead to none."""
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
        found = []
        for rng in rngs:
            text: list[str] = []
            while len(text) < words:
                text += " ".join(FILLERS[i] for i in rng.permutation(len(FILLERS))).split()
            found.append(" ".join(text[:words]).rstrip(",.") + ".")
        return found

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
    """Texts that a user's function writes behind others, such as a language model that continues them."""

    def write(samples: ImageTextSet, rngs: Sequence[Rng]) -> Sequence[str]:
        return function(samples.texts)

    return write


BASELINES: Mapping[str, Write] = {"url": write_urls, "repeat": write_repeats, "filler": filler()}
"""Name to what is added, for those that need nothing else."""
