"""Figures of the experiment with distillation, from rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.measure import accuracy, compare, minimal_norm, share, success_curve
from unshaken.measure.robustness.gradient_masking import gradient_masking
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.papers._distill_nets import PLAIN, STUDENT
from unshaken.papers._distill_run import UNBOUNDED, Plan
from unshaken.run.store import RunDir

ONE_STEP = ("fgsm", "fgsm-tau", "fgsm-margin")
THRESHOLDS = (0.5, 1.0, 2.0)
"""L2 norms at which success is told."""


class Figures:
    """The figures.

    Args:
        run: where the rows are.
        nets: names of the networks.
        plan: what was done.
    """

    def __init__(self, run: RunDir, nets: list[str], plan: Plan) -> None:
        self.nets, self.plan = nets, plan
        self.table = run.rows("outcomes", ["id", "condition", "label", "correct", "logits", "distance"])
        self.gradients = run.rows("gradients")

    def all(self) -> dict[str, Any]:
        """Each network by itself, and the student beside the undefended one."""
        found: dict[str, Any] = {net: self.network(net) for net in self.nets}
        found["student_minus_plain"] = {
            attack: {
                f"{e:g}": compare(
                    self.correct(f"{PLAIN}.{attack}.{e:g}"), self.correct(f"{STUDENT}.{attack}.{e:g}")
                ).difference.to_json()
                for e in self.plan.radii
            }
            for attack in (*ONE_STEP, "pgd-margin")
        }
        gaps = [float(np.median(self.column(net, "gap"))) for net in (STUDENT, PLAIN)]
        found["logit_gap_ratio"] = round(gaps[0] / gaps[1], 2) if gaps[1] else None
        return found

    def network(self, net: str) -> dict[str, Any]:
        """Clean figures, errors against eps, accuracy under every loss, gradients, and the verdict."""
        radii = [f"{e:g}" for e in self.plan.radii]
        grid = [f"{e:g}" for e in sorted({*self.plan.grid, *self.plan.radii})]
        attacks = [*ONE_STEP, "pgd-margin", *(["transfer"] if net == STUDENT else [])]
        found: dict[str, Any] = {
            "clean": self.errors(f"{net}.clean"),
            "fgsm_errors": {e: self.errors(f"{net}.fgsm.{e}") for e in grid},
            "accuracy": {a: {e: accuracy(self.correct(f"{net}.{a}.{e}")).to_json() for e in radii} for a in attacks},
            "logit_gap_median": round(float(np.median(self.column(net, "gap"))), 3),
            "masking": {e: self.masking(net, e) for e in radii},
        }
        return found | ({"cw": self.nearest(net)} if net in (PLAIN, STUDENT) else {})

    def errors(self, condition: str) -> dict[str, Any]:
        """Top-1 and top-5 error, each with its interval."""
        rows = self.rows(condition)
        logits = np.array(rows["logits"].to_pylist())
        labels = rows["label"].to_numpy()
        own = logits[np.arange(len(labels)), labels]
        above = (logits > own[:, None]).sum(1)
        wrong = ~self.correct(condition)
        return {
            "top1_error": share(int(wrong.sum()), len(wrong)).to_json(),
            "top5_error": share(int((wrong & (above >= 5)).sum()), len(wrong)).to_json(),
        }

    def nearest(self, net: str) -> dict[str, Any]:
        """Success and l2 norms of Carlini and Wagner's attack, over images that are right when clean."""
        rows = self.rows(f"{net}.cw")
        right = dict(zip(*(self.rows(f"{net}.clean")[c].to_pylist() for c in ("id", "correct")), strict=True))
        clean = np.array([right[i] for i in rows["id"].to_pylist()])
        norms = np.array([np.inf if d is None else d for d in rows["distance"].to_pylist()])
        norms[self.correct(f"{net}.cw")] = np.inf
        found = minimal_norm(norms, clean)
        curve = success_curve(norms, clean, THRESHOLDS)
        figures = {"success": found.success, "median_l2": found.median, "mean_l2": found.mean_of_broken}
        within = {f"{t:g}": s for t, s in zip(THRESHOLDS, curve.success, strict=True)}
        return {k: None if f is None else f.to_json() for k, f in figures.items()} | {
            "success_within_l2": {k: None if f is None else f.to_json() for k, f in within.items()}
        }

    def masking(self, net: str, eps: str) -> dict[str, Any]:
        """The verdict on the network at one radius, and what it rests on."""
        soft = {f"{a} at {eps}": self.correct(f"{net}.{a}.{eps}") for a in ONE_STEP[1:]}
        blind = {f"transfer at {eps}": self.correct(f"{net}.transfer.{eps}")} if net == STUDENT else {}
        said = gradient_masking(
            self.column(net, "largest") == 0,
            self.correct(f"{net}.fgsm.{eps}"),
            soft,
            gradients={"pgd-margin": self.correct(f"{net}.pgd-margin.{eps}")},
            blind=blind,
            unbounded=self.correct(f"{net}.unbounded.{UNBOUNDED:g}"),
            classes=len(self.rows(f"{net}.clean")["logits"][0]),
        )
        return {
            "masked": said.masked,
            "zero_gradients": said.zero.to_json(),
            "fgsm_minus_strongest": said.gap.to_json(),
            "reasons": "; ".join(said.reasons),
        }

    def column(self, net: str, name: str) -> Numbers:
        """Of the gradients' rows of a network, in the order of the samples' ids."""
        rows = self.gradients.filter(pc.equal(self.gradients["condition"], f"{net}.clean")).sort_by("id")
        return np.asarray(rows[name].to_numpy(), np.float64)

    def correct(self, condition: str) -> Flags:
        """Right predictions under a condition, samples in the order of their ids."""
        return np.asarray(self.rows(condition)["correct"].to_numpy(zero_copy_only=False), bool)

    def rows(self, condition: str) -> pa.Table:
        """Rows of a condition, in the order of the samples' ids."""
        return self.table.filter(pc.equal(self.table["condition"], condition)).sort_by("id")
