"""Writers of dilutions, by templates, a user's language model, or insertion, and the material they write from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from typing_extensions import override

from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.imports import need
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.image_text.words import content_words


@dataclass(frozen=True, slots=True)
class Material:
    """The words and looks of a sample that a dilution is written from.

    Args:
        text: of the sample.
        look: how its picture looks, such as `bright bluish`; empty for unknown.
        image_words: key words of the image.
        text_words: key words of the text.
        other_words: key words of wrong classes, a list for each.
        forbidden: words, in lower case, that no dilution may have, since they would name a class.
    """

    text: str
    look: str = ""
    image_words: Sequence[str] = ()
    text_words: Sequence[str] = ()
    other_words: Sequence[Sequence[str]] = ()
    forbidden: frozenset[str] = field(default_factory=frozenset)


def gather_material(
    samples: ImageTextSet, class_words: Sequence[Sequence[str]], probabilities: Numbers, *,
    image_words: Sequence[Sequence[str]] | None = None, text_words: Sequence[Sequence[str]] | None = None,
    looks: Sequence[tuple[str, str]] | None = None, wrong: int = 4,
) -> list[Material]:  # fmt: skip
    """Material of each sample; words of wrong classes are those of the classes that an image model confuses it with.

    Args:
        samples: whose labels say which classes are wrong.
        class_words: key words of each of the K classes.
        probabilities: of an image model, `[N, K]`.
        image_words: key words of each image; None for none.
        text_words: key words of each text; None for none.
        looks: brightness and tint of each picture, as `describe_pictures` gives them; None for none.
        wrong: most probable wrong classes that words are taken from.

    Raises:
        DataError: a length does not fit, or a class has no key word.
    """
    n, k = len(samples), len(samples.classes)
    if len(class_words) != k or not all(class_words):
        raise DataError(f"give key words of each of the {k} classes, not of {len(class_words)}, and one at least each")
    if probabilities.shape != (n, k):
        raise DataError(f"probabilities of the image model are {probabilities.shape}, not ({n}, {k})")
    for name, given in (("image_words", image_words), ("text_words", text_words), ("looks", looks)):
        if given is not None and len(given) != n:
            raise DataError(f"{name} are of {len(given)} samples, and there are {n}")
    names = frozenset(word for name in samples.classes for word in content_words(name))
    order = np.argsort(-probabilities, axis=1, kind="stable")
    found = []
    for i, label in enumerate(samples.labels.tolist()):
        others = [class_words[c] for c in order[i].tolist() if c != label][:wrong]
        look = " ".join(word for word in looks[i] if word) if looks is not None else ""
        found.append(Material(
            samples.texts[i], look, image_words[i] if image_words else (), text_words[i] if text_words else (),
            others, names,
        ))  # fmt: skip
    return found


Fill = Callable[[Sequence[tuple[Sequence[str], Sequence[str]]]], Sequence[Sequence[tuple[str, float]]]]
"""From gaps, each the words before and behind it, to words for each with their probabilities, the best first."""


def insert_rounds(
    words: Sequence[str], fill: Fill, rng: np.random.Generator, *, rounds: int = 4, longest: int = 30,
    decay: float = 2.0, least: float = 0.1,
) -> list[str]:  # fmt: skip
    """Insert at most one word into each gap a round, until nothing is inserted.

    A gap stays closed in round r, counted from 0, where its best word is less probable than
    `least * min(r / decay, 1)`, so that early rounds insert. The key words are constraints: all stay, in their order.
    A trained insertion transformer has a token for "no insertion" in the place of `least`.

    Args:
        words: key words.
        fill: words for gaps.
        rng: draws among the words of a gap, by their probabilities.
        rounds: at most.
        longest: words at most; gaps with the most probable words are filled first.
        decay: above 0.
        least: probability of a word below which a gap may stay closed.

    Returns:
        All words, in order.

    Raises:
        ParameterError: decay is not above 0.

    Source: Zhang et al. 2020, arXiv:2005.00558, for the rounds.
    """
    if not decay > 0:
        raise ParameterError(f"decay must be above 0, not {decay}")
    found = list(words)
    for number in range(rounds):
        gaps = [(found[:i], found[i:]) for i in range(len(found) + 1)]
        chosen: list[tuple[float, int, str]] = []
        for place, options in enumerate(fill(gaps)):
            if options and options[0][1] >= least * min(number / decay, 1.0):
                weights = np.array([max(p, 1e-12) for _, p in options])
                drawn = int(rng.choice(len(options), p=weights / weights.sum()))
                chosen.append((-options[0][1], place, options[drawn][0]))
        chosen = sorted(chosen)[: max(0, longest - len(found))]
        if not chosen:
            break
        for _, place, word in sorted(chosen, key=lambda c: -c[1]):
            found.insert(place, word)
    return found


class MaskedModel:
    """A masked language model of a folder, read by transformers.

    Args:
        folder: with `config.json`, `model.safetensors` and the tokenizer.
        best: words for a gap.

    Raises:
        ModelError: it is not there, cannot be read, or has no token for a mask.
        MissingExtra: transformers is absent.
    """

    def __init__(self, folder: str | os.PathLike[str], *, best: int = 5) -> None:
        place = Path(folder)
        if not (place / "model.safetensors").is_file():
            raise ModelError(f"{place} holds no model.safetensors; name the folder of a masked language model")
        package = need("transformers", "transformers", "models", "a masked language model")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokens: Any = package.AutoTokenizer.from_pretrained(str(place), **options)
            self._net: Any = package.AutoModelForMaskedLM.from_pretrained(str(place), use_safetensors=True, **options)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            why = " ".join(str(error).split())[:200]
            raise ModelError(f"{place} is no masked language model that transformers reads: {why}") from None
        if self._tokens.mask_token is None:
            raise ModelError(f"{place}: its tokenizer has no token for a mask; name a masked language model")
        self._net.eval()
        self._best = best
        names = self._tokens.convert_ids_to_tokens(range(self._net.config.vocab_size))
        self._words = torch.tensor([bool(name) and name.isalpha() for name in names])

    @torch.no_grad()
    def __call__(
        self, gaps: Sequence[tuple[Sequence[str], Sequence[str]]]
    ) -> list[list[tuple[str, float]]]:  # fmt: skip
        """The most probable whole words for gaps; see `Fill`."""
        mask = self._tokens.mask_token
        texts = [" ".join([*before, mask, *after]) for before, after in gaps]
        given = self._tokens(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        logits = self._net(**given).logits.float()
        rows, places = torch.where(given["input_ids"] == self._tokens.mask_token_id)
        first = {int(row): int(place) for row, place in zip(rows.flip(0), places.flip(0), strict=True)}
        found: list[list[tuple[str, float]]] = []
        for row in range(len(texts)):
            if row not in first:  # the mask was beyond what the model reads
                found.append([])
                continue
            chances = logits[row, first[row]].softmax(0) * self._words
            top = chances.topk(min(self._best, len(chances)))
            names = self._tokens.convert_ids_to_tokens(top.indices.tolist())
            found.append([(n, p) for n, p in zip(names, top.values.tolist(), strict=True) if p > 0])
        return found


Rng = np.random.Generator
TEMPLATES = (
    "The picture is {look}, with {own} and some {a} and {b} in the background.",
    "In the {look} picture {own} can be seen, and {a} and {b} further behind.",
    "Behind {own} in this {look} view there are {a} and {b}.",
    "Taken on a day of {a} and {b}, the {look} photo shows {own}.",
)
"""`{look}` is how the picture looks, `{own}` the sample's own key words, `{a}` and `{b}` those of a wrong class."""
PROMPT = (
    "Write one plausible sentence that could follow this caption of a {look} picture: {text!r}. Mention {own} and, in "
    "the background, {others}. Do not contradict the caption. Do not use these words: {forbidden}."
)
"""What a language model is asked."""


