"""`ModelSpec`: the parts of a model SPEC such as `timm:resnet18?mean=0.5&std=0.25`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from typing_extensions import override

from unshaken.core.errors import ParameterError


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
