"""Expected gradients: integrated gradients from other images."""

from __future__ import annotations

from functools import lru_cache
from typing import Self

import torch
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError
from unshaken.core.oracle import required
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.data.streaming import stream
from unshaken.explain.engine.gradients import RandomPaths


@register("expected-gradients", reference="Erion et al. 2021, arXiv:1906.10670")
class ExpectedGradients(RandomPaths):
    """Expected gradients: mean of `(x - b) grad z_c(b + t (x - b))` over images b of a set and t uniform in [0, 1].

    The map's sum is, on average, by how much the score lies above that of the baselines. They are `pool` images of
    `data`, the same ones for every sample and run, so a map does not depend on the batch that it was made in. Give the
    model's training data: the embedded images that serve by default are cut to the size of those explained, and tell
    little of photos. In Python, `ExpectedGradients(...).from_images(images)` takes baselines that are in memory.
    """

    data: str = Field(default="demo", description="SPEC of the images that serve as baselines; best the training data")
    pool: PositiveInt = Field(default=100, description="number of baselines at most, drawn from the data once")

    _baselines: Tensor | None = PrivateAttr(None)

    def from_images(self, images: Tensor) -> Self:
        """Copy the method with baselines `[B, C, H, W]` in [0, 1] at hand."""
        found = self.model_copy()
        found._baselines = images
        return found

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        found = load_baselines(self.data, self.pool, model, images) if self._baselines is None else self._baselines
        if found.ndim != 4 or not len(found) or found.shape[1:] != images.shape[1:]:
            raise DataError(
                f"expected-gradients: baselines have the shape {list(found.shape)}, the images "
                f"{list(images.shape[1:])}: give one or more of the same form"
            )
        return self.from_images(found.to(images))

    @override
    def baseline(self, images: Tensor, rng: SampleRng) -> Tensor:
        baselines = required(self._baselines)
        return baselines[(rng.fold("baseline").fresh(1)[:, 0] * len(baselines)).long()]


def load_baselines(spec: str, count: int, model: Classifier, images: Tensor) -> Tensor:
    """Images of a data set, always the same ones.

    Args:
        spec: of the data.
        count: at most.
        model: cuts photos as it wants, where that gives the size of `images`.
        images: `[N, C, H, W]`; baselines get their size and channels.

    Returns:
        `[B, C, H, W]`.

    Raises:
        DataError: none of them can be read, or images have neither one channel nor three.
    """
    channels, height, width = images.shape[1:]
    if channels not in (1, 3):
        raise DataError(
            f"expected-gradients: images have {channels} channels, and data give 1 or 3: give baselines by from_images"
        )
    view = model.view
    if view is None or (view.channels, view.height, view.width) != (channels, height, width):
        view = View(height, width, channels=channels)
    return _read(spec, count, view)


@lru_cache(maxsize=1)
def _read(spec: str, count: int, view: View) -> Tensor:
    """Read baselines; the last result is held, for a run asks once a shard."""
    dataset = load_data(spec)
    order = SampleRng.of(0, "expected-gradients", ["baselines"]).uniform(len(dataset))[0].argsort()
    chosen = order[:count].sort().values.tolist()
    found = [part.images for part in stream(dataset, chosen, view=view) if isinstance(part, Batch)]
    if not found:
        raise DataError(f"expected-gradients: none of the images of {spec!r} can be read: give other data")
    return torch.cat(found)
