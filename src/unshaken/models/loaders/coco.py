"""The 80 class names of COCO's objects."""

from __future__ import annotations

from torchvision.models import get_model_weights

from unshaken.models.networks.box_output import number_labels


def coco_classes() -> tuple[str, ...]:
    """The names in the usual order (0 person, ..., 79 toothbrush), from torchvision's metadata.

    >>> len(coco_classes()), coco_classes()[:2]
    (80, ('person', 'bicycle'))
    """
    names = get_model_weights("fcos_resnet50_fpn").DEFAULT.meta["categories"]
    return number_labels(names)[0]
