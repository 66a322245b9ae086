"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of
from unshaken.core.room import open_room

if TYPE_CHECKING:
    from unshaken.papers.frame.listing import PaperInfo, list_papers
    from unshaken.papers.frame.result import PaperResult
    from unshaken.papers.frame.run import freeze, run_paper
    from unshaken.papers.frame.table import write_table

__all__ = [*open_room(__name__), "PaperInfo", "PaperResult", "freeze", "list_papers", "run_paper", "write_table"]  # pyright: ignore

_HOMES = {
    "PaperInfo": "unshaken.papers.frame.listing",
    "PaperResult": "unshaken.papers.frame.result",
    "freeze": "unshaken.papers.frame.run",
    "list_papers": "unshaken.papers.frame.listing",
    "run_paper": "unshaken.papers.frame.run",
    "write_table": "unshaken.papers.frame.table",
}


def __getattr__(name: str) -> Any:
    """Import on first use: papers are listed without torch."""
    return attribute_of(__name__, name, _HOMES)
