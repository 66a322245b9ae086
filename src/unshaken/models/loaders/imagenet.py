"""The 1,000 class names of ImageNet-1k."""

from __future__ import annotations

from torchvision.models import get_model_weights

from unshaken.models.loaders.spec import ModelSpec


def imagenet_classes() -> tuple[str, ...]:
    """The names in the usual order (0 tench, ..., 999 toilet tissue), from torchvision's metadata."""
    return tuple(get_model_weights("resnet18").DEFAULT.meta["categories"])


def learned_imagenet(spec: ModelSpec) -> str:
    """`ImageNet` for a SPEC that takes the published weights, as most of torchvision's and timm's are.

    Args:
        spec: of a kind with the option `weights`.
    """
    return "" if "weights" in spec.options else "ImageNet"
