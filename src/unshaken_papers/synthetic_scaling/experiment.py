"""Nested real and generated sets, learned for as many updates, and what a network makes of the generated ones."""

from __future__ import annotations

import torch

from unshaken.core.errors import ParameterError
from unshaken.core.progress import track
from unshaken.detect.engine.anatomy import penultimate
from unshaken.generate.class_gaussian import ClassGaussian, ClassGaussianSettings, fit_class_gaussian
from unshaken.measure import diversity
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.networks import plan_training
from unshaken_papers.synthetic_scaling import COLD, OWN, POOR, POOR_IMAGES, REAL, SyntheticScalingPaper, source_of

RECOGNISER = "small-cnn"
"""Of another architecture than the networks that are compared."""


def run(paper: SyntheticScalingPaper, context: Context) -> None:
    """Every source and size, in every seed."""
    if sorted({*paper.sizes}) != list(paper.sizes) or not {OWN, COLD} <= {*paper.temperatures}:
        raise ParameterError(f"sizes {paper.sizes} must rise, and temperatures hold {COLD} and {OWN}")
    parts = context.datasets.parts(paper.fitted + paper.sizes[-1], paper.test, paper.choosing)
    with track("scaling", paper.seeds * (1 + len(paper.temperatures))) as task:
        for repetition in context.repetitions(paper.seeds):
            pool, rest = parts.training.cut(min(paper.sizes[-1], len(parts.training) // 2), repetition.seed)
            generator = fit_generator(paper, rest, repetition.seed)
            made = {t: generate(generator, paper, t, pool, repetition.seed) for t in paper.temperatures}
            for name, data in {REAL: pool, **{source_of(t): data for t, data in made.items()}}.items():
                for size in paper.sizes:
                    learn(paper, repetition, f"{name}-{size}", data.first(size), parts)
                task.advance()
            for name, size in (("few", paper.sizes[0]), ("many", paper.sizes[-1])):
                learn(paper, repetition, f"mix-{name}", joined(pool.first(size), made[OWN]), parts)
            recognise(paper, repetition, pool, made[OWN])


def fit_generator(paper: SyntheticScalingPaper, data: Split, seed: int) -> ClassGaussian:
    """A generator of all classes, of which the last ones are shown to it in few images."""
    place = torch.zeros(len(data), dtype=torch.int64)
    for k in range(data.classes):
        own = data.labels == k
        place[own] = torch.arange(int(own.sum()))
    kept = data[(data.labels < data.classes - POOR) | (place < POOR_IMAGES)]
    settings = ClassGaussianSettings(components=paper.components, clusters=paper.clusters)
    return fit_class_gaussian(kept.images, kept.labels, settings, seed=seed)


def generate(generator: ClassGaussian, paper: SyntheticScalingPaper, temperature: int, like: Split, seed: int) -> Split:
    """As many images as the largest set has, classes in turn: the first ones of it are the smaller sets."""
    labels = torch.arange(paper.sizes[-1]) % like.classes
    images = generator.sample(len(labels), labels=labels, guidance=100 / temperature, seed=seed, batch_size=512)
    return Split.of(images.mul(255).round().byte(), labels, classes=like.classes)


def joined(one: Split, other: Split) -> Split:
    """Join two sets of the same classes."""
    images, labels = torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels])
    return Split.of(images, labels, classes=one.classes)


def learn(paper: SyntheticScalingPaper, context: Context, name: str, data: Split, parts: Parts) -> None:
    """A network for as many updates as all others, and its answers."""
    epochs = max(1, round(paper.shown / len(data)))
    training = plan_training(epochs, context.seed, lr=0.05, batch_size=paper.batch_size, held_out=1)
    model = context.net(name, context.model, data, training).model
    context.predict(f"{name}.test", model, parts.testing.batch())
    context.predict(f"{name}.choosing", model, parts.choosing.batch())


def recognise(paper: SyntheticScalingPaper, context: Context, pool: Split, made: Split) -> None:
    """Write rows of a network that learned real images: its answers for generated ones, and how varied these are."""
    epochs = max(1, round(paper.shown / 2 / len(pool)))
    training = plan_training(epochs, context.seed, lr=0.05, batch_size=paper.batch_size, held_out=1)
    model = context.net("recogniser", RECOGNISER, pool, training).model
    if context.has("generated", "diversity"):
        return
    features, predicted = penultimate(model, made.images.float() / 255, 256)
    context.write("recognised", "generated", {"id": list(made.ids), "label": made.labels, "predicted": predicted})
    spread = diversity(features.numpy(), made.labels.numpy()).classes
    columns = {"id": [str(k) for k in spread], "label": list(spread), "diversity": list(spread.values())}
    context.write("diversity", "generated", columns)
