"""`Classifier`: a network from images in [0, 1] to logits, with its preprocessing inside."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from typing_extensions import override

from unshaken.core.errors import ModelError, did_you_mean

HALF = (torch.bfloat16, torch.float16)
INPUT = ":in"
"""Ends the name of a layer whose input is meant."""
Fit = Literal["cut", "whole", "letterbox"]
"""How photos are fitted into a model's view; see `View`."""
Within = Literal["", "data", "all"]
"""The classes among which predictions are scored; see `Classifier`."""
PADDING = 114
"""Grey, of 255, around a photo in a letterbox, as detectors of the YOLO family are trained with."""


@dataclass(frozen=True, slots=True)
class View:
    """The model's input view of a photo: resize the short side, then crop the centre, or as `fit` says.

    Args:
        height: rows of the cut in pixels.
        width: columns of the cut in pixels.
        resize: short side in pixels before the cut, or None to resize straight to the cut's own short side.
        interpolation: `bilinear`, `bicubic` or `nearest`, on 8-bit pixels with antialiasing, as Pillow does.
        channels: 1 (luminance) or 3.
        fit: how a photo of another shape fits: `cut` as above; `whole` resizes all of it to `height` and `width`,
            whatever its own shape; `letterbox` keeps its shape, and fills the rest with grey (`PADDING`).
    """

    height: int
    width: int
    resize: int | None = None
    interpolation: str = "bilinear"
    channels: int = 3
    fit: Fit = "cut"

    @override
    def __str__(self) -> str:
        """In words, for reports.

        >>> str(View(224, 224, resize=256, interpolation="bicubic"))
        'short side resized to 256 px (bicubic), centre 224 x 224 cut, RGB'
        """
        short = min(self.height, self.width) if self.resize is None else self.resize
        colour = "grayscale" if self.channels == 1 else "RGB"
        if self.fit == "whole":
            return f"resized to {self.height} x {self.width} ({self.interpolation}), {colour}"
        if self.fit == "letterbox":
            size = f"{self.height} x {self.width}"
            return f"resized to fit into {size} ({self.interpolation}), the rest grey {PADDING}, {colour}"
        cut = f"centre {self.height} x {self.width} cut"
        return f"short side resized to {short} px ({self.interpolation}), {cut}, {colour}"


class Classifier(nn.Module):
    """A model with its preprocessing inside: `forward(images in [0, 1]) -> logits`.

    Args:
        net: any module from normalised images to logits `[N, K]`.
        mean: one value a channel, in [0, 1] units, or None when the net normalises itself.
        std: as `mean`.
        classes: the K class names in logit order, or empty when unknown.
        view: how photos are cut for this model, or None when it takes any size.
        differentiable: False when no gradient can pass (`onnx:`).
        name: what reports call it.
        reject: the class by which it says that it will not decide, such as a detector's alarm; None where it always
            decides. An attack that is rejected has not succeeded.
        one_by_one: whether the net gets one image a pass, for one that takes no more.
        by_position: whether class n of the data is class n here, whatever both are called.
        within: `data` to score among those classes alone that occur in the data, `all` to score among all; empty for
            what is usual for a data set.

    Raises:
        ModelError: mean and std do not fit each other.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        net: nn.Module,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        classes: Sequence[str] = (),
        view: View | None = None,
        differentiable: bool = True,
        name: str = "model",
        reject: int | None = None,
        one_by_one: bool = False,
        by_position: bool = False,
        within: Within = "",
    ) -> None:
        super().__init__()
        if (mean is None) != (std is None):
            raise ModelError("give mean and std together, one value per channel, for pixels in [0, 1]")
        if mean is not None and std is not None and (len(mean) != len(std) or min(std) <= 0):
            raise ModelError(f"mean {list(mean)} and std {list(std)} must have one value per channel, std above 0")
        self.net = net
        self.register_buffer("mean", None if mean is None else torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", None if std is None else torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.classes = tuple(classes)
        self.view = view
        self.differentiable = differentiable
        self.name = name
        self.reject = reject
        self.one_by_one = one_by_one
        self.by_position = by_position
        self.within = within

    @property
    def task(self) -> str:
        """The meaning of the output: `classification`, unless the net has an attribute `task` of its own."""
        return str(getattr(self.net, "task", "classification"))

    @property
    def labels_only(self) -> bool:
        """Whether the logits are 1 for the class that the model answers and 0 for all others, for it gives no more."""
        return bool(getattr(self.net, "labels_only", False))

    @property
    def remote(self) -> bool:
        """Whether the model answers from another place, where each image asked costs something."""
        return bool(getattr(self.net, "remote", False))

    @property
    def asked(self) -> int | None:
        """Images that this process has sent to the place where the model answers; None for a model that is here."""
        counts = [getattr(m, "asked", None) for m in self.net.modules() if getattr(m, "remote", False)]
        known = [count for count in counts if isinstance(count, int)]
        return sum(known) if known else None

    def lacks(self, needs: Collection[str]) -> str:
        """Why a method cannot run on this model, and what would; empty where it can.

        Args:
            needs: of the method, such as `gradient`, `features` or `logits`.
        """
        if not self.differentiable and "gradient" in needs:
            return "the model gives no gradients (black box): use methods that need logits or labels only"
        if self.labels_only and {"logits", "features", "probabilities"} & set(needs):
            return "the model gives labels only: use corruptions, or the attack hop-skip-jump, which need no more"
        return ""

    @property
    def input_size(self) -> tuple[int, int] | None:
        """Height and width in pixels, or None when any size will do."""
        return None if self.view is None else (self.view.height, self.view.width)

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.one_by_one and len(images) != 1:
            return torch.cat([self(image) for image in _singles(images)])[: len(images)]
        if self.mean is not None and self.std is not None:
            images = (images - self.mean.to(images)) / self.std.to(images)
        weight = next(self.net.parameters(), None)
        if weight is not None and weight.dtype in HALF:
            images = images.to(weight.dtype)
        logits: Tensor = self.net(images)
        return logits

    def features(self, images: Tensor, layers: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and the outputs of named layers, from one forward pass.

        Args:
            images: `[N, C, H, W]` in [0, 1].
            layers: names as in `net.named_modules()`; `NAME:in` for what goes into a layer. Of a layer that gives
                several tensors, such as `torch.nn.MultiheadAttention`, the first is meant.

        Returns:
            Logits `[N, K]`, and a dict from layer to its output `[N, ...]`.

        Raises:
            ModelError: a layer has no such name.
        """
        if self.one_by_one and len(images) != 1:
            parts = [self.features(image, layers) for image in _singles(images)]
            joined = {n: torch.cat([part[n] for _, part in parts])[: len(images)] for n in parts[0][1]}
            return torch.cat([logits for logits, _ in parts])[: len(images)], joined
        modules = dict(self.net.named_modules())
        found: dict[str, Tensor] = {}
        handles = []
        try:
            for layer in layers:
                name = layer.removesuffix(INPUT)
                if name not in modules:
                    raise ModelError(f"model {self.name!r} has no layer {name!r}; {did_you_mean(name, modules)}")
                handles.append(_kept(modules[name], layer, found))
            logits = self(images)
        finally:
            for handle in handles:
                handle.remove()
        return logits, found


