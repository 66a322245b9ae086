"""What certificate and attack on two half-smoothed networks share."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.certify.engine.base import Certifier
from unshaken.certify.smoothing.halves import Expansion, Halves, Side, Split, halves
from unshaken.certify.smoothing.votes import Tally, vote
from unshaken.core.batch import Batch
from unshaken.core.oracle import Oracle
from unshaken.core.search_copy import search_copy
from unshaken.models.loaders.load import second_model


class TwoHalves(Certifier):
    """The classifier that gives the class with the largest sum of two probabilities, one of each half's network."""

    sigma: PositiveFloat = Field(0.25, description="deviation of the noise on the left half, in [0, 1] pixel units")
    sigma_right: PositiveFloat | None = Field(
        None, description="standard deviation of the noise on the right half; default: sigma"
    )
    split: Split = Field("checkerboard", description="which pixels are the left half")
    split_seed: NonNegativeInt = Field(0, description="random seed of the random split")
    expansion: Expansion = Field("repeat", description="how a half becomes an image of the network's size")
    right: str = Field("", description="model SPEC of a network for the right half; empty for the same network")

    @property
    @override
    def subject(self) -> str:
        return "sum of two halves smoothed at sigma={:g} and {:g}".format(*self.sigmas.values())

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.right,) if self.right else ()

    def classifier_parameters(self) -> dict[str, Any]:
        """The parameters that decide which classifier this speaks of; those that are None are left out."""
        return {name: value for name in TwoHalves.model_fields if (value := getattr(self, name)) is not None}

    @property
    def sigmas(self) -> dict[Side, float]:
        """The noise on each side."""
        return {"left": self.sigma, "right": self.sigma if self.sigma_right is None else self.sigma_right}

    def cut(self, images: Tensor) -> Halves:
        """The halves of such images.

        Raises:
            ParameterError: the split leaves one side empty.
        """
        return halves(self.split, self.expansion, *images.shape[2:], self.split_seed)

    def beyond(self, oracle: Oracle) -> Oracle:
        """The oracle of the right half's network.

        Raises:
            ModelError: it is absent.
        """
        return oracle.beside(second_model(self.right).to(oracle.device)) if self.right else oracle

    def poll(self, oracle: Oracle, batch: Batch, side: Side, *, stream: str, **how: Any) -> Tally:
        """The votes of a network on one side's sub-images, with noise on these pixels alone.

        Args:
            oracle: runs the network and counts its passes.
            batch: whole images; its labels are left alone.
            side: which half.
            stream: name of the noise's stream.
            how: further arguments of `vote`.

        Raises:
            ParameterError: the split leaves one side of such images empty.
        """
        cut = self.cut(batch.images)
        parts, behind = cut.take(batch.images, side), cut.wrap(oracle.model, side)
        counted = Oracle(
            behind,
            limit=oracle.limit,
            precision=oracle.precision,
            strict_batch=oracle.strict_batch,
            search_copy=search_copy(behind, parts[:2]),
            meter=oracle.meter,
        )
        places = torch.arange(len(batch), device=parts.device)
        return vote(counted, parts, batch.ids, sigma=self.sigmas[side], method=f"{stream}/{side}", labels=places, **how)
