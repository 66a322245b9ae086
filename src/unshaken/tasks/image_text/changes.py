"""Changes of samples: of the text alone, of the image alone, and of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor
from unshaken.tasks.image_text.predict import Predict
from unshaken.tasks.image_text.relevance import Relevance
from unshaken.tasks.image_text.samples import ImageTextSet, to_bytes
from unshaken.tasks.image_text.sentences import Position, add_text
from unshaken.tasks.ranking.perturbations import perturb

Rng = np.random.Generator
Write = Callable[[ImageTextSet, Sequence[Rng]], Sequence[str]]
"""From samples, and a generator for each, to the text that is added to each."""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """Samples after a change.

    Args:
        texts: N of them.
        images: uint8 `[N, C, H, W]`; the same tensor where images stay as they are.
        added: what was put beside each text; empty for nothing.
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
    """Interface of all changes."""

    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        """The samples, changed.

        Args:
            samples: as they are.
            predict: the classifier that a search asks; other changes never do.
            relevance: measures added texts, for searches with floors.
            seed: of what is drawn; a sample's draws depend on it, the change and the sample's id alone.
        """


@dataclass(frozen=True, slots=True)
class AppendText:
    """Put a text beside each text; nothing is taken away and images stay as they are.

    Args:
        name: of the stream of random numbers.
        write: gives the added texts.
        position: where they are put.
    """

    name: str
    write: Write
    position: Position = "end"

    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        """See `Change.apply`.

        Raises:
            ParameterError: there is not one text a sample.
        """
        rngs = SampleRng.of(seed, f"append {self.name}", samples.ids).generators()
        added = [str(text) for text in self.write(samples, rngs)]
        if len(added) != len(samples):
            raise ParameterError(f"{self.name}: {len(added)} texts were written for {len(samples)} samples")
        texts = [add_text(t, d, self.position) for t, d in zip(samples.texts, added, strict=True)]
        return ChangeResult.of(samples, texts=texts, added=added, position=self.position)


@dataclass(frozen=True, slots=True)
class PerturbText:
    """Misspell, drop or move words of each text, as rankers' queries are; see `unshaken.tasks.ranking.perturb`.

    Args:
        name: such as `swap`, `keyboard` or `shuffle-words`.
        words: misspelt in each text.
    """

    name: str
    words: int = 1

    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        """See `Change.apply`."""
        texts = perturb(dict(zip(samples.ids, samples.texts, strict=True)), self.name, seed, words=self.words)
        return ChangeResult.of(samples, texts=[texts[i] or t for i, t in zip(samples.ids, samples.texts, strict=True)])


@dataclass(frozen=True, slots=True)
class ChangeImage:
    """Corrupt each image by a stressor; texts stay as they are.

    Args:
        stressor: its registry name, or an instance.
        severity: one of its severities, 1 to 5 for most.
    """

    stressor: str | Stressor
    severity: int = 3

    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        """See `Change.apply`."""
        method = find_method(self.stressor, "stress").cls() if isinstance(self.stressor, str) else self.stressor
        images = method.apply(samples.batch(), self.severity, seed).images
        return ChangeResult.of(samples, images=to_bytes(images))


@dataclass(frozen=True, slots=True)
class ChangeBoth:
    """Change the image first, and then the text beside the changed image.

    Args:
        image: such as `ChangeImage`.
        text: such as `AppendText` or a search.
    """

    image: Change
    text: Change = field()

    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        """See `Change.apply`."""
        first = self.image.apply(samples, predict, relevance, seed)
        changed = samples.with_images(first.images).with_texts(first.texts)
        return self.text.apply(changed, predict, relevance, seed)
