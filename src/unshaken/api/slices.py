"""`slices`: columns of a finished run's samples, which divide its report, its queries and its gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unshaken.api.audit import Audit
from unshaken.api.division import divide
from unshaken.core.consent import of_arguments
from unshaken.core.keywords import keywords
from unshaken.core.package import public
from unshaken.data import DataSource
from unshaken.report.gates import Gate
from unshaken.report.gates.kept import read_gates
from unshaken.report.write import make_report
from unshaken.store.config import read_config
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir


@public()
@of_arguments
@keywords()
def slices(
    run: str | Path | RunDir,
    by: str | Sequence[str] = (),
    *,
    meta: str | Path | None = None,
    data: DataSource | None = None,
    gates: Sequence[str] = (),
    download: bool = False,
) -> Audit:
    """Divide a run's samples by their properties and metadata, keep the slices beside its rows, and report them.

    The report then has the accuracy of each slice under every condition (mAP of a detector of objects, mIoU of a
    segmentation), and searches for weak slices of one and two columns in a classifier's run. Slices of an earlier call
    are replaced. The model is not asked.

    Args:
        run: directory of a run of a classifier, a detector of objects or a segmentation on labelled images.
        by: columns: `class`, a property of images such as `brightness`, a tag of their files such as `exif.Model`, a
            column of `meta` or of the data; two of them crossed, as in `weather*size`; numbers cut at borders, as in
            `size:32+96`, else at their quartiles. Default `all`: all columns of `meta`, those of the data that divide
            the samples, all properties, and `class`.
        meta: a table with a column `id`, or of classes with a column `class`: `.csv`, `.jsonl` or `.parquet`; its
            columns come before others of the same name.
        data: the run's data; default what its record names.
        gates: on slices, such as `slice[weather=night].accuracy >= 0.8`, beside those that the run has.
        download: allow the data to be fetched from their own source.

    Returns:
        The run, with its new summary and page.

    Raises:
        ParameterError: the run is of another task, a column is not known or cannot be cut, or a gate is wrong.
        DataError: the data or the metadata cannot be read, or lack samples of the run.
        RunError: there is no finished run.
    """
    place = run if isinstance(run, RunDir) else RunDir(run)
    for gate in gates:
        Gate.parse(gate)
    config = read_config(place)
    division = divide(place, config, data, by, meta=meta, download=download)
    with locked(place):
        division.write(place)
        kept = read_gates(place).asked
        made = make_report(place, gates=[*kept, *(g for g in gates if g not in kept)] if gates else ())
    return Audit(place, made.summary, made.gates, made.page)
