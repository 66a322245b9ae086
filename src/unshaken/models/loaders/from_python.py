"""`py:FILE_OR_MODULE:FACTORY`: the user's own code. This kind runs it; that is what its SPEC says."""

from __future__ import annotations

import hashlib

from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.user_code import call_factory
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.settings import mark_source
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.networks.box_output import BoxOutput
from unshaken.models.networks.torchvision_detectors import is_detector, with_boxes

TASKS = ("classification", "detection")
"""Values of the option `task`."""


@model_kind("py", form="py:FILE_OR_MODULE:FACTORY", options=("task",), keeps_mode=True)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """Call a factory from a file (`net.py`) or a dotted module; it returns a net from [0, 1] images to logits.

    A factory that returns a `Classifier` keeps it as it is; options of the SPEC still apply. A detector of the classes
    of torchvision, and any net with the option `task=detection`, becomes a `BoxOutput`; of the former label 0 is the
    background, so that classes count from label 1 on.

    Raises:
        ParameterError: the SPEC does not name both a file or module and a factory, or a task that is not there.
        ModelError: the module or the factory is absent or raises, or gives no `nn.Module`.
    """
    place, _, factory = spec.name.rpartition(":")
    if not place or not factory:
        raise ParameterError(f"model {str(spec)!r}: write py:FILE_OR_MODULE:FACTORY, such as py:net.py:make")
    task = spec.options.get("task", TASKS[0])
    if task not in TASKS:
        raise ParameterError(f"model {str(spec)!r}: there is no task {task!r}; {did_you_mean(task, TASKS)}")
    where = f"py:{spec.name}"
    net, source = call_factory(place, factory)
    if not isinstance(net, nn.Module):
        raise ModelError(f"{where}: the factory returned a {type(net).__name__}, not an nn.Module")
    classifier = net if isinstance(net, Classifier) else Classifier(net, name=where)
    if is_detector(classifier.net):
        classifier.net = with_boxes(classifier.net)
    elif task != classifier.task:
        classifier.net = BoxOutput(classifier.net)
    if source is not None:
        mark_source(classifier.net, hashlib.sha256(source.read_bytes()).hexdigest())
    return classifier
