"""`compare`: runs side by side, paired on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unshaken.api.tracking import log_comparison
from unshaken.report import Comparisons, compare_runs
from unshaken.report.pages import comparison_page
from unshaken.report.render.notebook import render_notebook
from unshaken.run import RunDir


@dataclass(frozen=True, slots=True)
class CompareResult(Comparisons):
    """Several runs, each against the first; in a notebook it shows itself."""

    def _repr_html_(self) -> str:
        return render_notebook(comparison_page(self))


def compare(*runs: str | Path | RunDir, track: str | None = None) -> CompareResult:
    """Compare runs on the same samples: paired differences with intervals, corrected for the number of conditions.

    Args:
        runs: two or more run directories; the first is what the others are compared with.
        track: log differences and page as a run of MLflow (a folder or a tracking URI), Weights & Biases
            (`wandb:PROJECT`) or event files (`tensorboard:DIR`).
    """
    given = [r if isinstance(r, RunDir) else RunDir(r) for r in runs]
    result = CompareResult(compare_runs(given).runs)
    names = [str(r).rstrip("/").rpartition("/")[2] or "run" for r in given]
    log_comparison(track, f"compare-{'-'.join(names)}"[:120], result)
    return result
