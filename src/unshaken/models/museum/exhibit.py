"""What the exhibits of the museum are made with: draws of their own, and a classifier around a broken defence."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.models.loaders.load import load_model


class Random(nn.Module):
    """A network behind draws of its own, others in every pass.

    Args:
        net: from images in [0, 1] to logits.
        seed: of the stream that the draws come from, in the order of the calls.
    """

    def __init__(self, net: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.net, self.generator = net, torch.Generator().manual_seed(seed)

    def drawn(self, images: Tensor, *shape: int) -> Tensor:
        """Standard normal numbers, a row an image, on the images' device."""
        return torch.randn(len(images), *shape, generator=self.generator).to(images)

    def uniform(self, images: Tensor, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), a row an image, on the images' device."""
        return torch.rand(len(images), *shape, generator=self.generator).to(images)


def base_network(net: Classifier | None) -> Classifier:
    """The network that a defence is put before: the given one, or `demo:standard`.

    Raises:
        ModelError: it gives no gradients.
    """
    base = load_model("demo:standard") if net is None else net
    if not base.differentiable:
        raise ModelError(f"model {base.name!r} gives no gradients: a defence before it hides nothing; take another")
    return base


def count_classes(base: Classifier) -> int:
    """The number of classes K.

    Raises:
        ModelError: the network has neither class names nor an input size to try it with.
    """
    if base.classes:
        return len(base.classes)
    if base.view is None:
        raise ModelError(f"model {base.name!r} has neither class names nor an input size: give classes= or view=")
    weight = next(iter(base.parameters()), torch.empty(0))
    with evaluating(base), torch.no_grad():
        grey = torch.full((1, base.view.channels, base.view.height, base.view.width), 0.5, device=weight.device)
        return int(base(grey).shape[1])


def as_exhibit(defence: nn.Module, base: Classifier, name: str, reject: int | None = None) -> Classifier:
    """The defence as a classifier `museum:NAME`, in the mode that the network has."""
    classes = (*base.classes, "rejected") if base.classes and reject is not None else base.classes
    exhibit = Classifier(defence, classes=classes, view=base.view, name=f"museum:{name}", reject=reject)
    return exhibit.train(base.training)


def with_activations(base: Classifier, make: Callable[[], nn.Module]) -> Classifier:
    """A copy of the network that has another layer in the place of each ReLU.

    Raises:
        ModelError: it has no layer `torch.nn.ReLU`.
    """
    changed = copy.deepcopy(base)
    places = [(m, key) for m in changed.modules() for key, child in m.named_children() if isinstance(child, nn.ReLU)]
    if not places:
        raise ModelError(f"model {base.name!r} has no layer torch.nn.ReLU to replace: take another")
    for module, key in places:
        setattr(module, key, make())
    return changed.train(base.training)
