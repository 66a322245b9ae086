"""Published claims as small experiments, each with a rule for its verdict that was written before the run."""

import importlib
import pkgutil

from unshaken.core.room import open_room

for _found in pkgutil.iter_modules(__path__):
    if _found.ispkg:
        importlib.import_module(f"{__name__}.{_found.name}")

from unshaken.papers._table import write_table  # noqa: E402
from unshaken.papers.frame.listing import PaperInfo, list_papers  # noqa: E402
from unshaken.papers.frame.result import PaperResult  # noqa: E402
from unshaken.papers.frame.run import run_paper  # noqa: E402

__all__ = [*open_room(__name__, __path__), "PaperInfo", "PaperResult", "list_papers", "run_paper", "write_table"]  # pyright: ignore
