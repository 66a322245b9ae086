"""The options that every kind of model has, and how they change a classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from torch import Tensor, nn

from unshaken.core.classifier import Classifier, Fit, View, Within
from unshaken.core.documents import LONGEST_NAMES, read_text
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import MAX_CLASSES, MAX_SIDE, parse_number, parse_whole, shorten
from unshaken.core.registry import parse_method
from unshaken.models.loaders.settings import mark_source, source_of
from unshaken.models.loaders.spec import ModelSpec

FITS: dict[str, Fit] = {name: name for name in get_args(Fit)}
"""Values of the option `fit`."""
SCOPES: dict[str, Within] = {name: name for name in get_args(Within)}
"""Values of the option `within`."""
POSITIONS = "positions"
"""Value of the option `classes` by which class n of the data is class n of the model, whatever both are called."""


def with_options(classifier: Classifier, spec: ModelSpec) -> Classifier:
    """Apply the options of a SPEC to a network: preprocessing, classes, defence.

    Raises:
        ParameterError: a value is not allowed, or has not one number a channel.
    """
    within = spec.options.get("within", "")
    if within not in SCOPES:
        raise ParameterError(f"model {str(spec)!r}: within={shorten(within)} is neither data nor all")
    classifier = _described(classifier, spec)
    if "defence" in spec.options:
        classifier = _guarded(classifier, spec)
    if spec.options.get("classes") == POSITIONS:
        classifier.by_position = True
    classifier.within = SCOPES[within] or classifier.within
    return classifier


def _guarded(classifier: Classifier, spec: ModelSpec) -> Classifier:
    guard = parse_method(spec.options["defence"])
    if not hasattr(guard, "wrap"):
        raise ParameterError(
            f"model {str(spec)!r}: {guard.info.name!r} is not an inference-time defence; see 'unshaken list harden'"
        )
    guarded: Classifier = guard.wrap(classifier)
    guarded.name = f"{classifier.name} behind {guard.info.name}"
    # its parameters are no weights, and the net inside may come from a file that says more than its weights
    known = f"{source_of(classifier.net)} {guard.info.name} {guard.model_dump_json()}"
    mark_source(guarded.net, hashlib.sha256(known.encode()).hexdigest())
    return guarded


def _described(classifier: Classifier, spec: ModelSpec) -> Classifier:
    if not spec.options.keys() & {"mean", "std", "size", "fit", "classes", "channels"}:
        return classifier
    mean = numbers(spec, "mean") or _values(classifier.mean)
    std = numbers(spec, "std") or _values(classifier.std)
    if (mean is None) != (std is None):
        raise ParameterError(f"model {str(spec)!r}: give mean and std together")
    if mean is not None and std is not None:
        longest = max(len(mean), len(std))
        if {len(mean), len(std)} - {1, longest}:
            raise ParameterError(
                f"model {str(spec)!r}: {len(mean)} means but {len(std)} stds; give one of each per channel"
            )
        mean, std = (mean * longest)[:longest], (std * longest)[:longest]
    channels = _channels(classifier, spec, mean)
    if mean is not None and channels is not None and len(mean) not in (1, channels):
        raise ParameterError(
            f"model {str(spec)!r}: mean and std have {len(mean)} values for {channels} channels; "
            "give one, or one per channel"
        )
    return Classifier(
        classifier.net,
        mean=mean,
        std=std,
        classes=class_names(spec) or classifier.classes,
        view=_view(classifier, spec, channels),
        differentiable=classifier.differentiable,
        name=classifier.name,
        by_position=classifier.by_position,
        within=classifier.within,
    )


def numbers(spec: ModelSpec, option: str) -> list[float] | None:
    """The numbers of an option with commas between, or None where it is not given.

    Raises:
        ParameterError: one is no number, or a `std` is not above 0.
    """
    if option not in spec.options:
        return None
    try:
        values = [parse_number(v) for v in spec.options[option].split(",")]
    except ParameterError as error:
        raise ParameterError(f"model {str(spec)!r}: {option}: {error}") from None
    if max(abs(v) for v in values) > 1e6 or (option == "std" and 0 < min(values) < 1e-6):
        raise ParameterError(
            f"model {str(spec)!r}: {option} must be of a sensible size, from 1e-6 to 1e6, in [0, 1] units"
        )
    if option == "std" and min(values) <= 0:
        raise ParameterError(f"model {str(spec)!r}: std must be above 0, not {min(values):g}")
    return values


def class_names(spec: ModelSpec) -> tuple[str, ...]:
    """The names that option `classes` gives: a file's lines, or `0` to `K-1` for a count K; empty for no names.

    Raises:
        ParameterError: there is no such file, or fewer than 2 classes.
    """
    if spec.options.get("classes", POSITIONS) == POSITIONS:
        return ()
    text = spec.options["classes"]
    try:
        count = parse_whole(text, least=0, most=MAX_CLASSES) if text.lstrip("+-").isdecimal() else None
    except ParameterError as error:
        raise ParameterError(f"model {str(spec)!r}: classes: {error}") from None
    names = read_lines(text, f"model {str(spec)!r}") if count is None else tuple(str(i) for i in range(count))
    if len(names) < 2:
        raise ParameterError(f"model {str(spec)!r}: classes={text} gives {len(names)} classes; the minimum is 2")
    return names


def read_lines(path: str, what: str) -> tuple[str, ...]:
    """The lines of a text file without surrounding space, empty ones left out.

    Raises:
        ParameterError: it cannot be read as UTF-8 text.
    """
    try:
        lines = read_text(Path(path), LONGEST_NAMES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(
            f"{what}: cannot read {path!r} as text ({getattr(error, 'strerror', None) or error})"
        ) from None
    return tuple(line.strip() for line in lines if line.strip())


def image_size(spec: ModelSpec) -> tuple[int, int] | None:
    """Height and width of option `size`, or None where it is not given.

    Raises:
        ParameterError: it is not `S` or `HxW` with whole pixels.
    """
    if "size" not in spec.options:
        return None
    text = spec.options["size"]
    height, cross, width = text.partition("x")
    try:
        pixels = [parse_whole(part, least=1, most=MAX_SIDE) for part in (height, width if cross else height)]
    except ParameterError:
        raise ParameterError(
            f"model {str(spec)!r}: size={text[:40]} must be pixels such as 224 or 224x288 (height x width), at most "
            f"{MAX_SIDE}"
        ) from None
    return pixels[0], pixels[1]


def stem_channels(net: nn.Module) -> int | None:
    """The channels that a net's first convolution takes, or None where it has no convolution over 1 or 3."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None and first.in_channels in (1, 3) else None


