"""`detect`: score images by fitted detectors, and say which are accepted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Unpack

from torch import nn

from unshaken.api.audit import LOG, Audit, check_gates_early
from unshaken.api.job import as_list
from unshaken.api.options import check_options
from unshaken.api.screening import screen_run
from unshaken.api.tracking import log_run, open_log
from unshaken.core.consent import of_arguments
from unshaken.core.keywords import keywords
from unshaken.core.options import Options
from unshaken.data import DataSource
from unshaken.report.write import make_report
from unshaken.run.local import one_by_one


@of_arguments
@keywords(Options)
def detect(
    model: str | nn.Module,
    data: DataSource,
    detectors: str | Path,
    *,
    accept: float | None = None,
    against: str | Sequence[str] = (),
    shifts: str | Sequence[str] = (),
    attacked: bool = True,
    attack: str = "pgd:steps=20,step_size=0.1",
    norm: str = "linf",
    eps: float | str | Sequence[float | str] = "8/255",
    samples: int = 50,
    **options: Unpack[Options],
) -> Audit:
    """Score images with fitted detectors in one pass, and decide which are accepted; see `unshaken.detect.fit`.

    Args:
        model: as for `audit`; the one that the detectors were fitted on.
        data: as for `audit`; normal samples, where figures are wanted of how well abnormal ones are told from them.
        detectors: the folder that `fit` or `unshaken detect fit` wrote.
        accept: share of normal images that are accepted at least, by a conformal threshold; None for 0.95. One that is
            given must be a share that the calibration samples can promise.
        against: abnormal sets, `GROUP=SPEC` or `GROUP/NAME=SPEC`, such as `far=mnist`.
        shifts: stressors under which the same images are scored too, `NAME-SEVERITY`, such as `gaussian_noise-3`.
        attacked: attack model and detectors together on some labelled samples, beside the naive figure.
        attack: the search, `NAME[:k=v,...]`.
        norm: of its budget.
        eps: its budgets; fractions such as `8/255` will do.
        samples: that are attacked at most.
        options: see `Options`.
    """
    chosen = check_options(**options)
    baseline, log = check_gates_early(chosen), open_log(chosen, model)
    run = screen_run(
        model, data, detectors, chosen, accept=accept, against=as_list(against), shifts=as_list(shifts),
        attacked=attacked, attack=attack, norm=norm, eps=as_list(eps), samples=samples,
    )  # fmt: skip
    made = make_report(run, baseline=baseline, gates=chosen["gates"])
    if log is not None:
        with one_by_one(run, LOG) if chosen["share"] else nullcontext():
            log_run(log, run, made.summary, made.gates)
    return Audit(run, made.summary, made.gates, made.page)
