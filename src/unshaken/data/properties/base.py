"""`ImageProperty`: a number measured of one decoded image, and the decorator that enters one under a name."""

from __future__ import annotations

import importlib
import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeVar

import numpy as np
from PIL import Image

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.registry import spellings
from unshaken.core.sources import sources_of
from unshaken.data.decode import Pixels

P = TypeVar("P", bound="type[ImageProperty]")
_properties: dict[str, type[ImageProperty]] = {}


class ImageProperty(ABC):
    """Base class of properties of images. The first line of a subclass's docstring says what the number means.

    Class attributes: `name`, given by `@image_property`; `unit`, empty for a pure number; `low` and `high`, the least
    and the largest value there can be.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    @abstractmethod
    def measure(self, image: Pixels) -> float:
        """Measure one image; several threads may call it at once.

        Args:
            image: upright, in its own size, uint8 `[H, W, 3]`.

        Returns:
            A finite number from `low` to `high`.
        """

    @property
    def meaning(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(type(self)) or "").partition("\n")[0]


def image_property(name: str) -> Callable[[P], P]:
    """Enter a subclass of `ImageProperty` under a name.

    Args:
        name: lower case letters and digits, words joined by `_`; unique among properties.

    Raises:
        ValueError: the name has other characters or is taken.
    """

    def enter(cls: P) -> P:
        if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
            raise ValueError(f"the name {name!r} of a property must be lower case words joined by _")
        other = _properties.get(name)
        if other is not None and other.__qualname__ != cls.__qualname__:
            raise ValueError(f"the name {name!r} is taken by {other.__module__}.{other.__qualname__}")
        cls.name = name
        _properties[name] = cls
        return cls

    return enter


def property_names() -> list[str]:
    """Names of all properties, those that were entered by other packages included; no file is imported for it.

    >>> property_names()[:3]
    ['aspect', 'brightness', 'colour_cast']
    """
    return sorted({*_properties, *(source.name for source in sources_of("data", "image_property"))})


def find_property(name: str) -> ImageProperty:
    """The property of a name; only its file is imported. Words may be joined by `-` or `_`.

    Raises:
        ParameterError: there is none, with near names.
    """
    for spelling in spellings(name):
        for source in sources_of("data", "image_property"):
            if source.name == spelling and spelling not in _properties:
                importlib.import_module(source.module)
        if spelling in _properties:
            return _properties[spelling]()
    raise ParameterError(f"no property of images {name!r}: {did_you_mean(name, property_names())}")


def measure_image(image: Pixels, properties: Iterable[ImageProperty]) -> dict[str, float]:
    """Measure several properties of an image, by name.

    Args:
        image: uint8 `[H, W]`, `[H, W, 1]` or `[H, W, 3]`.
        properties: what is measured.

    Raises:
        ParameterError: the image has another shape or type or no pixel, or a property is no finite number.
    """
    shape = image.shape
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    if image.dtype != np.uint8 or not image.size or not fits:
        raise ParameterError(
            f"an image must be uint8 [H, W] or [H, W, 3], H and W at least 1, not {image.dtype} {list(shape)}"
        )
    colours = np.broadcast_to(image.reshape(*shape[:2], -1), (*shape[:2], 3))
    found = {one.name: float(one.measure(colours)) for one in properties}
    for name, value in found.items():
        if not math.isfinite(value):
            raise ParameterError(f"the property {name!r} of an image is {value}: it must be a finite number")
    return found


def grey_shades(image: Pixels) -> Pixels:
    """The shades of grey of an image, uint8 `[H, W]`: 0.299 R + 0.587 G + 0.114 B (ITU-R 601-2), as Pillow rounds them.

    Args:
        image: uint8 `[H, W, 3]`.
    """
    return np.asarray(Image.fromarray(image).convert("L"))
