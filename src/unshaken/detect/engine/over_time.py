"""Drift of the accepted share of a finished run, in the order of its samples."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.rows import NORMAL
from unshaken.measure.detection.drift import Drift, drift
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir


def over_time(
    run: RunDir, *, window: int = 100, promised: float = 0.95, alpha: float = 0.01, split: str = NORMAL
) -> dict[str, Drift]:
    """Windows of the accepted share, and the moment at which it is surely below its promise, for each detector.

    Args:
        run: of `unshaken detect score`, its data in the order of time.
        window: samples a window.
        promised: the least share that is accepted, in (0, 1); a little below what was asked for, because of one
            calibration set the share may lie a little below, too.
        alpha: the chance of a false alarm over the whole stream, in (0, 1).
        split: which rows.

    Raises:
        RunError: there is no run.
        ParameterError: it has no such scores, or a number is out of range.
    """
    place = {name: i for i, name in enumerate(read_config(run).ids)}
    if not run.names("rows", "scores", suffix=".parquet"):
        raise ParameterError(f"{run}: has no detector scores; use a run of 'unshaken detect score'")
    rows = run.rows("scores", ["id", "detector", "split", "accepted"])
    rows = rows.filter(pc.and_(pc.equal(rows["split"], split), pc.is_valid(rows["accepted"])))
    if not len(rows):
        raise ParameterError(f"{run}: has no scores of split {split!r}")
    found = {}
    for label in pc.unique(rows["detector"]).to_pylist():
        own = rows.filter(pc.equal(rows["detector"], label))
        order = np.argsort([place[i] for i in own["id"].to_pylist()], kind="stable")
        accepted = own["accepted"].to_numpy()[order]
        found[str(label)] = drift(accepted, promised=promised, window=window, alpha=alpha)
    return found
