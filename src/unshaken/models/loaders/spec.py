"""`ModelSpec`: the parts of a model SPEC such as `timm:resnet18?mean=0.5&std=0.25`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from typing_extensions import override

from unshaken.core.errors import ModelError, ParameterError, did_you_mean, near, near_path


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A parsed SPEC.

    Args:
        kind: which loader, the part before the first colon.
        name: what the loader is to load; its form is the kind's own.
        options: what stood after `?`, as text.
    """

    kind: str
    name: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @override
    def __str__(self) -> str:
        tail = "&".join(f"{k}={v}" for k, v in self.options.items())
        return self.kind + (f":{self.name}" if self.name else "") + (f"?{tail}" if tail else "")


def parse_model_spec(text: str) -> ModelSpec:
    """Split `KIND:NAME?OPTION=VALUE&...` into its parts; neither kind nor options are looked up.

    Args:
        text: the SPEC as a user wrote it.

    Raises:
        ParameterError: no kind, an option without a value, or an option given twice.

    >>> parse_model_spec("onnx:net.onnx?mean=0.5").options["mean"]
    '0.5'
    """
    head, _, tail = text.strip().partition("?")
    kind, _, name = head.partition(":")
    if not kind:
        raise ParameterError(f"model {text!r} has no kind: write KIND:NAME, such as 'demo' or 'torchvision:resnet18'")
    options: dict[str, str] = {}
    for part in filter(None, tail.split("&")):
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise ParameterError(f"model {text!r}: option {part!r} must read NAME=VALUE")
        if key in options:
            raise ParameterError(f"model {text!r}: option {key!r} is given twice")
        options[key] = value
    return ModelSpec(kind, name, MappingProxyType(options))


def own_net(text: str) -> str | None:
    """The `py:` SPEC of the user's own net that a model SPEC builds, without options; None where it builds none.

    >>> own_net("py:net.py:make?mean=0.5"), own_net("run:runs/a?net=py:net.py:make"), own_net("demo")
    ('py:net.py:make', 'py:net.py:make', None)
    """
    spec = parse_model_spec(text)
    if spec.kind == "py":
        return f"{spec.kind}:{spec.name}"
    return spec.options.get("net")


_UNKNOWN = {
    "demo": "no demo model {!r}",
    "imagenet": "no model 'imagenet:{}'",
    "timm": "timm has no model {!r}",
    "torchvision": "torchvision has no classifier or detector {!r}",
}
_FEW = 12
"""Names that a message lists."""


def unknown_name(kind: str, name: str, known: Collection[str]) -> ParameterError:
    """The error for a name that a kind of model does not know.

    Args:
        kind: `demo`, `imagenet`, `timm` or `torchvision`.
        name: as it was given.
        known: all names of this kind.
    """
    hint = did_you_mean(name, known) if len(known) <= _FEW else near(name, known)
    return ParameterError(f"{_UNKNOWN[kind].format(name)}; {hint}")


def require_weights(path: Path) -> None:
    """Refuse a file of weights that is not there.

    Raises:
        ModelError: there is no such file.
    """
    if not path.is_file():
        close = near_path(str(path))
        how = ": it is a folder" if path.is_dir() else f"; did you mean {close!r}?" if close else ""
        raise ModelError(f"no weights file {str(path)!r}{how}")


WEIGHTS = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")
"""Endings of files of weights."""


def form_of(name: str, target: str) -> str:
    """How to write a SPEC for what was given without a kind: a file, a folder, or a network's name; else empty."""
    suffix, folder = Path(name).suffix.lower(), Path(name)
    if suffix == ".py":
        factory = target or "FACTORY, FACTORY being its function that returns it"
        return f"for a net of your own write py:{name}:{factory}"
    if suffix in WEIGHTS:
        return (
            f"for a file of weights write weights:{name}?arch=NAME, such as arch=torchvision:resnet18; for a net of "
            "your own py:FILE:FACTORY, a function that loads them"
        )
    if suffix == ".onnx":
        return f"for an ONNX file write onnx:{name}"
    if (folder / "model.json").is_file() or (folder / "config.json").is_file():
        return f"for a folder with a model write {'run' if (folder / 'model.json').is_file() else 'hf'}:{name}"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not folder.exists():
        return f"for a model of the Hugging Face hub write hf:{name}"
    if target:
        return ""
    from torchvision.models import list_models  # only for this message

    if name in list_models():
        return f"for a network of torchvision write torchvision:{name}"
    return ""
