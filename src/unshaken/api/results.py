"""`compare` and `merge`: functions of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from unshaken.api.audit import Audit, check_gates_early, keep_gates
from unshaken.api.options import check_options
from unshaken.api.tracking import log_comparison
from unshaken.core.keywords import keywords
from unshaken.core.options import MERGE_RECORDS
from unshaken.core.package import public
from unshaken.report import Comparisons, compare_runs
from unshaken.report.gates.kept import read_gates
from unshaken.report.pages.runs import comparison_page
from unshaken.report.render.notebook import render_notebook
from unshaken.report.write import make_report
from unshaken.run.merge import BEGUN, merge_runs
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class CompareResult(Comparisons):
    """Several runs, each against the first; in a notebook it shows itself."""

    def _repr_html_(self) -> str:
        return render_notebook(comparison_page(self))


@public("compare")
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
    result = CompareResult(found.runs, found.robustness, found.gates)
    names = [str(r).rstrip("/").rpartition("/")[2] or "run" for r in own]
    log_comparison(track, f"compare-{'-'.join(names)}"[:120], result)
    return result


@public("merge")
@keywords()
def merge(
    *runs: str | Path | RunDir,
    out: str | Path,
    allow_missing: bool = False,
    gates: Sequence[str] = (),
    baseline: str | Path | None = None,
) -> Audit:
    """Join run directories of one configuration that hold different samples, and write the report of the whole.

    They are made by the same call, such as `audit`, with `part="1/2"` and `part="2/2"`. Samples that several
    directories hold must have the same rows in all of them. No model and no image is loaded.

    Args:
        runs: run directories, which stay as they are.
        out: the directory of the whole run; it must hold no run, but for one that the same call began and that was
            stopped.
        allow_missing: go on where samples are in none of the directories, instead of raising; the run is then not
            complete, and the same call as for its parts, without `part`, resumes it.
        gates: such as `clean.accuracy >= 0.9`; empty for those that were asked of the runs, if any were. Those of a run
            that is not complete stay undecided.
        baseline: a run to compare with.

    Returns:
        The whole run.

    Raises:
        ParameterError: a gate or the baseline is wrong, or no directory is given.
        RunError: the directories differ in settings, model or data, or in the rows of a sample; samples are missing;
            a file is damaged; `out` holds a run.
    """
    sources, whole = [r if isinstance(r, RunDir) else RunDir(r) for r in runs], RunDir(out)
    asked = tuple(gates) or tuple(dict.fromkeys(text for run in sources for text in read_gates(run).asked))
    options = check_options(records=MERGE_RECORDS, out=out, gates=asked, baseline=baseline)
    before = check_gates_early(options)
    begin = partial(keep_gates, whole, str(whole), options)
    merge_runs(sources, whole, allow_missing=allow_missing, begin=begin)
    made = make_report(whole, baseline=before, gates=asked)
    whole.remove(BEGUN)
    return Audit(whole, made.summary, made.gates, made.page)
