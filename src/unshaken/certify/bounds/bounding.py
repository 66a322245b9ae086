"""Base class of the certifiers `ibp` and `crown`: the search for the largest radius."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from unshaken.certify.bounds.interval import Bounds, box
from unshaken.certify.engine.base import Certifier
from unshaken.certify.engine.layers import Chain
from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError

EPS = 2 / 255
HELD = 2**22
"""Values of the largest tensor of a chunk of samples."""


class BoundCertifier(Certifier):
    """A certifier by lower bounds of the margins over a box."""

    norms: ClassVar[tuple[str, ...]] = ("linf",)
    search: NonNegativeInt = Field(
        default=0, description="bisection steps for the largest certified radius in [0, eps]; 0: only test eps", le=30
    )

    @abstractmethod
    def holds(self, chain: Chain, bounds: Bounds, labels: Tensor, limit: int) -> Tensor:
        """Whether every margin is above 0 over each box, bool `[N]`.

        Args:
            chain: the classifier.
            bounds: of its images.
            labels: the class that must win, int64 `[N]`.
            limit: images, or functionals, that may be held at a time.
        """

    def certified_radii(self, chain: Chain, images: Tensor, labels: Tensor, eps: float, limit: int) -> Tensor:
        """The radius up to which each label is certain to win: eps, a smaller one that the search found, or 0.

        Args:
            chain: the classifier.
            images: `[N, C, H, W]` in [0, 1].
            labels: int64 `[N]`.
            eps: the radius in linf.
            limit: images, or functionals, that may be held at a time.

        Returns:
            float64 `[N]`.
        """
        pieces = max(1, min(limit, HELD // chain.largest))
        each = zip(torch.split(images, pieces), torch.split(labels, pieces), strict=True)
        return torch.cat([self._radius(chain, some, wanted.clamp_min(0), eps, limit) for some, wanted in each])

    def _radius(self, chain: Chain, images: Tensor, labels: Tensor, eps: float, limit: int) -> Tensor:
        """The radius where it holds, else the largest radius found below it, float64 `[N]`."""
        labels = labels.to(chain.device)

        def proved(rows: Tensor, radius: Tensor) -> Tensor:
            found = self.holds(chain, box(images[rows.to(images.device)], radius, chain.device), labels[rows], limit)
            return found

        every = torch.arange(len(images), device=chain.device)
        high = torch.full((len(images),), eps, dtype=torch.float64, device=chain.device)
        low = torch.where(proved(every, high), high, 0.0)
        left = every[low == 0]
        for _ in range(self.search if len(left) else 0):
            middle = (low[left] + high[left]) / 2
            good = proved(left, middle)
            low[left], high[left] = torch.where(good, middle, low[left]), torch.where(good, high[left], middle)
        return low.cpu()


def chain_and_labels(model: Classifier, images: Tensor, labels: Tensor, eps: float | Tensor) -> tuple[Chain, Tensor]:
    """The chain and the labels where it lies.

    Raises:
        DataError: labels do not fit the images, or there is no image.
        ParameterError: eps is below 0.
        ModelError: the network has a layer that bounds do not know.
    """
    if images.ndim != 4 or not len(images) or labels.shape != images.shape[:1]:
        raise DataError(
            f"bounds need images [N, C, H, W] and a label each, not {tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if not bool((torch.as_tensor(eps) >= 0).all()):
        raise ParameterError(f"eps {eps} must be at least 0, in units of pixels in [0, 1]")
    chain = read_chain(model, images)
    if not bool(((labels >= 0) & (labels < chain.classes)).all()):
        raise DataError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but the model has {chain.classes} classes"
        )
    return chain, labels.to(chain.device)