class Writer(Protocol):
    """Interface of what writes dilutions."""

    def __call__(self, material: Material, rng: Rng) -> str:
        """One candidate; other draws of the generator give others."""


@dataclass(frozen=True, slots=True)
class TemplateWriter(Writer):
    """Fills templates, without any model.

    Args:
        templates: as `TEMPLATES`.
        own: key words of the sample in each text, those of image and text mixed.
        misleads: mention two words of a wrong class; False gives the first stage alone, with two of the sample's own.

    Raises:
        ParameterError: there is no template, or one has an unknown field.
    """

    templates: Sequence[str] = TEMPLATES
    own: int = 2
    misleads: bool = True

    def __post_init__(self) -> None:
        if not self.templates:
            raise ParameterError("there is no template to write by")
        for template in self.templates:
            try:
                template.format(look="", own="", a="", b="")
            except (KeyError, IndexError, ValueError) as error:
                raise ParameterError(
                    f"template {template!r} cannot be filled ({error}): use {{look}}, {{own}}, {{a}} and {{b}} alone"
                ) from None

    @override
    def __call__(self, material: Material, rng: Rng) -> str:
        template = self.templates[int(rng.integers(len(self.templates)))]
        pool = dict.fromkeys([*material.image_words, *material.text_words])
        own = _draw(list(pool), self.own, rng)
        others = _wrong_words(material, rng) if self.misleads else _draw(list(pool), 2, rng)
        a, b = [*others, "things", "people"][:2]
        shown = " and ".join(own) or "the rest"
        return template.format(look=material.look or "plain", own=shown, a=a, b=b)


