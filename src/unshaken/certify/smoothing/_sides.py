"""What two polls over the same samples share: a journal, and the knowledge that a label is lost already."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unshaken.certify.smoothing.halves import Side
from unshaken.certify.smoothing.votes import Tally, upper_bound
from unshaken.core.context import Journal

PLAIN = 0.001
"""How unlikely a label must be to win before its votes are given up. No certificate depends on it."""


class LostLabelsOfSide:
    """Samples whose label cannot win: `labels` are places in the batch here, so that the other side can be looked up.

    Args:
        left: the finished votes of the other side.
        labels: int64 `[N]`, -1 where unknown.
    """

    def __init__(self, left: Tally, labels: Tensor) -> None:
        self.labels = labels
        ours = left.counts.gather(1, labels.clamp_min(0)[:, None]).squeeze(1)
        self.most = upper_bound(ours.cpu(), left.drawn.cpu(), PLAIN).to(labels.device)

    def __call__(self, tally: Tally, labels: Tensor) -> Tensor:
        """Bool `[N]`: with few of the first votes too, the label's two shares are shown to be below 1 together."""
        label, most = self.labels[labels], self.most[labels]
        ours = tally.selected.gather(1, label.clamp_min(0)[:, None]).squeeze(1)
        here = upper_bound(ours.cpu(), tally.selected.sum(1).cpu(), PLAIN).to(label.device)
        return (label >= 0) & (most + here < 1)


class SideJournal:
    """One side's records in a journal that both share.

    Args:
        journal: shared.
        side: whose.
    """

    def __init__(self, journal: Journal, side: Side) -> None:
        self.journal, self.start = journal, f"{side}/"

    def found(self) -> dict[str, dict[str, Any]]:
        """Sample id to what was kept of it on this side."""
        start = self.start
        return {k.removeprefix(start): v for k, v in self.journal.found().items() if k.startswith(start)}

    def keep(self, sample: str, record: dict[str, Any]) -> None:
        """A sample is finished on this side."""
        self.journal.keep(f"{self.start}{sample}", record)

    def flush(self) -> None:
        """Write what is waiting."""
        self.journal.flush()
