"""`tfjs:FILE?decoder=NAME`: a detector that is a graph model of TensorFlow.js, computed by torch."""

from __future__ import annotations

import hashlib

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.models.class_names import coco_classes
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.settings import mark_source
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.networks.box_output import BoxOutput
from unshaken.models.networks.centernet import CenterNet
from unshaken.models.networks.nanodet import NanoDet
from unshaken.models.tfjs.file import read_graph
from unshaken.models.tfjs.graph import GraphNet

DECODERS: dict[str, type[NanoDet] | type[CenterNet]] = {"nanodet": NanoDet, "centernet": CenterNet}
"""What makes boxes of a graph's outputs, by the name of the architecture."""


@model_kind("tfjs", form="tfjs:FILE.json?decoder=nanodet|centernet", options=("decoder",))
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A graph of TensorFlow.js, whose decoder says what its outputs mean and how its images are normalised.

    Photos are resized whole to the graph's size. A graph of 80 classes is one of COCO's unless the option `classes`
    says otherwise. Gradients pass from the detections to the images.

    Raises:
        ParameterError: no decoder is named, or one that is not there.
        ModelError: the files cannot be read, the graph cannot be computed, or its outputs are not the decoder's.
    """
    name = spec.options.get("decoder", "")
    if name not in DECODERS:
        raise ParameterError(f"model {str(spec)!r}: write tfjs:FILE.json?decoder=NAME; {did_you_mean(name, DECODERS)}")
    decoder = DECODERS[name]
    file = read_graph(spec.name)
    try:
        graph = GraphNet(file, decoder.choose(file.outputs))
        net = decoder(graph, graph.shapes, graph.size)
    except ValueError as error:
        raise ModelError(f"tfjs:{spec.name} is no graph for decoder={name}: {error}") from None
    digest = hashlib.sha256()
    for path in file.files:
        digest.update(path.read_bytes())
    detector = BoxOutput(net)
    mark_source(detector, digest.hexdigest())
    return Classifier(
        detector,
        mean=decoder.mean,
        std=decoder.std,
        classes=coco_classes() if net.classes == len(coco_classes()) else (),
        view=View(*graph.size, fit="whole"),
        name=f"tfjs:{spec.name}",
    )
