"""Certified figures, from rows of `certificates`: how many samples are certified at each radius, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken import measure
from unshaken.report.figures.outcomes import right_under
from unshaken.report.read.frame import Frame
from unshaken.report.read.methods import Methods
from unshaken.run.flags import broken
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

Row = dict[str, Any]


def certified(run: RunDir, config: RunConfig, frame: Frame, methods: Methods) -> list[Row]:
    """For each certified condition, what holds at each radius, beside what an attack leaves.

    A sample counts when the method did not abstain and its radius is at least the one asked for; `accuracy` counts
    those whose certified class is the label as well, and is null where labels or classes are unknown.

    Args:
        run: its rows alone are read.
        config: of the run.
        frame: its outcomes.
        methods: of the run.

    Returns:
        One record a condition; see `certified` in `summary.schema.json`.
    """
    if not run.names("rows", "certificates", suffix=".parquet"):
        return []
    table, subjects = run.rows("certificates"), methods.subjects()
    table = table.filter(pc.is_null(table["error"]))
    names = pc.unique(table["condition"]).to_pylist()
    parts = {name: table.filter(pc.equal(table["condition"], name)) for name in names}
    wrong = broken(_moved(run), table, subjects)
    found = []
    for name, part in parts.items():
        attacked = _attacked(frame, part, subjects, set(parts))
        sizes = [*methods.radii(name), *(a["radius"] for a in attacked["attacked"])]
        found.append(
            {**_one(part, sizes), **attacked, "precision": config.precision, "broken": list(wrong.get(name, ()))}
        )
    return found


def _one(rows: pa.Table, sizes: list[float]) -> Row:
    n, first = len(rows), {k: rows[k][0].as_py() for k in ("condition", "method", "norm", "alpha")}
    abstained = rows["abstained"].fill_null(False).to_numpy()
    radius = np.where(abstained, 0.0, rows["radius"].to_numpy())
    judged = not rows["label"].null_count and not rows["prediction"].null_count
    right = rows["label"].to_numpy() == rows["prediction"].to_numpy() if judged else None
    samples = rows["samples"].to_numpy()

    def share(holds: Any) -> Row:
        return measure.share(int(holds.sum()), n).to_json()

    return {
        **first,
        "abstained": share(abstained),
        "samples": {"mean": float(samples.mean()), "median": float(np.median(samples)), "most": int(samples.max())},
        "seconds": float(pc.sum(rows["seconds"]).as_py() or 0.0),
        "average_radius": None if right is None else float((radius * right).mean()),
        "reasons": _counted(rows),
        "radii": [
            {
                "radius": float(r),
                "certified": share((radius >= r) & ~abstained),
                "accuracy": None if right is None else share((radius >= r) & ~abstained & right),
            }
            for r in sorted({*_grid(radius[~abstained]).tolist(), *sizes})
        ],
    }


def _attacked(frame: Frame, rows: pa.Table, subjects: Mapping[str, str], certified: set[str]) -> Row:
    """The accuracy of the certified predictor: on unchanged images, and after attacks of each budget."""
    name, norm = rows["condition"][0].as_py(), rows["norm"][0].as_py()
    clean = right_under(frame, frame.column(name))
    at: dict[float, list[int]] = {}
    for place, one in enumerate(frame.conditions):
        same = one.norm == norm and subjects.get(one.id) == subjects.get(name)
        if one.eps is not None and same and one.id not in certified:
            at.setdefault(one.eps, []).append(place)
    figures = []
    for eps, places in sorted(at.items()):
        columns = frame.right[:, places]
        known = (columns >= 0).all(1)
        if known.any():
            share = measure.share(int((columns[known] == 1).all(1).sum()), int(known.sum()))
            figures.append({"radius": eps, "accuracy": share.to_json()})
    return {"clean": None if clean is None else clean.to_json(), "attacked": figures}


def _moved(run: RunDir) -> pa.Table:
    columns = ["id", "condition", "norm", "prediction", "distance", "error"]
    rows = run.rows("outcomes", columns)
    return rows.filter(pc.is_null(rows["error"]))


def _counted(rows: pa.Table) -> dict[str, int]:
    """The reasons given, those that differ in numbers only counted together; the most frequent first."""
    if "reason" not in rows.column_names:
        return {}
    texts = [_plain(t) for t in rows["reason"].to_pylist() if t]
    names, counts = np.unique(texts, return_counts=True) if texts else ((), ())
    return dict(sorted(zip(map(str, names), map(int, counts), strict=True), key=lambda pair: -pair[1]))


def _plain(reason: str) -> str:
    return " ".join("n" if w.strip(",:;.").isdigit() else w for w in reason.split())


def _grid(radius: Any, most: int = 20) -> Any:
    """The radii to report: all that occur, or `most` quantiles of them."""
    found = np.unique(radius)
    return found if len(found) <= most else np.unique(np.quantile(found, np.linspace(0, 1, most), method="nearest"))
