"""Class names of ImageNet-1k and of COCO, from torchvision's metadata."""

from __future__ import annotations

from torchvision.models import get_model_weights

from unshaken.models.loaders.spec import ModelSpec
from unshaken.models.networks.box_output import number_labels


def imagenet_classes() -> tuple[str, ...]:
    """The names in the usual order (0 tench, ..., 999 toilet tissue), from torchvision's metadata."""
    return tuple(get_model_weights("resnet18").DEFAULT.meta["categories"])


def learned_imagenet(spec: ModelSpec) -> str:
    """`ImageNet` for a SPEC that takes the published weights, as most of torchvision's and timm's are.

    Args:
        spec: of a kind with the option `weights`.
    """
    return "" if "weights" in spec.options else "ImageNet"


def coco_classes() -> tuple[str, ...]:
    """The names in the usual order (0 person, ..., 79 toothbrush), from torchvision's metadata.

    >>> len(coco_classes()), coco_classes()[:2]
    (80, ('person', 'bicycle'))
    """
    names = get_model_weights("fcos_resnet50_fpn").DEFAULT.meta["categories"]
    return number_labels(names)[0]
