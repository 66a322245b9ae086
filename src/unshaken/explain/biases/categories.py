"""`Categories`: groups of a model's classes, decided between by the mean probability of their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unshaken.core.classifier import predict
from unshaken.core.device import widen
from unshaken.core.documents import LONGEST_NAMES, parse_json, read_text
from unshaken.core.errors import DataError, ParameterError
from unshaken.models.class_names import ClassNames

_RANGES: Mapping[str, str] = {
    "airplane": "404",
    "bear": "294-297",
    "bicycle": "444 671",
    "bird": "8 10-16 18-20 22-24 80-83 87-96 98-100 127-133 135-145",
    "boat": "472 554 625 814 914",
    "bottle": "440 720 737 898-899 901 907",
    "car": "436 511 817",
    "cat": "281-286",
    "chair": "423 559 765 857",
    "clock": "409 530 892",
    "dog": "152-191 193-203 205-226 228-241 243-250 252-257 259 261-263 265-268",
    "elephant": "385-386",
    "keyboard": "508 878",
    "knife": "499",
    "oven": "766",
    "truck": "555 569 656 675 717 734 864 867",
}
CLASSES = 1000
"""Classes that the numbers below count."""


IMAGENET_16: Mapping[str, tuple[int, ...]] = {
    name: tuple(
        i
        for low, _, high in (part.partition("-") for part in ranges.split())
        for i in range(int(low), int(high or low) + 1)
    )
    for name, ranges in _RANGES.items()
}
"""Category to the places of its classes among ImageNet's thousand; 207 in all. Source: arXiv:1811.12231, appendix."""


@dataclass(frozen=True, slots=True)
class Categories:
    """Groups of a model's classes, decided between by the mean probability of their members.

    Args:
        names: of the categories.
        members: places of each one's classes among the logits; None where every class is a category of its own.
    """

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...] | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """The mean probability of each category's classes: `[N, G]` from logits `[N, K]`.

        The mean, and not the sum, since groups are of very unequal size.

        Raises:
            ParameterError: a class is beyond the logits.
        """
        p = widen(logits).softmax(1)
        if self.members is None:
            return p
        if (most := max(i for group in self.members for i in group)) >= p.shape[1]:
            raise ParameterError(f"the categories name class {most}, but the model has {p.shape[1]} classes, from 0")
        return torch.stack([p[:, list(group)].mean(1) for group in self.members], 1)

    def decide(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The category of the largest mean probability, -1 where there is none, and that probability, both `[N]`."""
        p = self.probabilities(logits)
        return predict(p), p.amax(1)

    def of_classes(self, labels: Tensor) -> Tensor:
        """The category of each class `[N]`; -1 for a class in none."""
        if self.members is None:
            return labels
        found = torch.full_like(labels, -1)
        for place, group in enumerate(self.members):
            found[torch.isin(labels, torch.tensor(group, device=labels.device))] = place
        return found


def read_categories(text: str, classes: Sequence[str], count: int | None = None) -> Categories:
    """The categories that a user names.

    Args:
        text: `imagenet-16`; a JSON file of category to a list of class names or numbers; or empty for every class as a
            category of its own.
        classes: names of the model's classes; empty when unknown.
        count: of the model's classes, where they have no names.

    Raises:
        DataError: the file cannot be read, or has another form.
        ParameterError: a category has no class of the model, or two have the same one; or there are fewer than two.
    """
    if not text:
        names = tuple(classes) or tuple(str(i) for i in range(count or 0))
        return _checked(Categories(names), text)
    if text == "imagenet-16":
        known = len(classes) or count or CLASSES
        if known != CLASSES:
            raise ParameterError(f"categories imagenet-16 are of the 1,000 classes of ImageNet; the model has {known}")
        return Categories(tuple(IMAGENET_16), tuple(IMAGENET_16.values()))
    named = ClassNames(classes or [str(i) for i in range(count or 0)])
    groups = {name: tuple(_place(named, c, name, text) for c in members) for name, members in _read(text).items()}
    owner: dict[int, str] = {}
    for name, group in groups.items():
        for place in group:
            if owner.setdefault(place, name) != name:
                raise ParameterError(f"categories {text!r}: class {place} is in {owner[place]!r} and in {name!r}")
    return _checked(Categories(tuple(groups), tuple(groups.values())), text)


def _checked(found: Categories, text: str) -> Categories:
    if len(found.names) < 2:
        named = repr(text) if text else "of the model's classes"
        raise ParameterError(f"categories {named}: there are {len(found.names)}, and cues need two at least")
    return found


def _read(text: str) -> Mapping[str, list[str | int]]:
    path = Path(text).expanduser()
    try:
        value = parse_json(read_text(path, LONGEST_NAMES), f"categories {text!r}", DataError)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"categories {text!r}: {reason}; give imagenet-16 or a JSON file of lists of classes") from None
    if not isinstance(value, dict) or not all(isinstance(v, list) for v in value.values()):
        raise DataError(f'categories {text!r}: write {{"cat": ["tabby", 282], ...}}, a list of classes a category')
    if empty := [name for name, members in value.items() if not members]:
        raise DataError(f"categories {text!r}: {empty[0]!r} has no class: name one at least, or leave it out")
    return value


def _place(named: ClassNames, member: str | int, category: str, text: str) -> int:
    is_number = isinstance(member, int) and 0 <= member < len(named.classes)
    found = (int(member),) if is_number else named.find(str(member))
    if len(found) != 1:
        near = ", ".join(map(repr, named.nearest(str(member)))) or "its classes have no names; give numbers"
        why = "several classes" if found else "no class"
        raise ParameterError(f"categories {text!r}: {member!r} of {category!r} is {why} of the model; near: {near}")
    return found[0]
