"""`Finder`: the base of every method that finds wrong labels, and `LabelScores`, what it says of each sample."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from unshaken.core.registry import Parameters
from unshaken.labels.engine.evidence import Evidence
from unshaken.measure.statistics.columns import Flags, Indices, Numbers


@dataclass(frozen=True, slots=True)
class LabelScores:
    """What a finder says of all samples.

    Args:
        score: how likely the given label is right, `[N]`: the lower the more suspect. Only the order counts; scores of
            two finders are not comparable.
        suggested: the class that is likelier than all others, int `[N]`.
        flagged: which labels it takes for wrong, bool `[N]`; None where it ranks only.
        figures: further numbers by name, such as the estimated share of wrong labels.
    """

    score: Numbers
    suggested: Indices
    flagged: Flags | None = None
    figures: dict[str, Any] = field(default_factory=dict)


class Finder(Parameters):
    """Scores how likely each given label is right.

    Class attributes: `needs`, the kinds of evidence that it uses: `probabilities`, `features`, `margins`.
    """

    room: ClassVar[str] = "labels"
    needs: ClassVar[frozenset[str]] = frozenset({"probabilities"})

    @abstractmethod
    def find(self, evidence: Evidence) -> LabelScores:
        """Score all labels.

        Args:
            evidence: with all that `needs` names.
        """
