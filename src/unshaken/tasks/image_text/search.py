"""The search for a misleading dilution: candidates under floors of relevance, and the one that misleads most."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.image_text.changes import Change, ChangeResult
from unshaken.tasks.image_text.predict import Predict, ask, true_probability
from unshaken.tasks.image_text.relevance import Relevance, RelevanceScores
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.image_text.words import Position, add_text, content_words
from unshaken.tasks.image_text.writers import Material, Writer


@dataclass(frozen=True, slots=True)
class Floors:
    """Bounds that a candidate must fulfil; one that is not set refuses nothing.

    Args:
        text: least cosine with the text that is there.
        image: least cosine with the image.
        topics: largest divergence of topics in bits.
    """

    text: float | None = None
    image: float | None = None
    topics: float | None = None

    @property
    def any(self) -> bool:
        """Whether any bound is set."""
        return any(bound is not None for bound in (self.text, self.image, self.topics))

    def reason(self, text: float, image: float, topics: float) -> str:
        """Why a candidate is refused; empty for one that is not."""
        if self.text is not None and not text >= self.text:
            return f"relevance to the text below {self.text:g}"
        if self.image is not None and not image >= self.image:
            return f"relevance to the image below {self.image:g}"
        if self.topics is not None and not topics <= self.topics:
            return f"topics further apart than {self.topics:g} bits"
        return ""


class CandidateSearch(Change):
    """Add, of the candidates of each sample, the one under which the classifier finds the true class least probable.

    The candidates of a sample are the same whatever else is searched. A sample of which all candidates are refused, or
    which has none, stays as it is. Of a single candidate the classifier is not asked: a plain change. `apply` raises a
    ParameterError where there are floors and nothing measures what they bound.
    """

    floors: Floors
    position: Position

    @abstractmethod
    def candidates(self, samples: ImageTextSet, seed: int) -> list[list[str]]:
        """The candidates of each sample, all different."""

    def forbidden(self, row: int) -> frozenset[str]:
        """Words, in lower case, that no candidate of a sample may have."""
        return frozenset()

    def measures_images(self, relevance: Relevance) -> bool:
        """Whether the relevance of candidates to the images is known."""
        return relevance.image_vectors is not None

    def measure(
        self, samples: ImageTextSet, owners: Sequence[int], texts: Sequence[str], relevance: Relevance
    ) -> RelevanceScores:
        """How candidates fit their samples.

        Args:
            samples: as they are.
            owners: the sample of each candidate, by its row.
            texts: the candidates.
            relevance: that measures.
        """
        sides: Numbers | None = relevance.image_side(samples.images)
        return relevance.scores(
            [samples.texts[i] for i in owners], texts, None if sides is None else sides[list(owners)]
        )

    @override
    def apply(self, samples: ImageTextSet, predict: Predict, relevance: Relevance | None, seed: int) -> ChangeResult:
        if self.floors.any and relevance is None:
            raise ParameterError("floors need a relevance that is measured: give relevance=Relevance(encoder, ...)")
        if self.floors.image is not None and relevance is not None and not self.measures_images(relevance):
            raise ParameterError("a floor of relevance to the image needs Relevance(..., image_vectors=...)")
        if self.floors.topics is not None and relevance is not None and relevance.topics is None:
            raise ParameterError("a bound on topics needs Relevance(..., topics=TopicModel(texts))")
        written = self.candidates(samples, seed)
        owners = [i for i, own in enumerate(written) for _ in own]
        texts = [text for own in written for text in own]
        reasons = self._refuse(samples, owners, texts, relevance)
        left: list[list[int]] = [[] for _ in samples.ids]
        refused: list[Counter[str]] = [Counter() for _ in samples.ids]
        for place, (owner, reason) in enumerate(zip(owners, reasons, strict=True)):
            if reason:
                refused[owner][reason] += 1
            else:
                left[owner].append(place)
        asked = [place for places in left if len(places) > 1 for place in places]
        chances = self._ask(samples, predict, {place: (owners[place], texts[place]) for place in asked})
        chosen = [min(places, key=lambda place: chances.get(place, 0.0), default=None) for places in left]
        added = ["" if place is None else texts[place] for place in chosen]
        return ChangeResult(
            tuple(add_text(t, d, self.position) for t, d in zip(samples.texts, added, strict=True)), samples.images,
            tuple(added), tuple(len(places) if len(places) > 1 else 0 for places in left),
            tuple(place is not None for place in chosen),
            tuple("; ".join(f"{times} {why}" for why, times in one.most_common()) for one in refused), self.position,
        )  # fmt: skip

    def _ask(self, samples: ImageTextSet, predict: Predict, asked: Mapping[int, tuple[int, str]]) -> dict[int, float]:
        """The probability of the true class under candidates, by their places, from their samples and texts."""
        if not asked:
            return {}
        rows = [row for row, _ in asked.values()]
        texts = [add_text(samples.texts[row], text, self.position) for row, text in asked.values()]
        found = ask(predict, samples.images, texts, len(samples.classes), rows=rows)
        return dict(zip(asked, true_probability(found, samples.labels[rows]).tolist(), strict=True))

    def _refuse(
        self, samples: ImageTextSet, owners: Sequence[int], texts: Sequence[str], relevance: Relevance | None
    ) -> list[str]:
        """Why each candidate is refused; empty for those that are not."""
        scores: RelevanceScores | None = None
        if self.floors.any and relevance is not None:
            scores = self.measure(samples, owners, texts, relevance)
        found = []
        for place, (owner, text) in enumerate(zip(owners, texts, strict=True)):
            named = self.forbidden(owner) & set(content_words(text))
            if not text:
                found.append("nothing was written")
            elif named:
                found.append("names a class")
            elif scores is not None:
                found.append(self.floors.reason(scores.text[place], scores.image[place], scores.topics[place]))
            else:
                found.append("")
        return found


@dataclass(frozen=True, slots=True)
class Dilution(CandidateSearch):
    """Candidates that are written.

    The first of them do not depend on their number, so that more candidates never mislead less.

    Args:
        writer: of candidates.
        material: what is known of each sample, in their order.
        count: M, candidates of a sample.
        floors: refuse candidates.
        position: where they are put.
        name: of the stream of random numbers; searches of one name share their candidates.
        counts: candidates of each sample at most, such as those that another search had; None for M.
    """

    writer: Writer
    material: Sequence[Material]
    count: int = 10
    floors: Floors = field(default_factory=Floors)
    position: Position = "end"
    name: str = "dilution"
    counts: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ParameterError(f"count must be 1 candidate or more, not {self.count}")

    @override
    def forbidden(self, row: int) -> frozenset[str]:
        return self.material[row].forbidden

    @override
    def candidates(self, samples: ImageTextSet, seed: int) -> list[list[str]]:
        counts = [self.count] * len(samples) if self.counts is None else self.counts
        if wrong := [n for n in (len(self.material), len(counts)) if n != len(samples)]:
            raise DataError(f"material or counts of {wrong[0]} samples came with {len(samples)}: gather it of these")
        found: list[dict[str, None]] = [{} for _ in samples.ids]
        streams = SampleRng.of(seed, self.name, samples.ids)
        for number in range(self.count):
            for own, material, rng in zip(found, self.material, streams.fold(number).generators(), strict=True):
                own[self.writer(material, rng).strip()] = None
        return [list(own)[:count] for own, count in zip(found, counts, strict=True)]


@dataclass(frozen=True, slots=True)
class GivenDilutions(CandidateSearch):
    """Candidates that are given.

    Args:
        texts: the candidates of a sample, by its id; one without stays as it is.
        floors: refuse candidates.
        position: where they are put.
        similarities: relevance to the image of each candidate, in their order, where it was judged elsewhere; it takes
            the place of what a `Relevance` measures.
    """

    texts: Mapping[str, Sequence[str]]
    floors: Floors = field(default_factory=Floors)
    position: Position = "end"
    similarities: Mapping[str, Sequence[float]] | None = None

    @override
    def candidates(self, samples: ImageTextSet, seed: int) -> list[list[str]]:
        return [list(dict.fromkeys(self.texts.get(i, ()))) for i in samples.ids]

    @override
    def measures_images(self, relevance: Relevance) -> bool:
        return self.similarities is not None or relevance.image_vectors is not None

    @override
    def measure(
        self, samples: ImageTextSet, owners: Sequence[int], texts: Sequence[str], relevance: Relevance
    ) -> RelevanceScores:
        found = CandidateSearch.measure(self, samples, owners, texts, relevance)
        if self.similarities is None:
            return found
        given = [self.similarity(samples.ids[i], text) for i, text in zip(owners, texts, strict=True)]
        return replace(found, image=np.array(given, np.float64))

    def similarity(self, sample: str, text: str) -> float:
        """The given relevance of a candidate to the image of its sample; not a number for another text."""
        texts = self.texts.get(sample, ())
        given = (self.similarities or {}).get(sample, ())
        return given[list(texts).index(text)] if text in texts and given else math.nan


def median_floors(
    search: CandidateSearch, samples: ImageTextSet, relevance: Relevance, seed: int
) -> tuple[Floors, list[int]]:
    """The median relevance to text and image over all candidates, and how many of each sample are not below both.

    Args:
        search: has the candidates.
        samples: that they are of.
        relevance: measures them; where nothing measures the relevance to images there is no floor of it.
        seed: of what is drawn.
    """
    written = search.candidates(samples, seed)
    owners = [i for i, own in enumerate(written) for _ in own]
    scores = search.measure(samples, owners, [text for own in written for text in own], relevance)
    text = float(np.median(scores.text))
    image = float(np.median(scores.image)) if search.measures_images(relevance) else None
    above = scores.text >= text
    if image is not None:
        above &= scores.image >= image
    return Floors(text=text, image=image), np.bincount(np.array(owners)[above], minlength=len(samples)).tolist()


Form = Literal["sum", "largest", "margin"]


def mislead_loss(logits: Tensor, labels: Tensor, *, form: Form = "sum") -> Tensor:
    """The loss that is low where the classifier is misled, `[N]`; 0 where it is wrong already.

    Args:
        logits: of the classifier on the generated texts, `[N, K]`; not probabilities.
        labels: int64 `[N]`.
        form: `sum` for `-log(1 - p_y)`, `largest` for `-log max_{k != y} p_k`, `margin` for `z_y - max_{k != y} z_k`.

    Raises:
        ParameterError: there is no such form.

    >>> p = torch.tensor([[0.7, 0.2, 0.1]]).log()
    >>> [round(mislead_loss(p, torch.tensor([0]), form=f).item(), 4) for f in ("sum", "largest", "margin")]
    [1.204, 1.6094, 1.2528]
    """
    own = F.one_hot(labels, logits.shape[1]).bool()
    logs = logits.log_softmax(1)
    others = logs.masked_fill(own, -torch.inf)
    if form == "sum":
        loss = -others.logsumexp(1)
    elif form == "largest":
        loss = -others.amax(1)
    elif form == "margin":
        loss = logs[own] - others.amax(1)
    else:
        raise ParameterError(f"there is no form {form!r} of the misleading loss; choose sum, largest or margin")
    return torch.where(logs[own] > others.amax(1), loss, torch.zeros_like(loss))


def soft_words(logits: Tensor, table: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Embeddings weighted by a generator's softmax, `[N, L, E]`: a text through which gradients flow.

    The index of the largest logit in their place has no gradient, and a generator would learn nothing.

    Args:
        logits: of the generator at L places, `[N, L, V]`.
        table: embeddings of its V words, `[V, E]`.
        temperature: above 0; near 0 the weights come near to the largest word alone.

    Raises:
        ParameterError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ParameterError(f"temperature must be above 0, not {temperature}")
    return (logits / temperature).softmax(-1) @ table
