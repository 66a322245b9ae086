"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.papers.claim import Check, ClaimPart, decide, decide_near, in_every_seed, seeds_in
    from unshaken.papers.effects import across_seeds, unpaired
    from unshaken.papers.folders import PaperInfo, list_papers, row
    from unshaken.papers.paper import Paper
    from unshaken.papers.result import PaperResult
    from unshaken.papers.run import freeze, run_paper
    from unshaken.papers.shared import list_networks, make_network
    from unshaken.papers.table import write_table
    from unshaken.papers.trend import Trend
    from unshaken.papers.trend_runs import run_trend

__all__ = [
    "Check",
    "ClaimPart",
    "Paper",
    "PaperInfo",
    "PaperResult",
    "Trend",
    "across_seeds",
    "decide",
    "decide_near",
    "freeze",
    "in_every_seed",
    "list_networks",
    "list_papers",
    "make_network",
    "row",
    "run_paper",
    "run_trend",
    "seeds_in",
    "unpaired",
    "write_table",
]

_HOMES = {
    **dict.fromkeys(
        ("Check", "ClaimPart", "decide", "decide_near", "in_every_seed", "seeds_in"), "unshaken.papers.claim"
    ),
    **dict.fromkeys(("across_seeds", "unpaired"), "unshaken.papers.effects"),
    **dict.fromkeys(("PaperInfo", "list_papers", "row"), "unshaken.papers.folders"),
    "Paper": "unshaken.papers.paper",
    "PaperResult": "unshaken.papers.result",
    **dict.fromkeys(("freeze", "run_paper"), "unshaken.papers.run"),
    "Trend": "unshaken.papers.trend",
    "run_trend": "unshaken.papers.trend_runs",
    **dict.fromkeys(("list_networks", "make_network"), "unshaken.papers.shared"),
    "write_table": "unshaken.papers.table",
}


def __getattr__(name: str) -> Any:
    """Import on first use: papers are listed without torch."""
    return attribute_of(__name__, name, _HOMES)
