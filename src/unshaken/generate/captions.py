"""Captions for text-to-image models: a template for each image, drawn by its number."""

from __future__ import annotations

from collections.abc import Sequence

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng

PLAIN = ("a photo of a {}",)
"""The one template without variety."""


def draw_captions(
    names: Sequence[str], labels: Sequence[int], templates: Sequence[str] = PLAIN, *, seed: int = 0, first: int = 0
) -> list[str]:
    """Captions of images to be generated, each by a template drawn uniformly; more templates, more variety.

    Args:
        names: of the classes, in label order.
        labels: the class of each image, from 0.
        templates: plain text with `{}` once, in the place of the name; CLIP's 80 for the usual variety.
        seed: of the draw; caption i follows from it, and i.
        first: number of the first image.

    Raises:
        ParameterError: there is no template, one has no `{}` or several, or a label has no name.

    >>> draw_captions(["cat", "dog"], [1, 0])
    ['a photo of a dog', 'a photo of a cat']
    """
    if not templates or any(text.count("{}") != 1 for text in templates):
        raise ParameterError(f"templates {list(templates)}: each needs {{}} once, as in 'a photo of a {{}}'")
    if labels and not 0 <= min(labels) <= max(labels) < len(names):
        raise ParameterError(f"labels run from {min(labels)} to {max(labels)}: there are names for 0..{len(names) - 1}")
    rng = SampleRng.of(seed, "captions", [str(first + i) for i in range(len(labels))])
    places = rng.integers(0, len(templates)).tolist() if labels else []
    return [templates[place].replace("{}", names[label]) for place, label in zip(places, labels, strict=True)]
