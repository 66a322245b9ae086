"""Five small networks (or the user's own) that vote in four ways, each vote attacked, carelessly and honestly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.progress import track
from unshaken.harden.defences.crossmax import CrossMax, crossmax, tied
from unshaken.harden.engine.adaptive import against
from unshaken.harden.engine.ensemble import ensemble, members_of
from unshaken.papers.context import Context
from unshaken.papers.networks import plan_training, together
from unshaken_papers.crossmax_ensemble import EPS, FIVE, VOTES, CrossMaxPaper
from unshaken_papers.crossmax_ensemble.system import system_of_seed

COUNT = 5
RULES = {
    "mean": CrossMax(class_max=False, predictor_max=False, aggregate="mean"),
    "crossmax": CrossMax(),
    "median": CrossMax(class_max=False, predictor_max=False),
    "no-second": CrossMax(predictor_max=False),
}


def run(paper: CrossMaxPaper, context: Context) -> None:
    """Do the same with the ensemble of each seed."""
    own = own_group(paper, context) if context.model != FIVE else None
    for seed in context.seeds(paper.seeds):
        model, images = trained_group(paper, context, seed) if own is None else own
        measure(paper, context.within(f"seed{seed}"), model, images, seed)
        if own is None:
            system_of_seed(paper, context.within(f"seed{seed}.system"), seed)


def trained_group(paper: CrossMaxPaper, context: Context, seed: int) -> tuple[Classifier, Batch]:
    """Five networks, each with training images of its own, and test images."""
    data, nets = context.datasets.read("train"), []
    for member in range(COUNT * seed, COUNT * (seed + 1)):
        part = data.drawn(paper.images, np.random.Generator(np.random.Philox(key=[member, 0x63726F73])))
        training = plan_training(paper.epochs, member, held_out=100, check_images=10)
        nets.append(context.net(f"member-{member}", "strided-cnn", part, training))
    images = context.datasets.read("test").block(paper.photos, context.seed).batch()
    return together(nets, name=FIVE).model, images


def own_group(paper: CrossMaxPaper, context: Context) -> tuple[Classifier, Batch]:
    """The user's own networks, named as `A|B|C`, the same for every seed.

    Raises:
        ParameterError: fewer than three networks are named.
    """
    specs = [s.strip() for s in context.model.split("|")]
    if len(specs) < 3:
        raise ParameterError(
            f"crossmax-ensemble: model {context.model!r}: name three networks or more, as in "
            "'run:A|run:B|run:C'; a median of fewer decides nothing"
        )
    model = ensemble([context.load_model(s) for s in specs])
    return model, context.datasets.stratified(None, paper.photos, view=model.view).batch()


def measure(paper: CrossMaxPaper, context: Context, model: Classifier, batch: Batch, seed: int) -> None:
    """Write the rows of the ensemble of one seed."""
    guards: dict[str, Classifier] = {vote: RULES[vote].wrap(model) for vote in VOTES}
    search = PGD(steps=paper.steps, rel_stepsize=0.1)
    with track(f"CrossMax, seed {seed}", 1 + 5 * len(EPS)) as task:
        members = {f"member-{i}": m for i, m in enumerate(members_of(model))}
        for name, one in {**guards, **members}.items():
            context.predict(f"{name}.clean", one, batch)
        gradients(context, "clean", model, batch)
        task.advance()
        for label, eps in EPS.items():
            for maker in VOTES:
                attack(context, model, guards, maker, search, batch, label, eps, seed)
                task.advance()
            if not context.has(f"adaptive-{label}.adaptive-linf-{eps:.6g}"):
                found = against(CrossMax(), model, batch, search, eps=eps, seed=seed)
                context.keep(found.parts(context.id(f"adaptive-{label}")))
            task.advance()


def attack(
    context: Context, model: Classifier, guards: dict[str, Classifier], maker: str, search: PGD, batch: Batch,
    label: str, eps: float, seed: int,
) -> None:  # fmt: skip
    """Examples made on one vote, shown to itself; those of mean and CrossMax to each other too."""
    judges = ("mean", "crossmax") if maker in ("mean", "crossmax") else (maker,)
    if all(context.has(f"{judge}.on-{maker}-{label}") for judge in judges):
        return
    found = context.search(guards[maker], search, batch, norm="linf", eps=eps, seed=seed)
    if maker == "crossmax":
        gradients(context, f"on-crossmax-{label}", model, batch.with_images(found.images))
    for judge in judges:
        context.predict(f"{judge}.on-{maker}-{label}", guards[judge], batch, examples=found)


def gradients(context: Context, label: str, model: Classifier, batch: Batch) -> None:
    """Write how many logits CrossMax lets a gradient through to, and whether classes tie."""
    if not context.has(label, "logit_gradients"):
        context.write("logit_gradients", label, {"id": list(batch.ids), **reached(model, batch)})


def reached(model: Classifier, batch: Batch) -> dict[str, Any]:
    """Count of each image's logits, of those that get a gradient of CrossMax's cross-entropy, and of ties.

    Args:
        model: an ensemble.
        batch: labelled images.
    """
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model.net.predictors(x) for x in torch.split(batch.images, 256)])  # type: ignore[operator]
    z = logits.detach().requires_grad_(True)
    with torch.enable_grad():
        loss = F.cross_entropy(crossmax(z), required(batch.labels), reduction="sum")
        (slope,) = torch.autograd.grad(loss, z)
    count = (slope != 0).flatten(1).sum(1)
    ties = tied(crossmax(logits))
    return {"logits": z[0].numel(), "reached": count, "tied": ties}
