"""The table of model kinds. A kind is one file `from_*.py` in this folder, entered by a decorator."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from unshaken.core.classifier import Classifier
from unshaken.core.consent import is_code, require_named
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.models import loaders
from unshaken.models.loaders.spec import ModelSpec, parse_model_spec

Loader = Callable[[ModelSpec, bool], Classifier]

COMMON_OPTIONS = ("mean", "std", "size", "fit", "classes", "channels", "defence")


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
            ParameterError: there is one; near names are told.
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


@cache
def _load_files() -> None:
    """Import all files of this folder that enter a kind, once a process."""
    for module in pkgutil.iter_modules(loaders.__path__):
        if module.name.startswith("from_"):
            importlib.import_module(f"{loaders.__name__}.{module.name}")


def list_kinds() -> tuple[Kind, ...]:
    """Every kind of model, sorted by name."""
    _load_files()
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


def find_kind(name: str) -> Kind:
    """The kind of a name.

    Raises:
        ParameterError: there is none; near names are told.
    """
    kinds = {k.name: k for k in list_kinds()}
    if name not in kinds:
        raise ParameterError(f"no model kind {name!r}; {did_you_mean(name, kinds)}")
    return kinds[name]
