"""ViM: energy, and what of the features lies outside the space that normal ones fill."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import energy
from unshaken.detect.scores.residual import Residual, residual


@register("vim", reference="Wang et al. 2022, arXiv:2203.10807", needs=("features",))
class ViM(Residual):
    """ViM: energy score plus the weighted residual of the features, `alpha r - logsumexp(z)`.

    alpha makes the mean residual of normal samples as large as their mean maximal logit.
    """

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate, "logits": forward.logits}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        bank = super().fit(fit_data)
        size = residual(fit_data.rows["penultimate"], bank["space"], bank["origin"]).mean()
        alpha = fit_data.rows["logits"].double().amax(1).mean().abs() / size  # of logits below 0 the size is meant too
        return {**bank, "alpha": alpha}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return bank["alpha"] * super().score(forward, bank) + energy(forward.z)
