"""torchvision's detectors of objects, as modules whose output is one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD

from unshaken.core.classifier import View
from unshaken.core.errors import ModelError
from unshaken.models.loaders.weights import first_line
from unshaken.models.networks.box_output import BoxOutput

LEAST = 0.01
"""Score from which a detection is given: average precision counts the low ones too."""
LABELS = 91
"""Labels of the nets that are trained on COCO, the background included."""


def list_detectors() -> list[str]:
    """Names of all detectors of torchvision."""
    return list(models.list_models(module=models.detection))


def is_detector(net: nn.Module) -> bool:
    """Whether a net is a detector of torchvision's classes, which returns a list of dicts."""
    return isinstance(net, GeneralizedRCNN | RetinaNet | FCOS | SSD)


def torchvision_detector(name: str, **options: Any) -> nn.Module:
    """A detector of torchvision; without `weights` they are random, those of its backbone too.

    Args:
        name: of `list_detectors`.
        options: for its builder.

    Raises:
        ModelError: torchvision refuses the options.
    """
    if "weights" in options:
        options["progress"] = False
    try:
        net: Any = models.get_model(name, **({"weights": None} | options), weights_backbone=None)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"model 'torchvision:{name}' cannot be made: {first_line(error)}") from error
    (net.roi_heads if isinstance(net, GeneralizedRCNN) else net).score_thresh = LEAST
    return net  # type: ignore[no-any-return]


def with_boxes(net: nn.Module, numbers: Sequence[int] | None = None) -> BoxOutput:
    """A detector of torchvision with its detections as one tensor.

    Args:
        net: one for which `is_detector` holds.
        numbers: as of `BoxOutput`; None for classes that count from label 1 on, for label 0 is the background.
    """
    if numbers is None:
        if isinstance(net, GeneralizedRCNN):
            labels = net.roi_heads.box_predictor.cls_score.out_features
        else:
            head: Any = net.head.classification_head  # type: ignore[union-attr]
            labels = head.num_columns if isinstance(net, SSD) else head.num_classes
        numbers = range(-1, int(labels) - 1)
    return BoxOutput(net, numbers=numbers)


def classes_in(name: str, weights: Mapping[str, Tensor]) -> int:
    """The number of labels that a state dict has room for, the background included.

    Args:
        name: of `list_detectors`.
        weights: of such a net; of another one the answer is `LABELS`, and loading them says what does not fit.
    """
    own = torchvision_detector(name, num_classes=LABELS).state_dict()
    found = {
        weights[key].shape[0] * LABELS // value.shape[0]
        for key, value in own.items()
        if key in weights and value.ndim > 1 and weights[key].ndim and value.shape[0] % LABELS == 0
    }
    return found.pop() if len(found) == 1 else LABELS


def view_of(net: Any) -> View:
    """The whole photo in the net's fixed size, or in the square of the short side that it resizes to."""
    transform = net.transform
    height, width = transform.fixed_size or (transform.min_size[-1], transform.min_size[-1])
    return View(height, width, fit="whole")
