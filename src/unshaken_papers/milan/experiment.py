"""A network that learns from marked pictures, its units described, and those called a mark taken out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.explain import Subject
from unshaken.explain.units.ablation import Unit, ablating
from unshaken.explain.units.describer import ConceptDescriber
from unshaken.explain.units.edit import correct, edit_units, random_sets
from unshaken.explain.units.exemplars import probe
from unshaken.explain.units.milan import MILAN
from unshaken.explain.units.pictures import ImageReader
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.networks import plan_training
from unshaken_papers.milan import DRAWS, MARK, SMALL, MilanPaper
from unshaken_papers.milan.describing import describe
from unshaken_papers.milan.marks import probing_set, random_marks, stamped, training_marks

conv_50k = partial(ConvBlocks, widths=(16, 32, 32, 48, 48), strides=(2, 1, 2, 1, 2))
"""49,658 parameters and 176 units for colour images of ten classes."""
LAYERS = tuple(f"body.{i}" for i in range(5))


def run(paper: MilanPaper, context: Context) -> None:
    """Do the same for each seed.

    Raises:
        ParameterError: a model is given; the experiment trains its own.
    """
    context.refuse_model(SMALL, "for your own there is `unshaken explain milan`")
    parts = context.datasets.parts(paper.images, paper.tested, paper.choosing)
    with track("milan", 2 * paper.seeds) as task:
        for part in context.repetitions(paper.seeds):
            model = edit(paper, part, parts)
            task.advance()
            describe(paper, part, model, LAYERS)
            task.advance()


def edit(paper: MilanPaper, context: Context, parts: Parts) -> Classifier:
    """Train, describe, take out and test; the trained network, which is left as it is."""
    seed, classes, train = context.seed, parts.training.classes, parts.training
    marked = replace(train, images=stamped(train.images, training_marks(train.labels, seed), classes))
    options = {"lr": 0.05, "schedule": "cosine", "held_out": 1, "check_images": 2}
    model = context.net("net", conv_50k, marked, plan_training(paper.epochs, seed, **options)).model
    tests = {
        "clean": parts.testing.batch(),
        "right": with_marks(parts.testing, parts.testing.labels),
        "random": with_marks(parts.testing, random_marks(len(parts.testing), classes, seed)),
    }
    for name, batch in tests.items():
        context.predict(name, model, batch)
    if context.has("curve", "curve"):
        return model
    other = with_marks(parts.choosing, random_marks(len(parts.choosing), classes, seed + 1))
    units, called = described(paper, context, model, train)
    ordered, curve = choose(paper, model, called, other, tests["random"])
    count = max(range(len(curve)), key=curve.__getitem__)
    without(context, model, f"without{count}", ordered[:count], tests)
    for i, chosen in enumerate(random_sets(units, count, DRAWS, seed)):
        without(context, model, f"set{i}", chosen, {"random": tests["random"]})
    context.write("curve", "curve", [{"id": str(n), "count": n, "accuracy": a} for n, a in enumerate(curve)])
    return model


def with_marks(split: Split, marks: Tensor) -> Batch:
    """Images with the glyphs of some classes."""
    return replace(split, images=stamped(split.images, marks, split.classes)).batch()


def described(paper: MilanPaper, context: Context, model: Classifier, data: Split) -> tuple[list[Unit], list[Unit]]:
    """All units, and those that are called a mark; their descriptions become rows."""
    concepts = probing_set(data, paper.probes, context.seed)
    subject = Subject({"net": model}, concepts.dataset, range(len(concepts.dataset)), batch=200)
    found, _ = probe(subject, LAYERS)
    describer, reader = ConceptDescriber(concepts), ImageReader(subject)
    descriptions = {layer: MILAN().describe(one, describer, subject, reader) for layer, one in found.items()}
    words = {Unit(layer, i): one for layer, several in descriptions.items() for i, one in enumerate(several)}
    rows = []
    for unit, one in words.items():
        named = {"description": one.description, "score": one.score, "marked": one.description == MARK}
        rows.append({"id": str(unit), "layer": unit.layer, "unit": unit.unit, **named})
    context.write("units", "units", rows)
    return list(words), [unit for unit, one in words.items() if one.description == MARK]


def choose(
    paper: MilanPaper, model: Classifier, called: list[Unit], other: Batch, judged: Batch
) -> tuple[tuple[Unit, ...], list[float]]:
    """Units in the order in which they are taken out, and accuracy without the first 0, 1, ... on other images."""
    if not called:
        return (), [float(correct(model, other).mean())]
    found = edit_units(model, called, other, other, judged, most=paper.most)
    return found.ordered, list(found.curve)


def without(
    context: Context, model: Classifier, label: str, units: list[Unit] | tuple[Unit, ...], tests: dict[str, Batch]
) -> None:
    """Outcome rows of the network without some units."""
    with ablating(model, units):
        for name, batch in tests.items():
            context.predict(f"{label}.{name}", model, batch)
