"""Figures of the experiment with distillation, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken.measure import minimal_norm, success_curve
from unshaken.measure.robustness.gradient_masking import gradient_masking
from unshaken.papers.rows import Numbers, Rows, share_of
from unshaken_papers.fgsm_cw_distillation import (
    GRID,
    ONE_STEP,
    PLAIN,
    RADII,
    STUDENT,
    TEACHER,
    UNBOUNDED,
    DistillationPaper,
)

THRESHOLDS = (0.5, 1.0, 2.0)
"""L2 norms within which success is reported."""


def figures(paper: DistillationPaper, rows: Rows) -> dict[str, Any]:
    """By seed."""
    return {name: seed_figures(part) for name, part in rows.repetitions(paper.seeds).items()}


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Each network by itself, and the student beside the undefended one."""
    labels = set(rows.labels())
    nets = [net for net in (PLAIN, TEACHER, STUDENT) if f"{net}.clean" in labels]
    found: dict[str, Any] = {net: network(rows.within(net), net) for net in nets}
    found["student_minus_plain"] = {
        attack: {f"{e:g}": rows.difference(f"{STUDENT}.{attack}.{e:g}", f"{PLAIN}.{attack}.{e:g}") for e in RADII}
        for attack in (*ONE_STEP, "pgd-margin")
    }
    gaps = [float(np.median(gradients(rows.within(net), "gap"))) for net in (STUDENT, PLAIN)]
    return found | {"logit_gap_ratio": round(gaps[0] / gaps[1], 2) if gaps[1] else None}


def network(rows: Rows, net: str) -> dict[str, Any]:
    """Clean figures, errors against eps, accuracy under every loss, gradients, and the verdict on them."""
    attacks = [*ONE_STEP, "pgd-margin", *(["transfer"] if net == STUDENT else [])]
    found: dict[str, Any] = {
        "clean": errors(rows, "clean"),
        "fgsm_errors": {f"{e:g}": errors(rows, f"fgsm.{e:g}") for e in GRID},
        "accuracy": {a: {f"{e:g}": rows.accuracy(f"{a}.{e:g}") for e in RADII} for a in attacks},
        "logit_gap_median": round(float(np.median(gradients(rows, "gap"))), 3),
        "masking": {f"{e:g}": masking(rows, net, f"{e:g}") for e in RADII},
    }
    return found | ({"cw": nearest(rows)} if net != TEACHER else {})


def errors(rows: Rows, label: str) -> dict[str, Any]:
    """Top-1 and top-5 error, each with its interval."""
    logits, labels = rows.logits(label)
    above = (logits > logits[np.arange(len(labels)), labels][:, None]).sum(1)
    wrong = ~rows.column("outcomes", label, "correct")
    return {"top1_error": share_of(wrong), "top5_error": share_of(wrong & (above >= 5))}


def nearest(rows: Rows) -> dict[str, Any]:
    """Success and l2 norms of Carlini and Wagner's attack, over images that are classified correctly when clean."""
    ids, norms = rows.columns("outcomes", "cw", "id", "distance", by="id")
    clean = rows.correct("clean")[np.isin(rows.column("outcomes", "clean", "id", by="id"), ids)]
    norms = np.where(rows.correct("cw") | np.isnan(norms), np.inf, norms)
    found = minimal_norm(norms, clean)
    within = zip(THRESHOLDS, success_curve(norms, clean, THRESHOLDS).success, strict=True)
    parts = {"success": found.success, "median_l2": found.median, "mean_l2": found.mean_of_broken}
    return {
        **{name: None if f is None else f.to_json() for name, f in parts.items()},
        "success_within_l2": {f"{t:g}": None if f is None else f.to_json() for t, f in within},
    }


def masking(rows: Rows, net: str, eps: str) -> dict[str, Any]:
    """The verdict on the gradients of a network at one radius, and what it rests on."""
    verdict = gradient_masking(
        gradients(rows, "largest") == 0,
        rows.correct(f"fgsm.{eps}"),
        {f"{a} at {eps}": rows.correct(f"{a}.{eps}") for a in ONE_STEP[1:]},
        gradients={"pgd-margin": rows.correct(f"pgd-margin.{eps}")},
        blind={f"transfer at {eps}": rows.correct(f"transfer.{eps}")} if net == STUDENT else {},
        unbounded=rows.correct(f"unbounded.{UNBOUNDED:g}"),
        classes=len(rows.table("outcomes", "clean")["logits"][0]),
    )
    return {
        "masked": verdict.masked,
        "zero_gradients": verdict.zero.to_json(),
        "fgsm_minus_strongest": verdict.gap.to_json(),
        "reasons": "; ".join(verdict.reasons),
    }


def gradients(rows: Rows, name: str) -> Numbers:
    """A column of the gradients' rows, in the order of the samples' ids."""
    return rows.column("gradients", "clean", name, by="id")
