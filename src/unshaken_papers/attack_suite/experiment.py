"""Standard and robust networks and masked defences under PGD and AutoAttack, with their cost and their warnings."""

from __future__ import annotations

from collections.abc import Mapping

from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.trust import check_trust
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.models.museum import bit_depth, cold, noise
from unshaken.papers.context import Context
from unshaken.papers.networks import plan_training
from unshaken.papers.outcomes import evaluated
from unshaken.run.adapters import Line, conditions_of
from unshaken_papers.attack_suite import EPS, EXPECTED, MASKED, NETS, WARNINGS, AttackSuitePaper

FEW = 32
"""Images on which warnings are looked for."""
RECIPES: Mapping[str, tuple[str, ...]] = {"standard": (), "robust": (f"n-fgsm:eps={EPS}",)}


def run(paper: AttackSuitePaper, context: Context) -> None:
    """Train and attack the networks of each seed."""
    parts = context.datasets.parts(paper.images, paper.attacked)
    batch = parts.testing.batch()
    with track("attacks", paper.seeds) as task:
        for seed in context.seeds(paper.seeds):
            part = context.within(f"seed{seed}")
            nets: dict[str, Classifier] = {}
            for name, added in RECIPES.items():
                training = plan_training(paper.epochs, seed, lr=0.1, nesterov=True, held_out=1)
                recipes: list[str | Recipe] = [CropFlip(pad=2), *added]
                nets[name] = part.net(name, context.model, parts.training, training, recipes).model
            standard = nets["standard"]
            nets |= {"bit_depth": bit_depth(standard), "cold": cold(standard), "noise": noise(standard)}
            for name, model in nets.items():
                measure(paper, part.within(name), name, model, batch, seed)
            task.advance()


def measure(paper: AttackSuitePaper, context: Context, name: str, model: Classifier, batch: Batch, seed: int) -> None:
    """Rows of one network.

    Args:
        paper: the sizes.
        context: with seed and network as its prefix.
        name: of the network.
        model: the network.
        batch: labelled images.
        seed: of the attacks.
    """
    if name in EXPECTED and not context.has("warnings", "warnings"):
        raised = warnings_of(model, batch[slice(0, FEW)], seed)
        context.write("warnings", "warnings", {"id": list(WARNINGS), "raised": [w in raised for w in WARNINGS]})
    if name not in (*NETS, *MASKED):
        return
    search = PGD(steps=paper.steps, rel_stepsize=0.1)
    context.predict("clean", model, batch)
    for label, early in (("pgd", True), ("pgd-whole", False)):
        context.attack(label, model, search, batch, norm="linf", eps=EPS, seed=seed, early=early)
    ensemble = AutoAttack(steps=paper.steps, queries=paper.queries)
    context.evaluate("autoattack", ensemble, model, batch, eps=[EPS], norm="linf", seed=seed)


def warnings_of(model: Classifier, batch: Batch, seed: int) -> set[str]:
    """Names of the warnings that a model raises, by itself and under AutoAttack.

    Args:
        model: the network.
        batch: a few labelled images.
        seed: of the attack.
    """
    ensemble = AutoAttack(steps=2, queries=1)
    conditions = conditions_of(ensemble, Line("warnings", eps=[EPS]))
    with evaluating(model):
        oracle = Oracle(model)
        found = check_trust(oracle, batch, oracle.exact(batch.images))
    found += [flag for part in evaluated(conditions, ensemble, model, batch, seed) for flag in part.flags]
    return {flag.name for flag in found}
