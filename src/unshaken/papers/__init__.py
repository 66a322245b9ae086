"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

from unshaken.core.room import open_room
from unshaken.papers.frame.listing import PaperInfo, list_papers
from unshaken.papers.frame.result import PaperResult
from unshaken.papers.frame.run import run_paper
from unshaken.papers.frame.table import write_table

__all__ = [*open_room(__name__), "PaperInfo", "PaperResult", "list_papers", "run_paper", "write_table"]  # pyright: ignore
