"""`ClassNames`: finds a model's class by name, synonym, WordNet id or number; and the names of published classes."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache, cached_property
from typing import Any

from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.networks.box_output import number_labels

_WORDNET = re.compile(r"(n\d{8})(?:\W.*|_.*)?")
_NUMBERED = re.compile(r"(?:(?:label|class)[ _-]?)?\d+", re.IGNORECASE)


class ClassNames:
    """The classes of a model, by all that they are called.

    A class's own text counts first, then each part between its commas ("tabby, tabby cat"), then its WordNet id and
    synonyms. Capitals do not matter, nor whether words are divided by spaces, hyphens or underscores. Of the 1,000
    ImageNet classes the package timm (extra `models`) knows ids and synonyms; without it there are none.

    Args:
        classes: in logit order; empty when unknown.

    >>> names = ClassNames(["tabby, tabby cat", "great white shark", "crane bird"])
    >>> names.find("Tabby_cat"), names.find("great-white_shark"), names.find("2"), names.find("crane")
    ((0,), (1,), (2,), ())
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    @property
    def unnamed(self) -> bool:
        """Whether there are no names, or only numbers such as `3`, `class 3` or `LABEL_3`."""
        return all(_NUMBERED.fullmatch(name.strip()) for name in self.classes)

    def find(self, name: str) -> tuple[int, ...]:
        """Places of the classes that are called so; several where the name is ambiguous, none where it is unknown."""
        for table in self._tables():
            for key in _keys(name):
                if key in table:
                    return tuple(sorted(table[key]))
        number = int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else -1
        return (number,) if 0 <= number < len(self.classes) else ()

    def nearest(self, name: str, n: int = 3) -> list[str]:
        """The classes whose names are most alike, at most n."""
        parts = {key: place for table in self._plain for key, places in table.items() for place in places}
        alike = get_close_matches(_plain(name), parts, n=2 * n, cutoff=0.5)
        alike += [k for k in parts if set(k.split()) & set(_plain(name).split())]
        return list(dict.fromkeys(self.classes[parts[key]] for key in alike))[:n]

    @cached_property
    def _plain(self) -> list[dict[str, set[int]]]:
        whole, parts = dict[str, set[int]](), dict[str, set[int]]()
        for place, name in enumerate(self.classes):
            whole.setdefault(_plain(name), set()).add(place)
            for part in name.split(","):
                parts.setdefault(_plain(part), set()).add(place)
        return [whole, parts]

    @cached_property
    def _wordnet(self) -> list[dict[str, set[int]]]:
        """WordNet ids, and the synonyms that go with them."""
        ids, synonyms = dict[str, set[int]](), dict[str, set[int]]()
        for place, key in self._ids():
            ids.setdefault(key, set()).add(place)
            for part in _imagenet().get(key, "").split(","):
                synonyms.setdefault(_plain(part), set()).add(place)
        return [ids, synonyms]

    def _ids(self) -> Iterator[tuple[int, str]]:
        published = [_plain(name) for name in imagenet_classes()]
        own = [_plain(name.partition(",")[0]) for name in self.classes]
        same = len(own) == len(published) and sum(a == b for a, b in zip(own, published, strict=True)) > 0.9 * len(own)
        yield from enumerate(_imagenet() if same else ())
        for place, name in enumerate(self.classes):
            if found := wordnet_id(name):
                yield place, found

    def _tables(self) -> Iterator[dict[str, set[int]]]:
        yield from self._plain
        yield from self._wordnet


def wordnet_id(name: str) -> str | None:
    """The WordNet id that a name is or begins with; None for other names.

    >>> wordnet_id("n02123045-tabby"), wordnet_id("tabby")
    ('n02123045', None)
    """
    found = _WORDNET.fullmatch(name.strip().lower())
    return found[1] if found else None


def is_wordnet_id(name: str) -> bool:
    """Whether a name is a WordNet id, or begins with one, such as `n02123045` or `n02123045-tabby`."""
    return wordnet_id(name) is not None


def _keys(name: str) -> list[str]:
    found = wordnet_id(name)
    return [_plain(name), *([found] if found else []), *(_plain(part) for part in name.split(",") if "," in name)]


def _plain(name: str) -> str:
    """Lower case, words divided by single spaces."""
    return " ".join(re.split(r"[\s_\-/]+", name.casefold().strip())).strip()


@cache
def _imagenet() -> dict[str, str]:
    """WordNet id to synonyms ("tabby, tabby cat") of the 1,000 ImageNet classes in order; empty without timm."""
    if importlib.util.find_spec("timm") is None:
        return {}
    from timm.data.imagenet_info import ImageNetInfo

    info: Any = ImageNetInfo("imagenet-1k")
    return {key: info.label_name_to_description(key, detailed=False) for key in info.label_names()}


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet-1k in the usual order (0 tench, ..., 999 toilet tissue), from torchvision's metadata."""
    from torchvision.models import get_model_weights  # only where it is needed

    return tuple(get_model_weights("resnet18").DEFAULT.meta["categories"])


def learned_imagenet(spec: ModelSpec) -> str:
    """`ImageNet` for a SPEC that takes the published weights, as most of torchvision's and timm's are.

    Args:
        spec: of a kind with the option `weights`.
    """
    return "" if "weights" in spec.options else "ImageNet"


def coco_classes() -> tuple[str, ...]:
    """The 80 names of COCO's objects in the usual order (0 person, ..., 79 toothbrush), from torchvision's metadata.

    >>> len(coco_classes()), coco_classes()[:2]
    (80, ('person', 'bicycle'))
    """
    from torchvision.models import get_model_weights

    return number_labels(get_model_weights("fcos_resnet50_fpn").DEFAULT.meta["categories"])[0]
