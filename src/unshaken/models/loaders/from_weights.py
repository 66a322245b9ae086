"""`weights:FILE?arch=NAME`: a state dict and the architecture that it belongs to."""

from __future__ import annotations

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.loaders.weights import load_weights, read_weights
from unshaken.models.networks.architectures import build_for


@model_kind("weights", form="weights:FILE.safetensors?arch=small|torchvision:NAME|timm:NAME", options=("arch",))
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A net of a named architecture with the weights of a file.

    The numbers of classes and channels follow from the weights. A file says nothing of preprocessing, and nothing is
    assumed: without the options `mean` and `std` the net gets images in [0, 1], without `size` any size.

    Raises:
        ParameterError: no file or no architecture is named.
        ModelError: the file cannot be read or does not fit.
    """
    if not spec.name or "arch" not in spec.options:
        raise ParameterError(f"model {str(spec)!r}: write weights:FILE.safetensors?arch=NAME")
    weights = read_weights(spec.name)
    net, view = build_for(spec.options["arch"], weights)
    load_weights(net, weights, spec.name)
    return Classifier(net, view=view, name=f"weights:{spec.name}")
