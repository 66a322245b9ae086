"""AutoAttack: a fixed ensemble of attacks without parameters to tune, each on what the ones before left standing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.attack.black_box.square import Square
from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import BudgetedAttack
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.minimal_norm.fab import FAB
from unshaken.core.flag import Flag
from unshaken.core.registry import register

PATIENCE = {"linf": 20, "l2": 30, "l1": 30}
"""In the mode `fast`, steps after which FAB gives up a target that brings nothing nearer."""
FINISH_TARGETS = 3
"""In the mode `fast`, the likeliest classes that those who survive are attacked towards once more, in float32."""
EOT = 20
"""Passes whose gradients the version `rand` averages where the run does not say."""


@register("autoattack", title="AutoAttack", reference="Croce & Hein 2020, arXiv:2003.01690")
class AutoAttack(BudgetedAttack):
    """AutoAttack: the standard ensemble of APGD, targeted APGD, targeted FAB and Square.

    The version `plus` starts every attack five times and adds untargeted APGD-DLR and FAB; `rand`, for a model with
    randomness of its own, is APGD on two losses with gradients averaged over 20 passes. In l1 APGD-CE has 5 starts and
    APGD-T 5 targets. With fewer than 4 classes, where the targeted DLR loss is not defined, the difference of logits
    takes its place.

    The mode `fast` searches in bfloat16. APGD gives a target up that lies out of reach at its pace, FAB one that brings
    nothing nearer for 20 steps (30 in l2 and l1), and Square in linf a sample whose margin falls too slowly. Each
    success is confirmed in float32 on the original model in both modes, and those who survive get a float32 search of
    `finish` steps for each of 3 targets on top; both modes give an upper bound of the robust accuracy.
    """

    version: Literal["standard", "plus", "rand"] = Field(
        default="standard", description="version of the ensemble: standard, plus or rand"
    )
    mode: Literal["strict", "fast"] = Field(
        default="strict", description="strict: float32; fast: search in bfloat16 first"
    )
    steps: PositiveInt = Field(default=100, description="gradient steps of APGD and FAB")
    targets: PositiveInt = Field(default=9, description="classes tried by the targeted attacks, the likeliest first")
    queries: PositiveInt = Field(default=5000, description="queries of Square")
    finish: PositiveInt = Field(
        default=20, description="for mode=fast: float32 steps per target on the samples that bfloat16 did not break"
    )

    @override
    def most_passes(self, classes: int) -> int | None:
        if self.version == "rand":
            return 2 * EOT * sum(APGD(steps=self.steps).cost(classes))
        return sum(sum(phase.search.cost(classes)) for phase in self._deterministic("linf", classes))

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        phases = self._rand(context) if self.version == "rand" else self._deterministic(context.norm, context.classes)
        if self.mode == "strict":
            return phases, []
        quick = [replace(phase, precision="bf16") for phase in phases]
        finish = APGD(loss=self._loss(context.classes), targets=min(self.targets, FINISH_TARGETS), steps=self.finish)
        why = f"float32 finish of {self.finish} steps a target"
        return [*quick, Phase(finish, "finish", restart=1, why=why)], []

    def _deterministic(self, norm: str, classes: int) -> list[Phase]:
        l1, plus, fast = norm == "l1", self.version == "plus", self.mode == "fast"
        starts = 5 if l1 or plus else 1
        targeted = APGD(
            loss=self._loss(classes),
            targets=min(self.targets, 5 if l1 else self.targets),
            steps=self.steps,
            give_up=fast,
        )
        reason = "towards each of the likeliest other classes"
        if classes < 4:
            reason += f"; the DLR loss needs 4 classes, here are {classes}: difference of logits"
        first = _starts(APGD(steps=self.steps), "apgd-ce", starts, "the cheapest strong attack")
        apgd_t = Phase(targeted, "apgd-t", why=reason)
        fab_t = Phase(
            FAB(
                targeted=True,
                targets=self.targets,
                steps=self.steps,
                patience=PATIENCE[norm] if fast else 0,
            ),
            "fab-t",
            why="for examples near the boundary that ascent steps over",
        )
        windows = Square(queries=self.queries, give_up=fast)
        square = Phase(windows, "square", why="without gradients, lest these mislead")
        if not plus:
            return [*first, apgd_t, fab_t, square]
        dlr = APGD(loss="dlr" if classes >= 3 else "margin", steps=self.steps)
        fab = FAB(candidates=classes - 1, steps=self.steps, restarts=5)
        near = Phase(fab, "fab", why="towards the nearest of all classes")
        return [*first, *_starts(dlr, "apgd-dlr", 5, "a loss without a scale"), near, square, apgd_t, fab_t]

    def _rand(self, context: AttackContext) -> list[Phase]:
        draws = context.oracle.draws if context.oracle.draws > 1 else EOT
        why = f"gradients averaged over {draws} passes; an example counts when it fools most of {draws} more"
        dlr = APGD(loss="dlr" if context.classes >= 3 else "margin", steps=self.steps)
        return [
            Phase(APGD(steps=self.steps), "apgd-ce", why=why, draws=draws),
            Phase(dlr, "apgd-dlr", why=why, draws=draws),
        ]

    def _loss(self, classes: int) -> Literal["dlr-targeted", "margin-targeted"]:
        return "dlr-targeted" if classes >= 4 else "margin-targeted"


def _starts(search: APGD, name: str, n: int, why: str) -> list[Phase]:
    first = Phase(search, name, why=why)
    return [first, *(Phase(search, f"{name}+{r}", restart=r - 1, why="from another start") for r in range(2, n + 1))]
