"""ViewFool: one Gaussian over viewpoints that a model fails from, learned for each object."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from unshaken.attack.viewpoint.gmvfool import GMVFool
from unshaken.core.registry import register


@register("viewfool", reference="Dong et al. 2022, arXiv:2210.03895")
class ViewFool(GMVFool):
    """ViewFool: learns, for each object, one Gaussian over viewpoints that the model fails from.

    It is GMVFool with one component, fewer views a step, more steps and a smaller entropy term.
    """

    components: PositiveInt = Field(default=1, le=64, description="Gaussians of the mixture; one in the paper")
    pairs: PositiveInt = Field(default=25, le=5000, description="antithetic pairs tried in a step, beside the mean")
    steps: NonNegativeInt = Field(default=100, le=10_000, description="steps of the search")
    entropy: NonNegativeFloat = Field(default=0.01, description="weight of the Gaussian's entropy")
