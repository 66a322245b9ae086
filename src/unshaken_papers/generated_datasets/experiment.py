"""Networks that learn real images, generated ones or both, shown shifted test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.generate.class_gaussian import ClassGaussianSettings, fit_class_gaussian
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.generated_datasets import AUGMENTED, BOTH, MADE, PHOTOS, REAL, TWICE, GeneratedDatasetsPaper
from unshaken_papers.generated_datasets.styles import SHIFTS, STYLES

AUGMENTATION = ("crop-flip:pad=2",)


def baseline_epochs(epochs: int) -> list[int]:
    """Epochs of further networks that learn real images: the line of effective robustness goes through them."""
    return sorted({1, max(1, epochs // 4), max(1, epochs // 2)} - {epochs, 2 * epochs})


def run(paper: GeneratedDatasetsPaper, context: Context) -> None:
    """All trainings of every seed."""
    parts = context.datasets.parts(paper.images + paper.corpus, paper.test)
    test = shifted(parts.testing.batch(), context.seed)
    with track("generated datasets", paper.seeds) as task:
        for repetition in context.repetitions(paper.seeds):
            real, others = parts.training.cut(min(paper.images, len(parts.training) // 2), repetition.seed)
            broad = generated(paper, others, list(STYLES), len(real) + paper.test, repetition.seed)
            broad, made = broad[: len(real)], broad[len(real) :]
            narrow = generated(paper, real, ["photo"], len(real), repetition.seed)
            double = 2 * paper.epochs
            trainings: dict[str, tuple[Split, int, Sequence[str]]] = {
                REAL: (real, paper.epochs, ()),
                MADE: (broad, paper.epochs, ()),
                BOTH: (joined(real, broad), paper.epochs, ()),
                TWICE: (real, double, ()),
                AUGMENTED: (real, double, AUGMENTATION),
                PHOTOS: (joined(real, narrow), paper.epochs, ()),
                **{f"baseline-{e}": (real, e, ()) for e in baseline_epochs(paper.epochs)},
            }
            for name, (data, epochs, recipes) in trainings.items():
                learn(repetition, name, data, epochs, recipes, test)
            model = learn(repetition, REAL, real, paper.epochs, (), {})
            repetition.predict(f"{REAL}.made", model, made.batch())
            task.advance()


def shifted(batch: Batch, seed: int) -> dict[str, Batch]:
    """Clean test images, and each shift of them."""
    found = {"clean": batch}
    for name, shift in SHIFTS.items():
        rng = SampleRng.of(seed, f"generated-datasets-{name}", batch.ids)
        found[name] = batch.with_images(shift(batch.images, rng))
    return found


def generated(paper: GeneratedDatasetsPaper, data: Split, styles: Sequence[str], n: int, seed: int) -> Split:
    """Images by Gaussians of every class in every style, classes and styles in turn.

    Args:
        paper: has the number of components.
        data: what the generator sees, in each of the styles.
        styles: names in `STYLES`.
        n: how many.
        seed: of the draws.
    """
    originals = data.batch().images
    whole = torch.cat([STYLES[name](originals).mul(255).round().byte() for name in styles])
    kinds = torch.cat([data.labels + data.classes * place for place in range(len(styles))])
    settings = ClassGaussianSettings(components=paper.components)
    generator = fit_class_gaussian(whole, kinds, settings, seed=seed)
    wanted = torch.arange(n) % (data.classes * len(styles))
    images = generator.sample(n, labels=wanted, seed=seed, batch_size=512)
    return Split.of(images.mul(255).round().byte(), wanted % data.classes, classes=data.classes)


def joined(one: Split, other: Split) -> Split:
    """Join two sets of the same classes."""
    images, labels = torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels])
    return Split.of(images, labels, classes=one.classes)


def learn(
    context: Context, name: str, data: Split, epochs: int, recipes: Sequence[str], test: Mapping[str, Batch]
) -> Classifier:
    """Train a network, and show it test images."""
    training = plan_training(epochs, context.seed, lr=0.05, batch_size=64, held_out=1)
    model = context.net(name, context.model, data, training, recipes).model
    for shift, batch in test.items():
        context.predict(f"{name}.{shift}", model, batch, method=shift)
    return model
