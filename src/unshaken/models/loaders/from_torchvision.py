"""`torchvision:NAME[@WEIGHTS]`: torchvision's classifiers and detectors, as their published weights need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchvision import models

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.models.class_names import learned_imagenet
from unshaken.models.loaders.kinds import model_kind
from unshaken.models.loaders.spec import ModelSpec, unknown_name
from unshaken.models.loaders.weights import file_by_url, load_weights, read_weights
from unshaken.models.networks.architectures import build_for, torchvision_net
from unshaken.models.networks.box_output import number_labels
from unshaken.models.networks.torchvision_detectors import (
    classes_in,
    list_detectors,
    torchvision_detector,
    view_of,
    with_boxes,
)


def learned(spec: ModelSpec) -> str:
    """The photos that the published weights of a SPEC learned from."""
    if spec.name.partition("@")[0] not in list_detectors():
        return learned_imagenet(spec)
    return "" if "weights" in spec.options else "COCO"


@model_kind("torchvision", form="torchvision:NAME[@WEIGHTS]", options=("weights",), learned=learned)
def load(spec: ModelSpec, download: bool) -> Classifier:
    """A classifier or a detector of torchvision.

    Without `@WEIGHTS` it gets torchvision's `DEFAULT` weights. They are read from torch.hub's cache, their SHA-256
    compared with the one that their name states. Option `weights=FILE` puts other weights in, `weights=none` leaves
    random ones; mean, std and size stay those of the published weights unless the SPEC gives its own.

    A detector normalises by itself. Photos are resized whole to the square of its own short side (those of fixed size:
    to that size), and detections of a score of 0.01 and more are given. The classes of `weights=FILE` are the net's
    labels from 1 on, for its label 0 is the background.

    Raises:
        ParameterError: there is no such model or no such weights.
        ModelError: the weights are absent, damaged, or do not fit.
    """
    name, _, wanted = spec.name.partition("@")
    if name in list_detectors():
        return _detector(spec, name, _published(name, wanted), download)
    published = _published(name, wanted)
    given = spec.options.get("weights")
    classes = tuple(published.meta["categories"])
    if given is None:
        read_weights(file_by_url(published.url, spec, download=download))
        net = torchvision_net(name, weights=published)
    elif given == "none":
        net = torchvision_net(name, num_classes=len(classes))
    else:
        weights = read_weights(given)
        net, _ = build_for(f"torchvision:{name}", weights)
        load_weights(net, weights, given)
        classes = ()
    transforms = published.transforms()
    return Classifier(
        net,
        mean=list(transforms.mean),
        std=list(transforms.std),
        classes=classes,
        view=View(
            transforms.crop_size[0], transforms.crop_size[-1], transforms.resize_size[0], transforms.interpolation.value
        ),
        name=f"torchvision:{name}" + (f"@{published.name}" if given is None else f"?weights={given}"),
    )


def _detector(spec: ModelSpec, name: str, published: Any, download: bool) -> Classifier:
    given = spec.options.get("weights")
    labels: Sequence[str] = published.meta["categories"]
    if given is None:
        read_weights(file_by_url(published.url, spec, download=download))
        net = torchvision_detector(name, weights=published)
    elif given == "none":
        net = torchvision_detector(name, num_classes=len(labels))
    else:
        weights = read_weights(given)
        net = torchvision_detector(name, num_classes=classes_in(name, weights))
        load_weights(net, weights, given)
        labels = ()
    classes, numbers = number_labels(labels)
    return Classifier(
        with_boxes(net, numbers or None),
        classes=classes,
        view=view_of(net),
        name=f"torchvision:{name}" + (f"@{published.name}" if given is None else f"?weights={given}"),
    )


def _published(name: str, wanted: str) -> Any:
    known = [*models.list_models(module=models), *list_detectors()]
    if name not in known:
        raise unknown_name("torchvision", name, known)
    enumeration = models.get_model_weights(name)
    if wanted and wanted not in (*enumeration.__members__, "DEFAULT"):
        known = [*enumeration.__members__, "DEFAULT"]
        raise ParameterError(f"torchvision:{name} has no weights {wanted!r}; {did_you_mean(wanted, known)}")
    return enumeration[wanted] if wanted in enumeration.__members__ else enumeration.DEFAULT
