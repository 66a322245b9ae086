"""What is done to each network of the experiment with distillation, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from unshaken.attack.engine.budgeted import Budgeted
from unshaken.attack.engine.gradient_masking import gradient_sizes, transferred
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner
from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.search_copy import search_copy
from unshaken.papers._distill_nets import PLAIN, STUDENT, Classroom
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Context, Part, outcomes

SCHEMAS["gradients"] = pa.schema(
    [("id", pa.string()), ("condition", pa.string()), ("largest", pa.float64()), ("gap", pa.float64())]
)
"""One row an image: the largest entry of the cross-entropy's gradient, and the first logit less the second."""

STEPS = 20
UNBOUNDED = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is attacked, and how.

    Args:
        grid: radii of the table, linf.
        radii: radii at which all losses are compared, linf.
        attacked: images of linf attacks.
        nearest: images of Carlini and Wagner's attack.
        tau: temperature of the tempered loss.
        cw: that attack.
    """

    grid: Sequence[float]
    radii: Sequence[float]
    attacked: int
    nearest: int
    tau: float
    cw: CarliniWagner


class Study:
    """All rows of an experiment.

    Args:
        bench: where they go.
        room: networks and images.
        plan: what is done.
    """

    def __init__(self, bench: Bench, room: Classroom, plan: Plan) -> None:
        self.bench, self.room, self.plan = bench, room, plan
        self.few, self.fewer = (room.test[slice(0, n)] for n in (plan.attacked, plan.nearest))

    def run(self) -> None:
        """Put all rows that are not there yet."""
        plan = self.plan
        with track("attacks", len(self.room.nets)) as task:
            for net in self.room.nets:
                self.clean(net)
                self.attack(net, "fgsm", FGSM(), sorted({*plan.grid, *plan.radii}))
                self.attack(net, "fgsm-tau", FGSM(tau=plan.tau), plan.radii)
                self.attack(net, "fgsm-margin", FGSM(loss="margin"), plan.radii)
                self.attack(net, "pgd-margin", PGD(steps=STEPS, step_size=2.5 / STEPS, loss="margin"), plan.radii)
                self.attack(net, "unbounded", PGD(steps=5 * STEPS, step_size=2.5 / STEPS), [UNBOUNDED])
                if net in (PLAIN, STUDENT):
                    self.nearest(net)
                task.advance()
            self.transfer()

    def clean(self, net: str) -> None:
        """Predictions on all test images, and gradients on those attacked."""
        condition = Condition(f"{net}.clean", "clean")
        if self.bench.run.has_rows("outcomes", condition.id, 0):
            return
        model = self.room.nets[net]
        with evaluating(model):
            oracle = Oracle(model, limit=250)
            logits = oracle.exact(self.room.test.images)
            largest = gradient_sizes(oracle, self.few)
        top = logits[: len(self.few)].topk(2, dim=1).values
        columns = {"id": list(self.few.ids), "largest": largest.tolist(), "gap": (top[:, 0] - top[:, 1]).tolist()}
        self.bench.keep([Part("gradients", condition, columns), outcomes(condition, self.room.test, logits)], 0)

    def attack(self, net: str, label: str, attack: Budgeted, eps: Sequence[float]) -> None:
        """Rows of an attack under each radius."""
        conditions = [Condition(f"{net}.{label}.{e:g}", attack.info.name, eps=e, norm="linf") for e in eps]
        self.evaluate(net, attack, self.few, conditions)

    def nearest(self, net: str) -> None:
        """Rows of Carlini and Wagner's attack, for the smallest norm."""
        condition = Condition(f"{net}.cw", self.plan.cw.info.name, norm="l2")
        self.evaluate(net, self.plan.cw, self.fewer, [condition])

    def evaluate(self, net: str, attack: Budgeted, batch: Batch, conditions: Sequence[Condition]) -> None:
        """Rows of an attack on some images, unless all of them are there."""
        if all(self.bench.run.has_rows("outcomes", c.id, 0) for c in conditions):
            return
        model = self.room.nets[net]
        with evaluating(model):
            oracle = Oracle(model, limit=250, search_copy=search_copy(model, batch.images[:2]))
            parts = attack.evaluate(batch, conditions, Context(oracle, self.bench.seed, oracle.exact(batch.images)))
        self.bench.keep(parts, 0)

    def transfer(self) -> None:
        """What fools the undefended network (PGD on the margin), shown to the student."""
        conditions = [Condition(f"{STUDENT}.transfer.{e:g}", "pgd", eps=e, norm="linf") for e in self.plan.radii]
        if all(self.bench.run.has_rows("outcomes", c.id, 0) for c in conditions):
            return
        plain, student = self.room.nets[PLAIN], self.room.nets[STUDENT]
        with evaluating(student):
            oracle = Oracle(student, limit=250)
            for condition in conditions:
                radius = condition.eps or 0.0
                moved = transferred(oracle, self.few, plain, eps=radius, steps=STEPS, seed=self.bench.seed)
                self.bench.keep([outcomes(condition, self.few, oracle.exact(moved))], 0)
