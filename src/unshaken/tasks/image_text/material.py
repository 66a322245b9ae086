"""What a dilution is written from: key words of both modalities and of wrong classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from unshaken.core.errors import DataError
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.image_text.words import content_words


@dataclass(frozen=True, slots=True)
class Material:
    """What is known of a sample.

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
