"""`py:FILE_OR_MODULE:FACTORY`: the user's own code. This kind runs it; that is what its SPEC says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.user_code import call_factory, find_function
from unshaken.models.loaders.from_function import OPTIONS, function_of_spec
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.settings import mark_source
from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.networks.box_output import BoxOutput
from unshaken.models.networks.torchvision_detectors import is_detector, with_boxes

TASKS = ("classification", "detection")
"""Values of the option `task`."""


@model_kind("py", form="py:FILE_OR_MODULE:FACTORY", options=("task", *OPTIONS), keeps_mode=True)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """Call a factory from a file (`net.py`) or a dotted module; it returns a net from [0, 1] images to logits.

    A factory that returns a `Classifier` keeps it as it is; options of the SPEC still apply. A detector of the classes
    of torchvision, and any net with the option `task=detection`, becomes a `BoxOutput`; of the former label 0 is the
    background, so that classes count from label 1 on.

    With the option `output` the callable is no factory: it is itself the model, a function of images; see
    `from_function`. Nothing but that option decides which of the two it is.

    Raises:
        ParameterError: the SPEC does not name both a file or module and a factory, or a value of an option is not
            allowed.
        ModelError: the module or the factory is absent or raises, or gives no `nn.Module`.
    """
    place, _, factory = spec.name.rpartition(":")
    if not place or not factory:
        raise ParameterError(f"model {str(spec)!r}: write py:FILE_OR_MODULE:FACTORY, such as py:net.py:make")
    task = spec.options.get("task", TASKS[0])
    if task not in TASKS:
        raise ParameterError(f"model {str(spec)!r}: there is no task {task!r}; {did_you_mean(task, TASKS)}")
    where, function_of_images = f"py:{spec.name}", f"for a function of images write py:{spec.name}?output=logits"
    if "output" in spec.options:
        if "task" in spec.options:
            raise ParameterError(
                f"model {str(spec)!r}: output and task exclude each other: a function of images classifies"
            )
        function, source = find_function(place, factory)
        return function_of_spec(function, spec, f"{factory}\0{_digest(source)}")
    if stray := [option for option in OPTIONS if option in spec.options]:
        raise ParameterError(f"model {str(spec)!r}: {stray[0]} is of a function of images, and needs output=logits too")
    net, source = call_factory(place, factory, otherwise=f"{function_of_images}, probabilities or labels")
    if not isinstance(net, nn.Module):
        raise ModelError(
            f"{where}: the factory returned a {type(net).__name__}, not an nn.Module; {function_of_images}"
        )
    classifier = net if isinstance(net, Classifier) else Classifier(net, name=where)
    if is_detector(classifier.net):
        classifier.net = with_boxes(classifier.net)
    elif task != classifier.task:
        classifier.net = BoxOutput(classifier.net)
    if source is not None:
        mark_source(classifier.net, _digest(source))
    return classifier


def _digest(source: Path | None) -> str:
    """SHA-256 of a file; empty where there is none."""
    return "" if source is None else hashlib.sha256(source.read_bytes()).hexdigest()
