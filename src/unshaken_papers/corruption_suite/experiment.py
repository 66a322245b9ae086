"""Every corruption at every severity, shown to networks that were trained with and without noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.papers.context import Context
from unshaken.papers.networks import plan_training
from unshaken_papers.corruption_suite import JUDGED, NAMES, NETS, OTHERS, SEVERITIES, CorruptionSuitePaper


def run(paper: CorruptionSuitePaper, context: Context) -> None:
    """Train and test every network of every seed, then the pretrained ones."""
    parts = context.datasets.parts(paper.images, paper.tested)
    nets: dict[str, Classifier] = {}
    for seed in context.seeds(paper.seeds):
        for name, added in NETS.items():
            label = f"seed{seed}.{name}"
            training = plan_training(paper.epochs, seed, lr=0.1, nesterov=True, held_out=1)
            recipes: list[str | Recipe] = [CropFlip(pad=2), *added]
            nets[label] = context.net(label, context.model, parts.training, training, recipes).model
    show(context, nets, parts.testing.batch(), (*NAMES, *OTHERS), SEVERITIES)
    for place, spec in enumerate(paper.photo_nets if paper.photos else ()):
        model = context.load_model(spec)
        photos = context.datasets.stratified(None, paper.photos, spec=paper.photo_data, view=model.view)
        show(context, {f"photos.{place}": model}, photos.batch(), NAMES, JUDGED)


def show(
    context: Context, nets: Mapping[str, Classifier], batch: Batch, names: Sequence[str], severities: Sequence[int]
) -> None:
    """Outcome rows of networks on clean images and on each corrupted form, which is made once for all of them.

    Args:
        context: of the run.
        nets: label to network.
        batch: clean images.
        names: of the corruptions.
        severities: of each corruption.
    """
    for label, model in nets.items():
        context.predict(f"{label}.clean", model, batch)
    with track("corruptions", len(names) * len(severities)) as task:
        for name in names:
            stressor = find_method(name).cls()
            for severity in severities:
                left = {n: m for n, m in nets.items() if not context.has(f"{n}.{name}-{severity}")}
                if left:
                    changed = stressor.apply(batch, severity, context.seed)
                    for label, model in left.items():
                        context.predict(f"{label}.{name}-{severity}", model, changed, method=name, severity=severity)
                task.advance()
