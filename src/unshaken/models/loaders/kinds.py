"""The table of model kinds. A kind is one file of this room, or of a plug-in, that enters its loader by a decorator.

A file is found by the decorator in its text and imported when its kind is asked for. A plug-in is an entry point in the
group `unshaken.models`, whose module enters kinds likewise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from unshaken.core.classifier import Classifier
from unshaken.core.consent import is_code, require_named
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.imports import plugins
from unshaken.core.sources import sources_of
from unshaken.models.loaders.spec import ModelSpec, form_of, parse_model_spec

Loader = Callable[[ModelSpec, bool], Classifier]

COMMON_OPTIONS = ("mean", "std", "size", "fit", "classes", "within", "channels", "defence")


def _unknown(spec: ModelSpec) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model SPEC: its loader, options and example.

    Args:
        name: the part of a SPEC before the colon.
        form: how its SPEC is written.
        options: its own options, beside those that every kind has.
        load: from the SPEC and leave to download, to a classifier on the CPU.
        keeps_mode: the network stays in the mode it came in, so that a forgotten `eval()` can be noticed.
        learned: gives the collection of photos that the weights of a SPEC learned from, such as `ImageNet`; empty where
            it is not known.
    """

    name: str
    form: str
    options: tuple[str, ...]
    load: Loader
    keeps_mode: bool = False
    learned: Callable[[ModelSpec], str] = _unknown

    def open(self, spec: ModelSpec, download: bool) -> Classifier:
        """Load a model; of a kind that runs code, only what the user named in this call.

        Args:
            spec: of this kind.
            download: whether weights may be fetched.

        Raises:
            ModelError: it would run code that a file names.
        """
        if is_code(bare := f"{self.name}:{spec.name}"):
            require_named(bare)
        return self.load(spec, download)

    def check_options(self, spec: ModelSpec) -> None:
        """Refuse an option that neither this kind nor every kind has.

        Raises:
            ParameterError: there is one; the message gives near names.
        """
        known = (*self.options, *COMMON_OPTIONS)
        for option in spec.options:
            if option not in known:
                raise ParameterError(f"model {str(spec)!r} has no option {option!r}; {did_you_mean(option, known)}")


_KINDS: dict[str, Kind] = {}


def model_kind(
    name: str,
    *,
    form: str,
    options: tuple[str, ...] = (),
    keeps_mode: bool = False,
    learned: Callable[[ModelSpec], str] = _unknown,
) -> Callable[[Loader], Loader]:
    """Enter a loader into the table under a kind's name; see `Kind`."""

    def enter(load: Loader) -> Loader:
        _KINDS[name] = Kind(name, form, options, load, keeps_mode, learned)
        return load

    return enter


def list_kinds() -> tuple[Kind, ...]:
    """Every kind of model, those of installed plug-ins among them, sorted by name."""
    for source in sources_of("models", "model_kind"):
        importlib.import_module(source.module)
    for plugin in plugins("unshaken.models"):
        plugin.load()
    return tuple(sorted(_KINDS.values(), key=lambda k: k.name))


def photos_learned(spec: str) -> str:
    """The collection of photos that a model's weights learned from; empty where it is not known.

    >>> photos_learned("imagenet:efficientnet-lite0"), photos_learned("torchvision:resnet18?weights=none")
    ('ImageNet', '')
    """
    try:
        parsed = parse_model_spec(spec)
        return find_kind(parsed.kind).learned(parsed)
    except ParameterError:
        return ""


def find_kind(name: str, target: str = "") -> Kind:
    """The kind of a name.

    Args:
        name: what stands before the colon of a SPEC.
        target: what stands behind it, for the message.

    Raises:
        ParameterError: there is none; the message gives near names.
    """
    for source in sources_of("models", "model_kind"):
        if source.name == name:
            importlib.import_module(source.module)
    if name not in _KINDS:
        known = [kind.name for kind in list_kinds()]
        if name not in known:
            raise ParameterError(f"no model kind {name!r}; {form_of(name, target) or did_you_mean(name, known)}")
    return _KINDS[name]
