"""Writers of dilutions: by templates, by a user's language model, and by insertion into key words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from unshaken.core.errors import ModelError, ParameterError
from unshaken.tasks.image_text.insertion import Fill, insert_rounds
from unshaken.tasks.image_text.material import Material

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
class TemplateWriter:
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

    def __call__(self, material: Material, rng: Rng) -> str:
        """See `Writer`."""
        template = self.templates[int(rng.integers(len(self.templates)))]
        pool = dict.fromkeys([*material.image_words, *material.text_words])
        own = _draw(list(pool), self.own, rng)
        others = _wrong_words(material, rng) if self.misleads else _draw(list(pool), 2, rng)
        a, b = [*others, "things", "people"][:2]
        shown = " and ".join(own) or "the rest"
        return template.format(look=material.look or "plain", own=shown, a=a, b=b)


@dataclass(frozen=True, slots=True)
class ModelWriter:
    """Lets a user's language model write.

    Args:
        function: from a prompt and a seed to a text.
        prompt: with the fields of `PROMPT`.
        misleads: as of `TemplateWriter`.
    """

    function: Callable[[str, int], str]
    prompt: str = PROMPT
    misleads: bool = True

    def __call__(self, material: Material, rng: Rng) -> str:
        """See `Writer`.

        Raises:
            ModelError: the function gives no text.
        """
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
class InsertionWriter:
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

    def __call__(self, material: Material, rng: Rng) -> str:
        """See `Writer`."""
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
