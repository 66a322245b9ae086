"""Complexity of pictures: the mean magnitude of their spectrum, its gradient, and steps along it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier, fit_view, predict
from unshaken.core.errors import ModelError


def complexity(images: Tensor, *, brightness: bool = True) -> Tensor:
    """C(z): the mean over channels and frequencies of `|FFT2(z)|`, not normalised.

    It grows with the size of a texture, so that only images of one size compare.

    Args:
        images: z, `[N, C, H, W]` in [0, 1].
        brightness: whether the zero frequency counts, which is the mean of the image.

    Returns:
        `[N]`, differentiable.

    >>> complexity(torch.full((1, 1, 8, 8), 0.5)).item()
    0.5

    Source: Li et al. 2023, arXiv:2303.17096.
    """
    magnitude = torch.fft.fft2(images).abs()
    if not brightness:
        magnitude = magnitude.flatten(2)[..., 1:]
    total: Tensor = magnitude.flatten(2).sum(2).mean(1)
    return total / images.shape[2:].numel()


def complexity_gradient(images: Tensor) -> Tensor:
    """The gradient of each channel's C without its zero frequency: `FFT2^-1(F / |F|)`, of 2-norm 1 or a little less.

    A step of length t along it adds t to every magnitude, and so t to C.

    Args:
        images: `[N, C, H, W]`.
    """
    spectrum = torch.fft.fft2(images)
    magnitude = spectrum.abs()
    phase = torch.where(magnitude > 0, spectrum / magnitude.clamp(min=1e-30), torch.zeros_like(spectrum))
    phase[..., 0, 0] = 0
    slope: Tensor = torch.fft.ifft2(phase).real
    return slope


def climb_complexity(images: Tensor, masks: Tensor, change: float, steps: int, push: Push | None = None) -> Tensor:
    """Change the complexity of what is around objects by gradient steps on it, within [0, 1].

    Args:
        images: `[N, C, H, W]` in [0, 1].
        masks: bool `[N, 1, H, W]`: the objects, whose pixels stay.
        change: length of all steps together, as a share of each image's own complexity without brightness; below 0 it
            falls.
        steps: number of equal steps.
        push: a direction that each step also follows on the background, as far as it follows the complexity's.
    """
    length = (complexity(images, brightness=False) * (change / steps)).view(-1, 1, 1, 1)
    found = images
    for _ in range(steps):
        moved = found + length * complexity_gradient(found)
        if push is not None:
            slope = push(found).masked_fill(masks, 0)
            moved = moved + length.abs() * slope / slope.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1, 1)
        found = torch.where(masks, images, moved.clamp(0, 1))
    return found


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
