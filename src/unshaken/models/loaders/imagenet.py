"""The 1,000 class names of ImageNet-1k."""

from __future__ import annotations

from torchvision.models import get_model_weights


def imagenet_classes() -> tuple[str, ...]:
    """The names in the usual order (0 tench, ..., 999 toilet tissue), from torchvision's metadata."""
    return tuple(get_model_weights("resnet18").DEFAULT.meta["categories"])
