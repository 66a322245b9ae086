"""Linear separation: a line in feature space between samples of small loss and all others."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores
from unshaken.labels.engine.noise_detection import detect_by_loss, detect_linearly

_LEAST = 1e-12


@register("linear-separation", reference="Albert et al. 2024, ECCV, arXiv:2407.05528")
class LinearSeparation(Finder):
    """Rank labels by a logistic regression, in contrastive features, between small losses and all others.

    Made for images that are of none of the classes, as the web has them: in features of a network pretrained without
    labels (`simclr`) they lie apart. A wrong label of an image that is of another class it does not find.
    """

    needs = frozenset({"features", "probabilities"})
    clip: float = Field(default=0.999, gt=0.5, le=1, description="quantile that larger losses are cut to; 1 for none")
    threshold: float = Field(
        default=0.95, gt=0, lt=1, description="posterior of the larger losses above which one is suspect"
    )

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        summary = evidence.summary()
        losses = -np.log(np.maximum(summary.own, _LEAST))
        suspect = detect_by_loss(np.minimum(losses, np.quantile(losses, self.clip)), self.threshold).flagged
        found = detect_linearly(evidence.known(evidence.features), suspect)
        if found is None:
            what = "all" if suspect.all() else f"none (threshold={self.threshold:g})"
            raise ParameterError(f"linear-separation: {what} of the losses are suspect, so use small-loss")
        return LabelScores(1 - found.score, summary.best, found.flagged)
