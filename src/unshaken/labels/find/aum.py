"""Area under the margin: how soon and how surely a label was learned while networks were trained."""

from __future__ import annotations

from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores, mean_over_epochs


@register("aum", reference="Pleiss, Zhang, Elenberg & Weinberger 2020, NeurIPS, arXiv:2001.10528")
class AUM(Finder):
    """Rank labels by the mean margin of their logit over the epochs of a training."""

    needs = frozenset({"margins"})

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        return LabelScores(mean_over_epochs(evidence.known(evidence.margins)), evidence.suggestion())
