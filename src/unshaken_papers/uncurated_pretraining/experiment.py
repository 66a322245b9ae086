"""Networks of four arms for each seed, and what probes of their frozen features answer."""

from __future__ import annotations

import torch

from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.harden.recipes.pretraining.swav import SwAV
from unshaken.measure.retrieval import copy_precision
from unshaken.papers.context import Context
from unshaken.papers.networks import plan_training, untrained
from unshaken.tasks.features.probes import fit_linear_probe, frozen_features
from unshaken.tasks.features.transforms import unit
from unshaken_papers.uncurated_pretraining import (
    ARMS,
    RANDOM,
    SUPERVISED,
    UNCURATED,
    UncuratedPretrainingPaper,
)
from unshaken_papers.uncurated_pretraining.images import Images, draw_pool, read_images
from unshaken_papers.uncurated_pretraining.nets import StridedMean

AREA, SMALL_AREA = 0.3, 0.1
"""Of crops of small images, larger than those of photos."""


def run(paper: UncuratedPretrainingPaper, context: Context) -> None:
    """Read all images, then train and probe every arm in each seed.

    Raises:
        ParameterError: a model of the user's own is given.
    """
    context.refuse_model(type(paper).model, "take frozen_features and fit_linear_probe for your own network")
    images = read_images(paper, context)
    with track("uncurated-pretraining", paper.seeds * len(ARMS)) as task:
        for part in context.repetitions(paper.seeds):
            for arm in ARMS:
                if not part.has(f"{arm}.copies", "copies"):
                    evaluate(part.within(arm), network(paper, part, images, arm), images)
                task.advance(1)


def network(paper: UncuratedPretrainingPaper, context: Context, images: Images, arm: str) -> Classifier:
    """The network of an arm; all have learned from as many images."""
    pool = draw_pool(images, paper.images, context.seed)
    curated = images.curated.stratified(paper.images, context.seed)
    if arm == RANDOM:
        return untrained(StridedMean, curated, context.seed).eval()
    data = pool if arm == UNCURATED else curated
    epochs = max(1, round(paper.epochs * len(pool) / len(data)))
    swav = SwAV(
        prototypes=paper.prototypes, projected=32, hidden=64, area=AREA, small_area=SMALL_AREA, seed=context.seed
    )
    options = {"batch_size": paper.batch, "held_out": 1, "check_images": 1}
    if arm == SUPERVISED:
        training = plan_training(epochs, context.seed, lr=0.1, **options)
        return context.net(arm, StridedMean, data, training, ["crop-flip"]).model
    training = plan_training(epochs, context.seed, lr=0.3, warmup=0.1, weight_decay=1e-6, **options)
    return context.net(arm, StridedMean, data, training, [swav]).model


def evaluate(context: Context, model: Classifier, images: Images) -> None:
    """Fit a probe to each set and ask it every test of the set; then look for originals of copies."""
    for name, probed in images.probed.items():
        features = frozen_features(model, probed.training.images, cache=False)
        probe = fit_linear_probe(features, probed.training.labels.numpy())
        for test, data in probed.tests.items():
            right = probe.predict(frozen_features(model, data.images, cache=False)) == data.labels.numpy()
            context.write("answers", f"{name}-{test}", {"id": list(data.ids), "correct": right.tolist()})
    database = unit(frozen_features(model, images.photos.images, cache=False))
    ids, values = list[str](), list[float]()
    for edit, copies in images.copies.items():
        asked = unit(frozen_features(model, copies, cache=False))
        values += copy_precision(asked @ database.T, torch.arange(len(copies)).numpy()).tolist()
        ids += [f"{name} {edit}" for name in images.photos.ids[: len(copies)]]
    context.write("copies", "copies", {"id": ids, "precision": values})
