"""Small loss: two groups of losses, of which the larger is taken for wrong labels."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores
from unshaken.labels.engine.noise_detection import posterior_of_low

_LEAST = 1e-12


@register("small-loss", reference="Li, Socher & Hoi 2020, ICLR, arXiv:2002.07394")
class SmallLoss(Finder):
    """Rank labels by the probability that their loss is of the smaller of two groups."""

    clip: float = Field(default=0.999, gt=0.5, le=1, description="quantile that larger losses are cut to; 1 for none")

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        """`score`: posterior of the lower of two normal components, fitted to the losses brought to [0, 1].

        Flagged is what is likelier of the upper one. One enormous loss would press all others together: `clip`.
        """
        summary = evidence.summary()
        losses = -np.log(np.maximum(summary.own, _LEAST))
        score = posterior_of_low(np.minimum(losses, np.quantile(losses, self.clip)))
        return LabelScores(score, summary.best, score < 0.5)
