"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

from unshaken.core.room import open_room
from unshaken.papers._run import PaperInfo, list_papers, run_paper
from unshaken.papers._table import write_table
from unshaken.papers.base import PaperResult

__all__ = [*open_room(__name__), "PaperInfo", "PaperResult", "list_papers", "run_paper", "write_table"]  # pyright: ignore
