"""Training images of which some are of no class, a network pretrained on them, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.noisy_labels.pls_lsa import PLSLSA
from unshaken.harden.recipes.pretraining.simclr import SimCLR
from unshaken.labels.engine.noise_detection import detect_by_loss, detect_linearly
from unshaken.models.networks.convolutions import ConvBlocks
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training
from unshaken_papers.web_noise_lsa import ANIMALS, ARMS, CONTROL, WebNoisePaper

CLEAN, OOD, FLIP = "clean", "ood", "flip"
"""Kinds of training images: right, of no class, with the label of another class."""
PIECE = 500


@dataclass(frozen=True)
class NoisySet:
    """Training images, and test images of the classes.

    Args:
        training: with labels of the classes, some of them wrong.
        kinds: of each training image.
        testing: with true labels.
    """

    training: Split
    kinds: NDArray[np.str_]
    testing: Split

    @property
    def share(self) -> float:
        """The share of training images that are of no class, which the experiment takes for known."""
        return float((self.kinds == OOD).mean())


def run(paper: WebNoisePaper, context: Context) -> None:
    """All arms on the animals; the detectors alone on random partitions."""
    train, test = (context.datasets.read(split) for split in ("train", "test"))
    controls = context.within(CONTROL).repetitions(paper.control_seeds)
    with track("web noise", paper.seeds * len(ARMS) + len(controls)) as task:
        for part in context.repetitions(paper.seeds):
            data = noisy_set(paper, train, test, chosen_classes(train), part.seed)
            start = pretrained(paper, part, data)
            for arm in ARMS:
                net = trained(paper, part, data, start, arm)
                part.predict(f"{arm}.test", net.model, data.testing.batch())
                if arm == "alternate":
                    detections(paper, part, data, net.model)
                task.advance()
        for part in controls:
            data = noisy_set(paper, train, test, other_classes(train, part.seed), part.seed)
            detections(paper, part, data, trained(paper, part, data, pretrained(paper, part, data), "alternate").model)
            task.advance()


def chosen_classes(data: Split) -> list[int]:
    """The animals of CIFAR-10; of other data the first three fifths of the classes.

    Raises:
        ParameterError: no class is left for images of none.
    """
    named = [data.names.index(name) for name in ANIMALS if name in data.names]
    found = named if len(named) == len(ANIMALS) else list(range(round(0.6 * data.classes)))
    if len(found) == data.classes:
        raise ParameterError(
            f"web-noise-lsa: all {data.classes} classes of the data would be told apart, and none is left for images "
            "of no class; choose data with more classes"
        )
    return found


def other_classes(data: Split, seed: int) -> list[int]:
    """As many classes, drawn at random, but not the same."""
    rng, chosen = np.random.default_rng(seed), chosen_classes(data)
    found = chosen
    while found == chosen:
        found = sorted(rng.permutation(data.classes)[: len(chosen)].tolist())
    return found


def noisy_set(paper: WebNoisePaper, train: Split, test: Split, classes: list[int], seed: int) -> NoisySet:
    """Images of some classes, of which a share is replaced by images of the others, and another share mislabelled.

    Args:
        paper: the sizes.
        train: all training images.
        test: all test images.
        classes: numbers of those that are to be separated; they are numbered anew.
        seed: of the draws.
    """
    rng, place = np.random.default_rng(seed), {k: i for i, k in enumerate(classes)}
    inside, outside = (np.flatnonzero(np.isin(train.labels, classes) == flag) for flag in (True, False))
    n = min(paper.train, len(inside))
    strangers = min(round(paper.rate * n), len(outside))
    rows = np.concatenate([rng.permutation(inside)[: n - strangers], rng.permutation(outside)[:strangers]])
    kinds = np.array([CLEAN] * (n - strangers) + [OOD] * strangers)
    kinds[: round(paper.flips * n)] = FLIP
    true = np.array([place.get(int(k), -1) for k in train.labels[rows]])
    turned = (true + rng.integers(1, len(classes), n)) % len(classes)
    labels = np.where(kinds == FLIP, turned, np.where(kinds == OOD, rng.integers(0, len(classes), n), true))
    order = np.argsort(rows)
    training = renumbered(train[rows[order]], torch.from_numpy(labels[order]), classes)
    shown = test[torch.isin(test.labels, torch.tensor(classes))].stratified(paper.test, seed)
    testing = renumbered(shown, torch.tensor([place[int(k)] for k in shown.labels]), classes)
    return NoisySet(training, kinds[order], testing)


def renumbered(data: Split, labels: Tensor, classes: list[int]) -> Split:
    """The images under labels that number some of the classes."""
    names = tuple(data.names[k] for k in classes) if data.names else ()
    return Split(data.images, labels, data.ids, len(classes), names)


def build_small(classes: int, channels: int, side: int) -> ConvBlocks:
    """Three convolutions of 16, 32 and 64 channels, each of stride 2: 24,000 parameters."""
    return ConvBlocks(classes, channels, side, widths=(16, 32, 64), strides=(2, 2, 2))


def pretrained(paper: WebNoisePaper, context: Context, data: NoisySet) -> Net:
    """The network after SimCLR on the training images; labels are not used.

    Raises:
        ParameterError: a user's model was named.
    """
    context.refuse_model("small", "its networks are pretrained on the noisy images; choose --data instead")
    training = plan_training(
        paper.pretraining, context.seed, batch_size=256, lr=2e-3, optimizer="adam", schedule="cosine",
        weight_decay=0.0, held_out=2, check_images=2,
    )  # fmt: skip
    return context.net("simclr", build_small, data.training, training, [SimCLR()])


def trained(paper: WebNoisePaper, context: Context, data: NoisySet, start: Net, arm: str) -> Net:
    """The network of an arm, trained on from the pretrained one."""
    recipes: list[Recipe] = [CropFlip()]
    if detectors := ARMS[arm]:
        wrong = np.flatnonzero(data.kinds != CLEAN).tolist() if arm == "oracle" else ()
        recipes = [PLSLSA(alternate=detectors, share=data.share, stage=paper.stage, projected=64, wrong=tuple(wrong))]
    training = plan_training(
        paper.epochs, context.seed, batch_size=64, lr=paper.lr, schedule="cosine", held_out=2, check_images=2
    )
    return context.net(arm, start, data.training, training, recipes)


def detections(paper: WebNoisePaper, context: Context, data: NoisySet, model: Classifier) -> None:
    """Write what both detectors say of each training image, its loss, and how many edges it has."""
    if context.has("scores", "detections"):
        return
    logits, features = stage_features(model, data.training, paper.stage)
    losses = torch.nn.functional.cross_entropy(logits, data.training.labels, reduction="none").double().numpy()
    small, largest = detect_by_loss(losses), detect_by_loss(losses, share=data.share)
    known = np.zeros(len(losses), bool)
    known[np.random.default_rng(context.seed).permutation(len(losses))[: min(paper.known, len(losses) // 2)]] = True
    columns = {"kind": data.kinds.tolist(), "small_loss": small.score, "loss": losses, "known": known}
    columns["suspect"] = largest.flagged
    lines = {
        "linear": detect_linearly(features, largest.flagged),
        "linear_posterior": detect_linearly(features, small.flagged),
        "linear_known": detect_linearly(features, data.kinds != CLEAN, known),
    }
    for name, found in lines.items():
        columns[name] = np.zeros(len(losses)) if found is None else found.score  # nothing to separate: all alike
    context.write("detections", "scores", {"id": list(data.training.ids), **columns, "edges": edges(data.training)})


def stage_features(model: Classifier, data: Split, stage: int) -> tuple[Tensor, NDArray[np.float64]]:
    """Logits `[N, K]`, and features of a stage, averaged over places, `[N, D]`."""
    images, oracle = data.batch().images, Oracle(model)
    anatomy = Anatomy.of(model, images[:2])
    layer = [*anatomy.stages, f"{anatomy.head}{INPUT}"][stage]
    parts = []
    with evaluating(model), torch.no_grad():
        for piece in torch.split(images, PIECE):
            logits, found = oracle.forward(piece, (layer,))
            parts.append((logits, found[layer].flatten(2).mean(2) if found[layer].ndim == 4 else found[layer]))
    logits, features = (torch.cat(p) for p in zip(*parts, strict=True))
    return logits, features.double().numpy()


def edges(data: Split) -> NDArray[np.float64]:
    """The mean difference of neighbouring pixels of each image, in [0, 1]."""
    grey = data.batch().images.mean(1).double()
    across, down = grey.diff(dim=2).abs().mean((1, 2)), grey.diff(dim=1).abs().mean((1, 2))
    found: NDArray[np.float64] = ((across + down) / 2).numpy()
    return found