def alone(model: Classifier) -> Classifier:
    """The same model, sharing all weights, that gets one image a pass."""
    other = copy.copy(model)
    other.one_by_one = True
    return other


def _singles(images: Tensor) -> Sequence[Tensor]:
    """Each image as a batch of its own; of no image one of zeros, which tells the shape of the output."""
    return torch.split(images, 1) if len(images) else (images.new_zeros(1, *images.shape[1:]),)


def _kept(module: nn.Module, layer: str, found: dict[str, Tensor]) -> RemovableHandle:
    """A hook that keeps what a module gives, or is given."""

    def given(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[layer] = inputs[0]

    def gives(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        found[layer] = output[0] if isinstance(output, tuple) else output

    if layer.endswith(INPUT):
        return module.register_forward_pre_hook(given)
    return module.register_forward_hook(gives)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run in evaluation mode without weight gradients, then put every module and parameter back as it was."""
    modes = [(m, m.training) for m in model.modules()]
    wants = [(p, p.requires_grad) for p in model.parameters()]
    try:
        model.eval()
        model.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, want in wants:
            parameter.requires_grad_(want)


def fit_view(images: Tensor, view: View | None) -> Tensor:
    """Images in the size and the channels that a model takes; the whole image is resized, and nothing cut off.

    Args:
        images: `[N, C, H, W]`; a gradient passes.
        view: of the model; None for one that takes any.

    Returns:
        Grey images repeated over the colours or colours averaged, bilinear and antialiased.
    """
    if view is None:
        return images
    if view.channels != images.shape[1]:
        images = images.mean(1, keepdim=True).expand(-1, view.channels, -1, -1)
    if images.shape[2:] != (view.height, view.width):
        images = F.interpolate(images, (view.height, view.width), mode="bilinear", antialias=True)
    return images


NO_CLASS = -1
"""The prediction where the model gave none: NaN or +inf among the logits, or -inf for every class."""


def predict(logits: Tensor) -> Tensor:
    """The class of the largest logit; of equal ones the first.

    Args:
        logits: `[..., K]`. Single classes may have -inf, a probability of 0.

    Returns:
        int64 `[...]`; `NO_CLASS` where the largest logit is not finite, so that such a row is right for no label.

    >>> nan, inf = float("nan"), float("inf")
    >>> predict(torch.tensor([[0.0, 2.0], [nan, 2.0], [inf, 0.0], [-inf, 0.0], [-inf, -inf]])).tolist()
    [1, -1, -1, 1, -1]
    """
    if not logits.shape[-1]:
        return torch.full(logits.shape[:-1], NO_CLASS, device=logits.device)
    largest, index = logits.max(-1)  # of a row with NaN the maximum is NaN
    return index.masked_fill_(~largest.isfinite(), NO_CLASS)
