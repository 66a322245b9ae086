"""An undefended network, a teacher and a distilled student, and what is attacked of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unshaken.attack.engine.base import BudgetedAttack
from unshaken.attack.engine.gradient_masking import gradient_sizes
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.carlini_wagner import CarliniWagner
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.part import Condition
from unshaken.core.progress import track
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.losses.distillation import Distillation
from unshaken.harden.recipes.losses.temperature import Temperature
from unshaken.papers.context import Context
from unshaken.papers.networks import plan_training
from unshaken.papers.outcomes import evaluated
from unshaken_papers.fgsm_cw_distillation import (
    GRID,
    PLAIN,
    RADII,
    SMALL,
    STUDENT,
    TEACHER,
    UNBOUNDED,
    DistillationPaper,
)

STEPS = 20
"""Steps of PGD; its step size is 2.5 radii over these."""


def run(paper: DistillationPaper, context: Context) -> None:
    """Attack the networks of each seed."""
    for repetition in context.repetitions(paper.seeds):
        run_seed(paper, repetition)


def run_seed(paper: DistillationPaper, context: Context) -> None:
    """Attack each network by all losses, and the student by examples of the undefended one."""
    nets, test = trained(paper, context) if context.model == SMALL else given(paper, context)
    few, fewer = (test[slice(0, n)] for n in (paper.attacked, paper.nearest))
    pgd = PGD(steps=STEPS, rel_stepsize=2.5 / STEPS, loss="margin")
    cw = CarliniWagner(
        steps=paper.cw_steps, search_steps=paper.cw_searches, lr=paper.cw_step_size,
        initial_c=paper.cw_initial_c,
    )  # fmt: skip
    with track("attacks", len(nets)) as task:
        for name, model in nets.items():
            part = context.within(name)
            part.predict("clean", model, test)
            gradients(part, model, few)
            attack(part, "fgsm", FGSM(), model, few, GRID)
            attack(part, "fgsm-tau", FGSM(temperature=paper.temperature), model, few, RADII)
            attack(part, "fgsm-margin", FGSM(loss="margin"), model, few, RADII)
            attack(part, "pgd-margin", pgd, model, few, RADII)
            attack(part, "unbounded", PGD(steps=5 * STEPS, rel_stepsize=2.5 / STEPS), model, few, [UNBOUNDED])
            if name != TEACHER:
                evaluate(part, cw, model, fewer, [Condition(part.id("cw"), cw.info.name, norm="l2")])
            task.advance()
        for eps in RADII:
            context.attack(
                f"{STUDENT}.transfer.{eps:g}", nets[STUDENT], pgd, few, norm="linf", eps=eps, seed=context.seed,
                source=nets[PLAIN],
            )  # fmt: skip


def trained(paper: DistillationPaper, context: Context) -> tuple[Mapping[str, Classifier], Batch]:
    """The three networks, and test images."""
    parts, t = context.datasets.parts(paper.train, paper.test), paper.temperature

    def net(name: str, recipes: Sequence[Recipe], epochs: int, number: int) -> Classifier:
        seed = 3 * context.seed + number
        training = plan_training(epochs, seed, batch_size=128, lr=paper.lr, held_out=10, check_images=2)
        return context.net(name, SMALL, parts.training, training, recipes).model

    plain = net(PLAIN, [], paper.epochs, 0)
    teacher = net(TEACHER, [Temperature(temperature=t)], paper.longer, 1)
    student = net(STUDENT, [Distillation(teacher=teacher, temperature=t)], paper.longer, 2)
    return {PLAIN: plain, TEACHER: teacher, STUDENT: student}, parts.testing.batch()


def given(paper: DistillationPaper, context: Context) -> tuple[Mapping[str, Classifier], Batch]:
    """Two networks of the user's own, named `UNDEFENDED|DISTILLED`, and images.

    Raises:
        ParameterError: not two are named.
        DataError: there are no labelled images.
    """
    plain, student = context.load_models(2, "an undefended and a distilled network", "run:plain|run:distilled")
    images = context.datasets.stratified(None, paper.test, context.seed, view=plain.view)
    return {PLAIN: plain, STUDENT: student}, images.batch()


def gradients(context: Context, model: Classifier, batch: Batch) -> None:
    """Write the largest entry of the cross-entropy's gradient by each image, and the first logit less the second."""
    if context.has("clean", "gradients"):
        return
    with evaluating(model):
        oracle = Oracle(model, limit=250)
        top = oracle.exact(batch.images).topk(2, dim=1).values
        largest = gradient_sizes(oracle, batch)
    columns = {"id": list(batch.ids), "largest": largest, "gap": top[:, 0] - top[:, 1]}
    context.write("gradients", "clean", columns)


def attack(
    context: Context, label: str, method: BudgetedAttack, model: Classifier, batch: Batch, radii: Sequence[float]
) -> None:
    """Write rows of an attack under each radius, linf; what it finds at a smaller one counts at the larger ones."""
    conditions = [Condition(context.id(f"{label}.{e:g}"), method.info.name, eps=e, norm="linf") for e in radii]
    evaluate(context, method, model, batch, conditions)


def evaluate(
    context: Context, method: BudgetedAttack, model: Classifier, batch: Batch, conditions: Sequence[Condition]
) -> None:
    """Write rows of an attack, unless those of all conditions are there."""
    if not all(context.run.has_rows("outcomes", c.id, 0) for c in conditions):
        context.keep(evaluated(conditions, method, model, batch, context.seed))
