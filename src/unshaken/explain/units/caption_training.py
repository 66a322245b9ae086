"""Learning to describe: a captioner and a language model from annotated units.

Trained by `core.descent`: the loop of `harden` is for classifiers of images, and this learns sequences of words.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unshaken.core.descent import descend
from unshaken.core.errors import DataError
from unshaken.core.rng import seeded
from unshaken.explain.units.captioner import (
    PAD,
    Captioner,
    LanguageModel,
    Vocabulary,
    beam_search,
    caption_loss,
    words_of,
)


@dataclass(frozen=True, slots=True)
class CaptionSettings:
    """How a captioner and its language model are trained; the defaults are those of the publication.

    Args:
        epochs: passes over the annotations, of both.
        lr: learning rate of AdamW, at its largest.
        batch: annotations a step of the captioner; the language model takes twice as many.
        embedding: of a word.
        hidden: of the LSTMs.
        dropout: in both.
        penalty: weight of the attention's penalty.
        held_out: share of the units on which the best epoch is chosen; 0 to keep the last one.
        patience: the captioner is tried on them whenever this number of epochs has passed.
        length: words of a description at most.
    """

    epochs: int = 100
    lr: float = 1e-3
    batch: int = 64
    embedding: int = 128
    hidden: int = 512
    dropout: float = 0.5
    penalty: float = 1.0
    held_out: float = 0.1
    patience: int = 4
    length: int = 15


@dataclass(frozen=True, slots=True, eq=False)
class CaptionModels:
    """A trained captioner with its language model and vocabulary.

    Args:
        captioner: of the last epoch with the best BLEU on held-out units, in evaluation mode.
        language: trained on all descriptions, in evaluation mode.
        vocabulary: of both.
        bleu: of the chosen epoch, on held-out units; 0 without any.
    """

    captioner: Captioner
    language: LanguageModel
    vocabulary: Vocabulary
    bleu: float


def learn_captions(
    keys: Tensor, texts: Sequence[Sequence[str]], settings: CaptionSettings | None = None, *, seed: int = 0
) -> CaptionModels:
    """Train on annotated units. The weights of the best epoch are copied, not referred to.

    Args:
        keys: of the units' exemplars, `[M, k, F]`.
        texts: descriptions of each unit.
        settings: see `CaptionSettings`.
        seed: of weights, order and the held-out units.

    Raises:
        DataError: fewer than two units, or one without a description.
    """
    given = settings or CaptionSettings()
    if len(texts) != len(keys) or len(keys) < 2 or not all(texts):
        raise DataError(
            f"{len(keys)} units came with {len(texts)} lists of descriptions: give two units or more, each with one"
        )
    order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(seed)).tolist()
    held = max(1, round(given.held_out * len(keys))) if given.held_out else 0
    apart, units = order[:held], order[held:]
    vocabulary = Vocabulary.of(text for u in units for text in texts[u])
    pairs = [(u, text) for u in units for text in texts[u]]
    of = torch.tensor([u for u, _ in pairs])
    encoded = vocabulary.encode([text for _, text in pairs], given.length)
    encoded = encoded[:, : int((encoded != PAD).any(0).sum())]
    with seeded(seed):
        sizes = {"embedding": given.embedding, "hidden": given.hidden, "dropout": given.dropout}
        captioner = Captioner(len(vocabulary), keys.shape[2], **sizes)  # type: ignore[arg-type]
        language = LanguageModel(len(vocabulary), **sizes)  # type: ignore[arg-type]
        best = _Best(captioner, keys[apart], [texts[u] for u in apart], vocabulary, given.length)
        every = given.patience * max(1, len(pairs) // given.batch)

        def after(step: int) -> None:
            if held and (step + 1) % every == 0:
                best.try_now()

        _fit(captioner, lambda rows: caption_loss(captioner, keys[of[rows]], encoded[rows], given.penalty),
             len(pairs), given, given.batch, seed, "captioner", after)  # fmt: skip
        best.try_now()
        _fit(language, lambda rows: language.loss(encoded[rows]),
             len(pairs), given, 2 * given.batch, seed, "descriptions")  # fmt: skip
    captioner.load_state_dict(best.weights)
    return CaptionModels(captioner.eval(), language.eval(), vocabulary, best.bleu)


def _fit(
    model: nn.Module, loss: Callable[[Tensor], Tensor], n: int, given: CaptionSettings, batch: int, seed: int,
    name: str, after: Callable[[int], None] = lambda step: None,
) -> None:  # fmt: skip
    model.train()
    descend(
        torch.optim.AdamW(model.parameters(), given.lr), lambda rows, rng: loss(rows), n,
        steps=given.epochs * max(1, n // min(batch, n)), batch_size=batch, seed=seed, name=name, clip=5.0,
        after_step=after,
    )  # fmt: skip


class _Best:
    """The weights of the best trial so far."""

    def __init__(
        self, captioner: Captioner, keys: Tensor, texts: Sequence[Sequence[str]], vocabulary: Vocabulary, length: int
    ) -> None:
        self.captioner, self.keys, self.texts = captioner, keys, texts
        self.vocabulary, self.length = vocabulary, length
        self.bleu, self.weights = -1.0, captioner.state_dict()

    def try_now(self) -> None:
        self.captioner.eval()
        written = [self.vocabulary.decode(beam_search(self.captioner, k, 1, self.length)[0][0]) for k in self.keys]
        self.captioner.train()
        found = bleu(written, self.texts)
        if found >= self.bleu:  # of equals the later one, whose probabilities have settled
            self.bleu, self.weights = found, copy.deepcopy(self.captioner.state_dict())


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]], most: int = 4) -> float:
    """BLEU of a set of texts, each against several references (Papineni et al. 2002), in [0, 1].

    An order without any match counts as half a match (Lin & Och 2004), so that short texts have a value.

    Args:
        candidates: N texts.
        references: of each.
        most: longest n-gram.

    >>> bleu(["a red bar at the top"], [["a red bar at the top", "red"]])
    1.0
    """
    hits, counts, length, wanted = [0.0] * most, [0.0] * most, 0, 0
    for text, others in zip(candidates, references, strict=True):
        words, refs = words_of(text), [words_of(other) for other in others]
        length += len(words)
        wanted += min((len(r) for r in refs), key=lambda n: (abs(n - len(words)), n))
        for n in range(1, most + 1):
            own = _grams(words, n)
            allowed: Counter[tuple[str, ...]] = Counter()
            for r in refs:
                allowed |= _grams(r, n)
            hits[n - 1] += sum((own & allowed).values())
            counts[n - 1] += sum(own.values())
    if not length or not hits[0]:
        return 0.0
    logs = [math.log((h or 0.5) / c) for h, c in zip(hits, counts, strict=True) if c]
    brevity = min(0.0, 1 - wanted / length)
    return math.exp(brevity + sum(logs) / len(logs))


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
