"""Models: one SPEC string names any of them, and each becomes a `Classifier` from images in [0, 1] to logits."""

from unshaken.models.loaders.check import check_model as check_model
from unshaken.models.loaders.check import fingerprint as fingerprint
from unshaken.models.loaders.from_function import from_function as from_function
from unshaken.models.loaders.from_run import save_model as save_model
from unshaken.models.loaders.kinds import Kind as Kind
from unshaken.models.loaders.kinds import list_kinds as list_kinds
from unshaken.models.loaders.kinds import model_kind as model_kind
from unshaken.models.loaders.load import as_classifier as as_classifier
from unshaken.models.loaders.load import load_model as load_model
from unshaken.models.loaders.spec import ModelSpec as ModelSpec
from unshaken.models.loaders.spec import parse_model_spec as parse_model_spec
