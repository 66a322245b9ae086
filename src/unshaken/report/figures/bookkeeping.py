"""What a summary says besides figures: cost and provenance."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from unshaken.report.figures.outcomes import count_classes, not_comparable
from unshaken.report.read.frame import Frame
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir


def cost(run: RunDir, frame: Frame) -> dict[str, Any]:
    """Passes, seconds and overhead, from the rows of cost; without these from the samples' own shares."""
    table = run.rows("cost")
    if not len(table):
        total = list(frame.spent.values())
        return {
            "forwards": sum(s.forwards for s in total),
            "backwards": sum(s.backwards for s in total),
            "seconds": sum(s.seconds for s in total),
            "overhead": None,
            "back_offs": None,
            "largest_batch": None,
            "steps": [],
        }
    numbers = ("forwards", "backwards", "model_seconds", "method_seconds", "wall_seconds", "back_offs")
    total_of = {name: pc.sum(table[name]).as_py() or 0 for name in numbers}
    inside = total_of["model_seconds"] + total_of["method_seconds"]
    steps: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        step = steps.setdefault(row["step"], {"step": row["step"], **dict.fromkeys(numbers, 0), "largest_batch": 0})
        for name in numbers:
            step[name] += row[name] or 0
        step["largest_batch"] = max(step["largest_batch"], row["largest_batch"] or 0)
    return {
        "forwards": total_of["forwards"],
        "backwards": total_of["backwards"],
        "seconds": total_of["wall_seconds"],
        "overhead": total_of["wall_seconds"] / inside if inside > 0 else None,
        "back_offs": total_of["back_offs"],
        "largest_batch": max(s["largest_batch"] for s in steps.values()),
        "steps": list(steps.values()),
    }


def provenance(run: RunDir, config: RunConfig, frame: Frame) -> dict[str, Any]:
    """Where the figures come from: model, data, plan, seed, versions, and what sets them apart from published ones."""
    protocol = [
        f"{name}: not comparable with published figures ({why})" for name, why in sorted(not_comparable(config).items())
    ]
    if config.from_files:
        made = [c.id for c in frame.conditions if c.severity is not None and c.id not in config.from_files]
        also = f"; made here: {', '.join(made)}" if made else ""
        protocol.append(f"images of {len(config.from_files)} conditions are files that came with the data{also}")
    return {
        "model": config.model,
        "model_name": config.model_name,
        "model_fingerprint": config.model_fingerprint,
        "data": config.data,
        "data_fingerprint": config.data_fingerprint,
        "labels_version": config.labels_version,
        "plan": config.plan_name,
        "methods": [e.model_dump(mode="json") for e in config.plan],
        "seed": config.seed,
        "samples": len(config.ids),
        "evaluated": len(frame.ids),
        "limit": config.limit,
        "part": config.part,
        "classes": count_classes(run),
        "labels": "" if config.labels is None else config.labels.line(config.classes),
        "view": config.view,
        "budgets": config.budgets,
        "seen_in_training": config.seen_in_training,
        "precision": config.precision,
        "device": config.device,
        "protocol": protocol,
        "versions": config.provenance,
    }