@dataclass(frozen=True, slots=True)
class ModelWriter(Writer):
    """Lets a user's language model write; a ModelError is raised where it gives no text.

    Args:
        function: from a prompt and a seed to a text.
        prompt: with the fields of `PROMPT`.
        misleads: as of `TemplateWriter`.
    """

    function: Callable[[str, int], str]
    prompt: str = PROMPT
    misleads: bool = True

    @override
    def __call__(self, material: Material, rng: Rng) -> str:
        own = [*material.image_words, *material.text_words]
        others = _wrong_words(material, rng) if self.misleads else own[:2]
        text = self.prompt.format(
            look=material.look or "plain", text=material.text, own=" and ".join(own) or "what it shows",
            others=" and ".join(others) or "people", forbidden=", ".join(sorted(material.forbidden)) or "none",
        )  # fmt: skip
        answer = self.function(text, int(rng.integers(2**31)))
        if not isinstance(answer, str):
            raise ModelError(f"the language model gave {type(answer).__name__} in the place of a text")
        return " ".join(answer.split())


@dataclass(frozen=True, slots=True)
class InsertionWriter(Writer):
    """Writes around the key words, which stay in their order, by a masked language model; see `insert_rounds`.

    Args:
        fill: best words for masked places, such as a `MaskedModel`.
        misleads: as of `TemplateWriter`.
        rounds: of insertion at most.
        longest: words of a text at most.
        decay: the round from which a gap may stay closed without a penalty.
    """

    fill: Fill
    misleads: bool = True
    rounds: int = 4
    longest: int = 30
    decay: float = 2.0

    @override
    def __call__(self, material: Material, rng: Rng) -> str:
        words = [*material.image_words, *material.text_words]
        words += _wrong_words(material, rng) if self.misleads else []
        found = insert_rounds(
            list(dict.fromkeys(words)), self.fill, rng, rounds=self.rounds, longest=self.longest, decay=self.decay
        )
        return " ".join(found)


def _wrong_words(material: Material, rng: Rng) -> list[str]:
    """Two words of one wrong class, drawn."""
    if not material.other_words:
        return []
    return _draw(list(material.other_words[int(rng.integers(len(material.other_words)))]), 2, rng)


def _draw(words: list[str], count: int, rng: Rng) -> list[str]:
    return [words[i] for i in rng.permutation(len(words))[:count]]
