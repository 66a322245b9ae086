"""`merge`: the parts of a run, computed in directories of their own, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unshaken.api.audit import Audit, check_gates_early
from unshaken.api.options import check_options
from unshaken.core.keywords import keywords
from unshaken.report.write import make_report
from unshaken.run.merge import merge_runs
from unshaken.store.run_dir import RunDir


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
        out: the directory of the whole run; it must hold no run.
        allow_missing: go on where samples are in none of the directories, instead of raising; the run is then not
            complete, and the same call as for its parts, without `part`, resumes it.
        gates: such as `clean.accuracy >= 0.9`.
        baseline: a run to compare with.

    Returns:
        The whole run.

    Raises:
        ParameterError: a gate or the baseline is wrong, or no directory is given.
        RunError: the directories differ in settings, model or data, or in the rows of a sample; samples are missing;
            a file is damaged; `out` holds a run.
    """
    options = check_options(out=out, gates=tuple(gates), baseline=baseline)
    before = check_gates_early(options)
    whole = RunDir(out)
    merge_runs([r if isinstance(r, RunDir) else RunDir(r) for r in runs], whole, allow_missing=allow_missing)
    made = make_report(whole, baseline=before, gates=options["gates"])
    return Audit(whole, made.summary, made.gates, made.page)
