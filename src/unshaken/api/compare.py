"""`compare`: runs side by side, paired on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unshaken.api.tracking import log_comparison
from unshaken.report import Comparisons, compare_runs
from unshaken.report.pages.runs import comparison_page
from unshaken.report.render.notebook import render_notebook
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class CompareResult(Comparisons):
    """Several runs, each against the first; in a notebook it shows itself."""

    def _repr_html_(self) -> str:
        return render_notebook(comparison_page(self))


def compare(
    *runs: str | Path | RunDir,
    family: Sequence[str | Path | RunDir] = (),
    slope: float | None = None,
    track: str | None = None,
) -> CompareResult:
    """Compare runs on the same samples: paired differences with intervals, corrected for the number of conditions.

    Runs of detectors of objects are also measured against a line from the mAP on unchanged images to that under
    changes: what a detector has beyond it is its effective robustness.

    Args:
        runs: two or more run directories; the first is what the others are compared with.
        family: runs of baseline detectors on the same data and plan, through which the line is fitted.
        slope: of a line through 0 in the place of a family; without both it is COCO-O's 0.45.
        track: log differences and page as a run of MLflow (a folder or a tracking URI), Weights & Biases
            (`wandb:PROJECT`) or event files (`tensorboard:DIR`).
    """
    own, baselines = ([r if isinstance(r, RunDir) else RunDir(r) for r in some] for some in (runs, family))
    found = compare_runs(own, family=baselines, slope=slope)
    result = CompareResult(found.runs, found.robustness)
    names = [str(r).rstrip("/").rpartition("/")[2] or "run" for r in own]
    log_comparison(track, f"compare-{'-'.join(names)}"[:120], result)
    return result
