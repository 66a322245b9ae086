"""Models: one SPEC string names any of them, and each becomes a `Classifier` from images in [0, 1] to logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.models.loaders.check import check_model, fingerprint
    from unshaken.models.loaders.from_function import from_function
    from unshaken.models.loaders.from_run import save_model
    from unshaken.models.loaders.kinds import Kind, list_kinds, model_kind
    from unshaken.models.loaders.load import as_classifier, load_model
    from unshaken.models.loaders.spec import ModelSpec, parse_model_spec

__all__ = [
    "Kind",
    "ModelSpec",
    "as_classifier",
    "check_model",
    "fingerprint",
    "from_function",
    "list_kinds",
    "load_model",
    "model_kind",
    "parse_model_spec",
    "save_model",
]

_HOMES = {
    "Kind": "unshaken.models.loaders.kinds",
    "ModelSpec": "unshaken.models.loaders.spec",
    "as_classifier": "unshaken.models.loaders.load",
    "check_model": "unshaken.models.loaders.check",
    "fingerprint": "unshaken.models.loaders.check",
    "from_function": "unshaken.models.loaders.from_function",
    "list_kinds": "unshaken.models.loaders.kinds",
    "load_model": "unshaken.models.loaders.load",
    "model_kind": "unshaken.models.loaders.kinds",
    "parse_model_spec": "unshaken.models.loaders.spec",
    "save_model": "unshaken.models.loaders.from_run",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)
