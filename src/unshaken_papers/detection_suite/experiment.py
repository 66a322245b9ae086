"""Networks that never see two classes of their data, and all scores of abnormality from one pass over each set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.attack.engine.base import Attack
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.data.arrays import InMemory
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.fitting import Shares
from unshaken.detect.engine.fitting import fit as fit_detectors
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.detection_suite import CORRUPTED, FAR, NEAR, NOISE, NORMAL, SCORES, DetectionSuitePaper

UNSEEN = 2
"""Classes, the last ones, that are never shown."""
EPS = 8 / 255
ATTACKS: Mapping[str, Attack[Any]] = {"fgsm": FGSM(), "pgd": PGD(steps=10, rel_stepsize=0.25)}


def run(paper: DetectionSuitePaper, context: Context) -> None:
    """Train, fit and score for each seed."""
    train, sets = read(paper, context)
    with track("scores", paper.seeds) as task:
        for seed in context.seeds(paper.seeds):
            part = context.within(f"seed{seed}")
            training = plan_training(paper.epochs, seed, lr=0.2, nesterov=True, smoothing=0.05, held_out=1)
            model = part.net("net", context.model, train, training, [CropFlip(pad=0)]).model
            score_all(paper, part, model, train, sets, seed)
            task.advance()


def read(paper: DetectionSuitePaper, context: Context) -> tuple[Split, dict[str, Batch]]:
    """The training images without the last two classes, and the test sets by name.

    Raises:
        DataError: the data is absent, or has too few classes or images.
    """
    parts = context.datasets.parts(paper.train, None)
    shown = parts.training.classes - UNSEEN
    if shown < 2:
        raise DataError(f"data {context.data!r} has {shown + UNSEEN} classes: four or more are needed, two never shown")
    is_known = parts.testing.labels < shown
    normal, near = parts.testing[is_known].batch()[: paper.images], parts.testing[~is_known].batch()[: paper.images]
    if min(len(normal), len(near)) < 8:
        raise DataError(f"data {context.data!r}: {len(normal)} normal and {len(near)} unseen test images are too few")
    noise = SampleRng.of(context.seed, NOISE, normal.ids).uniform(*normal.images.shape[1:])
    sets = {NORMAL: normal, NEAR: near, NOISE: normal.with_images(noise)}
    for name in FAR:
        if (found := context.datasets.of_other_kind(name, normal, paper.images)) is not None:
            sets[name] = found
    for name, severity in CORRUPTED.items():
        sets[name] = find_method(name).cls().apply(normal, severity, context.seed)
    train = parts.training[parts.training.labels < shown]
    return Split(train.images, train.labels, train.ids, shown), sets


def score_all(
    paper: DetectionSuitePaper, context: Context, model: Classifier, train: Split, sets: Mapping[str, Batch], seed: int
) -> None:
    """Rows of all scores on all sets, attacked images among them.

    Args:
        paper: the sizes.
        context: with the seed as its prefix.
        model: the network.
        train: what it learned from, and the scores are fitted to.
        sets: name to images.
        seed: of fits and attacks.
    """
    left = [name for name in (*sets, *ATTACKS) if not context.has(name, "scores")]
    if not left:
        return
    texts = [f"knn:k={paper.neighbours}" if name == "knn" else name for name in SCORES]
    data = InMemory(train.images, train.labels, classes=[str(c) for c in range(train.classes)])
    shares = Shares(keep=5000, tune=500, calibration=0.02)
    detectors = fit_detectors(model, data, texts, shares=shares, seed=seed, device=str(device_of(model))).detector_set
    normal = sets[NORMAL]
    for name in left:
        if name in sets:
            write(context, name, detectors, sets[name])
            continue
        found = context.search(model, ATTACKS[name], normal, norm="linf", eps=EPS, seed=seed)
        moved = normal.with_images((found.images * 255).round() / 255)  # what a user would receive
        context.predict(f"{name}.outcome", model, normal, examples=found)
        write(context, name, detectors, moved)


def write(context: Context, name: str, detectors: DetectorSet, batch: Batch) -> None:
    """Rows of one set: every other image serves to choose a score by."""
    own = {"id": batch.ids, "split": ["choose" if i % 2 else "judge" for i in range(len(batch))]}
    scores = zip(SCORES, detectors.score(batch).values(), strict=True)
    context.write("scores", name, [{**own, "detector": detector, "score": s.double()} for detector, s in scores])
