"""Models: one SPEC string names any of them, and each becomes a `Classifier` from images in [0, 1] to logits."""

from unshaken.models.loaders.check import check_model, fingerprint
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
    "list_kinds",
    "load_model",
    "model_kind",
    "parse_model_spec",
    "save_model",
]