def _channels(classifier: Classifier, spec: ModelSpec, mean: Sequence[float] | None) -> int | None:
    if "channels" in spec.options:
        if spec.options["channels"] not in ("1", "3"):
            raise ParameterError(f"model {str(spec)!r}: channels={spec.options['channels']} must be 1 or 3")
        return int(spec.options["channels"])
    if classifier.view is not None:
        return classifier.view.channels
    return stem_channels(classifier.net) or (len(mean) if mean is not None and len(mean) == 3 else None)


def _view(classifier: Classifier, spec: ModelSpec, channels: int | None) -> View | None:
    size, view = image_size(spec), classifier.view
    if size is not None:
        base = view or View(*size)
        view = replace(base, height=size[0], width=size[1], resize=None)
    if (fit := spec.options.get("fit")) is not None:
        if fit not in FITS:
            raise ParameterError(f"model {str(spec)!r}: fit={shorten(fit)}; {did_you_mean(fit, FITS)}")
        if view is None:
            raise ParameterError(f"model {str(spec)!r}: fit={fit} needs a size: give one, such as size=640")
        view = replace(view, fit=FITS[fit], resize=None if fit != "cut" else view.resize)
    return None if view is None else replace(view, channels=channels or view.channels)


def _values(buffer: Tensor | None) -> list[float] | None:
    return None if buffer is None else buffer.flatten().tolist()
