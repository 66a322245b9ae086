"""`ForwardPass`: the outputs of one pass of a model, shared by all detectors, and its images as 8-bit pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import DataError, ModelError
from unshaken.core.pixels import to_pixels
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.anatomy import Anatomy


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """Outputs of a model for a batch of samples; derived values are computed once and shared.

    Args:
        anatomy: of the model.
        logits: z, `[N, K]`.
        features: layer to its values `[N, ...]`, of the layers that were asked for.
        images: `[N, C, H, W]` in [0, 1]; None where only the model's answer is at hand.
        rng: the samples' streams, for detectors that draw.
        labels: int64 `[N]`, where they are known.
    """

    anatomy: Anatomy
    logits: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    images: Tensor | None = None
    rng: SampleRng | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def z(self) -> Tensor:
        """Logits in float64: a maximal probability of 1 - 1e-9 is no tie with one of 1 - 1e-12."""
        return self.logits.double()

    @cached_property
    def log_probabilities(self) -> Tensor:
        """Log softmax(z), float64 `[N, K]`."""
        return self.z.log_softmax(1)

    @cached_property
    def probabilities(self) -> Tensor:
        """softmax(z), float64 `[N, K]`."""
        return self.log_probabilities.exp()

    @cached_property
    def predictions(self) -> Tensor:
        """The class of the largest logit, int64 `[N]`."""
        return self.logits.argmax(1)

    @property
    def penultimate(self) -> Tensor:
        """f, what the head weighs, `[N, d]`."""
        return self.pooled(self.anatomy.penultimate)

    def pooled(self, layer: str) -> Tensor:
        """A layer's values `[N, d]`: maps `[N, d, H, W]` and tokens `[N, T, d]` are averaged over places.

        Raises:
            ModelError: the layer was not asked for, or gives no such values.
        """
        cache: dict[str, Tensor] = self.__dict__.setdefault("_pooled", {})
        if layer not in cache:
            cache[layer] = pool(self.values(layer), layer)
        return cache[layer]

    def values(self, layer: str) -> Tensor:
        """A layer's values as it gave them.

        Raises:
            ModelError: the layer was not asked for.
        """
        if layer not in self.features:
            raise ModelError(
                f"the output of layer {layer!r} was not requested; available: {sorted(self.features) or 'none'}"
            )
        return self.features[layer]

    @property
    def pixels(self) -> Tensor:
        """Images of the samples.

        Raises:
            ModelError: only the model's answer is at hand.
        """
        if self.images is None:
            raise ModelError("this detector needs the images, not only features")
        return self.images

    @property
    def streams(self) -> SampleRng:
        """Random streams of the samples.

        Raises:
            ModelError: there are none.
        """
        if self.rng is None:
            raise ModelError("this detector uses random numbers and needs the images, not only features")
        return self.rng


def pool(values: Tensor, layer: str) -> Tensor:
    """Pool the values of a layer to one vector a sample.

    Args:
        values: `[N, d]`, maps `[N, d, H, W]` or tokens `[N, T, d]`.
        layer: for the message.

    Raises:
        ModelError: another shape.
    """
    if values.ndim == 2:
        return values
    if values.ndim == 4:
        return values.mean((2, 3))
    if values.ndim == 3:
        return values.mean(1)
    raise ModelError(
        f"layer {layer!r} gives values of shape {tuple(values.shape)}, not [N, d], [N, d, H, W] or [N, T, d]"
    )


def rgb_pixels(forward: ForwardPass) -> Iterator[NDArray[np.uint8]]:
    """Each image as 8-bit RGB pixels `[H, W, 3]`; a gray one three times the same.

    Raises:
        ModelError: no images are at hand.
        DataError: another number of channels.
    """
    for image in forward.pixels:
        if len(image) not in (1, 3):
            raise DataError(f"images of {len(image)} channels are neither gray nor RGB")
        yield to_pixels(image.expand(3, -1, -1))
