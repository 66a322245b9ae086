"""Certified figures, from rows of `certificates`: how many samples hold at each radius, guaranteed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from unshaken import measure
from unshaken.run import RunDir


def certified(run: RunDir) -> list[dict[str, Any]]:
    """For each condition the share of samples whose certificate reaches each radius that occurs.

    A sample counts when the method did not abstain and its radius is at least the one asked for; `accuracy` counts
    those whose certified class is the label as well, and is null where labels or classes are unknown.

    Args:
        run: its rows alone are read.

    Returns:
        One record a condition: `condition`, `method`, `norm`, `alpha`, `abstained`, and `radii`, a list of `radius`,
        `certified` and `accuracy`.
    """
    if not run.names("rows", "certificates", suffix=".parquet"):
        return []
    table = run.rows("certificates")
    table = table.filter(pc.is_null(table["error"]))
    return [_one(table.filter(pc.equal(table["condition"], c))) for c in pc.unique(table["condition"]).to_pylist()]


def _one(rows: Any) -> dict[str, Any]:
    n, first = len(rows), {k: rows[k][0].as_py() for k in ("condition", "method", "norm", "alpha")}
    abstained = rows["abstained"].fill_null(False).to_numpy()
    radius = np.where(abstained, 0.0, rows["radius"].to_numpy())
    judged = not rows["label"].null_count and not rows["prediction"].null_count
    right = rows["label"].to_numpy() == rows["prediction"].to_numpy() if judged else None

    def share(holds: Any) -> dict[str, Any]:
        return measure.share(int(holds.sum()), n).to_json()

    return {
        **first,
        "abstained": share(abstained),
        "radii": [
            {
                "radius": float(r),
                "certified": share(radius >= r),
                "accuracy": None if right is None else share((radius >= r) & right),
            }
            for r in _grid(radius[radius > 0])
        ],
    }


def _grid(radii: Any, most: int = 20) -> Any:
    """The radii to report: all that occur, or `most` quantiles of them."""
    found = np.unique(radii)
    return found if len(found) <= most else np.unique(np.quantile(found, np.linspace(0, 1, most), method="nearest"))
