"""Directions that lead a classifier away from what it sees in a picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier, fit_view, predict
from unshaken.core.errors import ModelError

Push = Callable[[Tensor], Tensor]
"""From pictures `[N, C, H, W]` in [0, 1] to a direction of the same shape."""


def lead_away(model: Classifier, images: Tensor) -> Push:
    """The gradient of `-log p(y | z)` by the picture z, y being the class that the model gives the image itself.

    Args:
        model: the classifier that is misled; images are resized to its view.
        images: x, `[N, C, H, W]` in [0, 1].

    Returns:
        From z, one for each image, to its gradient.

    Raises:
        ModelError: the model gives no gradients, or no class for an image.
    """
    if not model.differentiable:
        raise ModelError(f"model {model.name!r} gives no gradients: mislead one that does, such as a torch model")
    with torch.no_grad():
        logits = model(fit_view(images, model.view))
    if logits.ndim != 2 or logits.shape[1] < 2:
        shape = tuple(logits.shape)
        raise ModelError(f"model {model.name!r} gives logits {shape}: mislead a classifier of two classes or more")
    classes = predict(logits)
    if bool((classes < 0).any()):
        raise ModelError(f"model {model.name!r} gives logits that are no numbers to an image: it sees no class there")

    def push(pictures: Tensor) -> Tensor:
        with torch.enable_grad():
            point = pictures.detach().requires_grad_()
            shares = model(fit_view(point, model.view)).float().log_softmax(1)
            loss = -shares.gather(1, classes[:, None]).sum()
            (slope,) = torch.autograd.grad(loss, point)
        found: Tensor = slope
        return found

    return push
