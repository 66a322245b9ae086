"""What the certifiers `ibp` and `crown` share: conditions, rows, and the search for the largest radius."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.certify.bounds.interval import Bounds, box
from unshaken.certify.engine.base import Certifier, certificates
from unshaken.certify.engine.layers import Chain
from unshaken.certify.engine.reading import read_chain
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.part import Condition, Part
from unshaken.core.prediction import predict
from unshaken.run.rows import Context, outcomes

EPS = 2 / 255
HELD = 2**22
"""Values of the largest tensor of a chunk of samples."""


def linf_conditions(
    name: str, label: str, severities: Sequence[int], eps: Sequence[float], norm: str, default: float
) -> list[Condition]:
    """One condition an eps.

    Args:
        name: of the method.
        label: as in `Certifier.conditions`.
        severities: must be empty.
        eps: radii in [0, 1] pixel units.
        norm: must be linf.
        default: the eps where none is given.

    Raises:
        ParameterError: severities, another norm, or an eps outside (0, 1].
    """
    if severities:
        raise ParameterError(f"{name}: has no severities: give eps, the radius in [0, 1] pixel units")
    if norm != "linf":
        raise ParameterError(f"{name}: norm {norm!r} is not one of linf")
    for radius in eps:
        if not 0 < radius <= 1:
            raise ParameterError(f"{name}: eps {radius:g} must lie in (0, 1], in units of pixels in [0, 1]")
    return [Condition(f"{label}-{e:.4g}", name, eps=e, norm="linf") for e in eps or (default,)]


class BoundCertifier(Certifier):
    """A certifier by lower bounds of the margins over a box."""

    norms: ClassVar[tuple[str, ...]] = ("linf",)
    search: NonNegativeInt = Field(
        0, description="bisection steps for the largest certified radius in [0, eps]; 0: only test eps", le=30
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

    @override
    def beside(self, radii: Sequence[float]) -> list[dict[str, Any]]:
        return [{"method": "pgd", "norm": "linf", "eps": list(radii) or [EPS]}]

    # What the runner asks of a method (`unshaken.run.rows.Evaluable`).

    @override
    def conditions(self, *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str) -> list[Condition]:
        return linf_conditions(self.info.name, label, severities, eps, norm, EPS)

    @override
    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        with context.oracle.meter.method():
            chain = read_chain(context.oracle.model, batch.images)
        return [part for condition in conditions for part in self._rows(chain, batch, condition, context)]

    def _rows(self, chain: Chain, batch: Batch, condition: Condition, context: Context) -> list[Part]:
        began, limit = time.perf_counter(), context.oracle.limit
        prediction = predict(context.clean).to(batch.images.device)
        pieces = max(1, min(limit, HELD // chain.largest))
        with context.oracle.meter.method():
            radius = torch.cat(
                [
                    self._radius(chain, images, labels.clamp_min(0), float(condition.eps or EPS), limit)
                    for images, labels in zip(
                        torch.split(batch.images, pieces), torch.split(prediction, pieces), strict=True
                    )
                ]
            )
        seconds = (time.perf_counter() - began) / max(1, len(batch))
        rows = certificates(
            condition,
            batch,
            radius=radius,
            norm="linf",
            prediction=prediction,
            seconds=seconds,
            reason=[None if r > 0 else "the bounds are too loose, or an adversarial example exists" for r in radius],
        )
        return [
            rows,
            outcomes(condition, batch, context.clean, forwards=0, seconds=seconds, images=lambda i: batch.images[i]),
        ]

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
