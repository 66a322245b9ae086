"""Fusion: several detectors as one, each on the scale of what normal samples score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import parse_method, register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector, QueryGenerator, follow
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.layerwise import spread


@register("fusion", reference="Kriegel et al. 2011, doi:10.1137/1.9781611972818.2")
class Fusion(Detector):
    """Fusion: sum of several detectors' scores, each standardised on held-out normal samples."""

    of: tuple[str, ...] = Field(
        default=("msp", "knn", "vim"), description="detectors, each NAME or NAME:k=v", min_length=2
    )

    @property
    def parts(self) -> tuple[Detector, ...]:
        """Detectors that are joined.

        Raises:
            ParameterError: one is not known.
        """
        return tuple(cast(Detector, parse_method(name, "detect")) for name in self.of)

    @property
    @override
    def labelled(self) -> bool:  # type: ignore[override]  # known of an instance only
        return any(part.labelled for part in self.parts)

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.layers(anatomy)))

    @override
    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.moments(anatomy)))

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {name: row for part in self.parts for name, row in part.rows(forward).items()}

    @override
    def fit(self, fit_data: FitData) -> QueryGenerator[Bank]:
        bank: Bank = {}
        for number, part in enumerate(self.parts):
            own = yield from follow(part.fit(fit_data))
            bank |= {f"{number}/{key}": value for key, value in own.items()}
        scores = yield from self._scores(fit_data.held_out, bank)
        mean, deviation = spread(scores, [part.info.name for part in self.parts], "fusion")
        return {**bank, "mean": mean, "deviation": deviation}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        scores = yield from self._scores(forward, bank)
        return ((scores - bank["mean"]) / bank["deviation"]).sum(1)

    def _scores(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        """Scores of all parts, `[N, P]`."""
        found = []
        for number, part in enumerate(self.parts):
            score = yield from follow(part.score(forward, _own(bank, number)))
            found.append(score.double())
        return torch.stack(found, 1)


def _own(bank: Bank, number: int) -> Bank:
    prefix = f"{number}/"
    return {key.removeprefix(prefix): value for key, value in bank.items() if key.startswith(prefix)}
