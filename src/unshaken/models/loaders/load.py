"""`load_model`: from a SPEC to a classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.consent import call, refuse_remembered, words
from unshaken.core.device import find_device
from unshaken.core.errors import ModelError
from unshaken.core.rng import seeded
from unshaken.models.loaders.from_function import from_function
from unshaken.models.loaders.kinds import find_kind
from unshaken.models.loaders.options import with_options
from unshaken.models.loaders.spec import parse_model_spec


def load_model(spec: str, *, download: bool = False, device: str = "cpu") -> Classifier:
    """Load the model that a SPEC names, in evaluation mode; what `py:` builds stays in the mode it came in.

    Weights are read as tensors only; nothing is downloaded without `download`, and no code runs but that of a file
    which a `py:` SPEC of the caller names (see `unshaken.core.consent`). Whatever is drawn at random while a model is
    built (weights that no file gives) is the same in every process, and the caller's random state stays as it was.

    Args:
        spec: `KIND:NAME?OPTION=VALUE&...`. Kinds: see `list_kinds`. Options of every kind: `mean` and `std` (one number
            a channel in [0, 1] units with commas between, or one for all; fractions such as 127/255 will do), `size`
            (`S` or `HxW` in pixels: the short side is resized to it, then the centre is cut), `classes` (a file with
            one name a line, their count, or `positions` for class n of the data as class n of the model, whatever both
            are called), `within` (`data` to score among the classes alone that occur in the data, `all` among all),
            `channels` (1 or 3), `defence` (`NAME[:k=v,...]` of the room `harden`, put around the model).
        download: allow weights to be fetched from their own source.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.

    Returns:
        A classifier from images in [0, 1] to logits `[N, K]`.

    Raises:
        ParameterError: the SPEC has an unknown kind or option, or a value that is not allowed.
        ModelError: the model is absent, damaged, unsafe to read, or not of the kind that was named.
        MissingExtra: the kind needs a package that is absent.

    >>> load_model("demo").classes[:2]
    ('T-shirt/top', 'Trouser')
    """
    place = find_device(device)
    parsed = parse_model_spec(spec)
    kind = find_kind(parsed.kind, parsed.name)
    kind.check_options(parsed)
    with seeded(0), call(spec):
        classifier = with_options(kind.open(parsed, download), parsed)
    return classifier.to(place) if kind.keeps_mode else classifier.to(place).eval()


def as_classifier(model: str | nn.Module | Callable[..., Any], *, download: bool = False) -> Classifier:
    """Turn a SPEC, a module, a classifier or a function into a classifier.

    Args:
        model: a SPEC, a `Classifier`, any module from images in [0, 1] to logits, or a function as of `from_function`.
        download: as of `load_model`.

    Raises:
        ModelError: it is none of these, or as of `load_model`.
    """
    if isinstance(model, str):
        return load_model(model, download=download)
    if not isinstance(model, nn.Module):
        if callable(model) and not isinstance(model, type):
            return from_function(model)
        raise ModelError(
            f"a model is a SPEC such as 'demo', a torch module or a function of images, not of type "
            f"{type(model).__name__}"
        )
    return model if isinstance(model, Classifier) else Classifier(model, name=type(model).__name__)


def second_model(spec: str) -> Classifier:
    """A further model that a method names, in evaluation mode and without weight gradients; the last few are kept.

    Args:
        spec: as of `load_model`; what it names must be there already.

    Raises:
        ModelError: as of `load_model`; or the method was made of a file that names code.
    """
    refuse_remembered(spec)
    return _loaded(spec, words())


def forget_models() -> None:
    """Let go of the further models that are kept, so that the next call reads them again."""
    _loaded.cache_clear()


@lru_cache(maxsize=4)
def _loaded(spec: str, _: tuple[str, ...] | None) -> Classifier:
    """One model for each call of the user's: what an earlier one allowed to run is not kept for a later one."""
    return load_model(spec).eval().requires_grad_(False)
