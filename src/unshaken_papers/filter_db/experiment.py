"""Networks of each seed, trained and not, and what their filters look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product

from torch.nn.functional import avg_pool2d

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.filters.filter_drift import FilterDrift
from unshaken.explain.filters.filter_quality import FilterQuality
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training, untrained
from unshaken_papers.filter_db import CORRUPTIONS, RANDOM, SEVERITY, STRIDES, TRAINED, WIDTHS, FilterDBPaper

BASE = partial(ConvBlocks, widths=WIDTHS, strides=STRIDES)
ATTACKED = 200


def run(paper: FilterDBPaper, context: Context) -> None:
    """Train all networks, compare their filters, then look at the network that is too large."""
    context.refuse_model(paper.model, "unshaken explain filter-quality measures any")
    parts = context.datasets.parts(paper.images, paper.tested)
    other = context.datasets.stratified("train", paper.images, spec=paper.other)
    nets: dict[str, Classifier] = {}
    with track("networks", 2 * paper.seeds) as task:
        for repetition in context.repetitions(paper.seeds):
            for name, model in trained(paper, repetition, parts.training, other, parts.testing).items():
                nets[repetition.id(name)] = model
            task.advance()
        compare(context, nets)
        for repetition in context.repetitions(paper.seeds):
            oversized(paper, repetition, parts.training.stratified(paper.few, context.seed), parts.testing)
            task.advance()


def trained(paper: FilterDBPaper, context: Context, data: Split, other: Split, test: Split) -> Mapping[str, Classifier]:
    """The networks of one seed, the one without training included."""
    training = plan_training(paper.epochs, context.seed, held_out=1, check_images=1)
    recipes = {"robust": [AdversarialTraining(steps=2, rel_stepsize=0.5)]}
    found = {RANDOM: untrained(BASE, data, context.seed)}
    for name in TRAINED:
        own = other if name == "other" else data
        found[name] = context.net(name, BASE, own, training, recipes.get(name, [])).model
    for name in ("standard", "robust"):
        context.predict(f"{name}.clean", found[name], test.batch())
        attacked, pgd = test.first(ATTACKED).batch(), PGD(steps=10, rel_stepsize=0.25)
        context.attack(f"{name}.pgd", found[name], pgd, attacked, norm="linf", eps=8 / 255, seed=context.seed)
    for name, model in found.items():
        layers(context, name, model)
    return found


def layers(context: Context, name: str, model: Classifier) -> None:
    """Rows of the quality of each layer of a network."""
    if context.has(name, "layers"):
        return
    rows = FilterQuality().find(Subject({name: model}, seed=context.seed)).rows
    ratio = [h / t for h, t in zip(rows["entropy"], rows["random_entropy"], strict=True)]
    columns = {key: rows[key] for key in ("filters", "sparsity", "entropy", "orthogonality", "degenerate")}
    ids = [str(i) for i in range(len(ratio))]
    context.write("layers", name, {"id": ids, "layer": list(range(len(ids))), "ratio": ratio, **columns})


def compare(context: Context, nets: Mapping[str, Classifier]) -> None:
    """Rows of the drift of every pair of networks, as many filters of each, in their common basis."""
    if context.has("all", "drifts"):
        return
    matrix = FilterDrift(resamples=20).find(Subject(nets, seed=context.seed)).arrays["drift"].tolist()
    rows = []
    for (i, one), (j, other) in product(enumerate(nets), repeat=2):
        if j < i:
            rows.append({"id": f"{one}|{other}", "one": one, "other": other, "drift": matrix[i][j]})
    context.write("drifts", "all", rows)


def oversized(paper: FilterDBPaper, context: Context, data: Split, test: Split) -> None:
    """A base network, a wide one trained for long with a strong decay, and a narrow one trained like the wide one."""
    few, shown = halved(data), halved(test).batch()
    wide = partial(ConvBlocks, widths=tuple(paper.wider * w for w in WIDTHS), strides=STRIDES)
    plans = {
        "base": (BASE, paper.short, 5e-4),
        "narrow": (BASE, paper.longer * paper.short, paper.decay),
        "wide": (wide, paper.longer * paper.short, paper.decay),
    }
    forms = {"clean": shown}
    for name, (arch, epochs, decay) in plans.items():
        training = plan_training(epochs, context.seed, held_out=1, check_images=1, weight_decay=decay)
        model = context.net(name, arch, few, training).model
        layers(context, name, model)
        context.predict(f"{name}.clean", model, shown)
        for kind in CORRUPTIONS:
            if not context.has(f"{name}.{kind}"):
                if kind not in forms:
                    forms[kind] = find_method(kind).cls().apply(shown, SEVERITY, context.seed)
                context.predict(f"{name}.{kind}", model, forms[kind], method=kind, severity=SEVERITY)


def halved(data: Split) -> Split:
    """Images of half the side: means of 2 x 2 pixels."""
    return replace(data, images=avg_pool2d(data.images.float(), 2).round().byte())
