"""The whole published system: copies at several resolutions in front of a network, whose layers vote by CrossMax."""

from __future__ import annotations

from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.attack.gradient.apgd import APGD
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.progress import track
from unshaken.harden.defences.crossmax import CrossMax
from unshaken.harden.defences.multi_resolution import MultiResolution, widened
from unshaken.harden.engine.adaptive import against
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.ensembles.layer_heads import LayerHeadsRecipe
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training, untrained
from unshaken_papers.crossmax_ensemble import SYSTEM_EPS, CrossMaxPaper

ARCH = "strided-cnn"
VOTE = CrossMax(aggregate="top-k", k=3)
"""The third largest over the predictors, as published for the layers of one network."""


def system_of_seed(paper: CrossMaxPaper, context: Context, seed: int) -> None:
    """Train the system and a plain network of the same layers, and attack both.

    Args:
        paper: the sizes.
        context: of the seed.
        seed: of weights, order and searches.
    """
    spec = None if context.own else "cifar10"
    train, test = (context.datasets.read(split, spec) for split in ("train", "test"))
    train = train.stratified(paper.system_images, seed)
    batch = test.stratified(paper.system_photos, seed).batch()
    with track(f"the whole system, seed {seed}", 3) as task:
        training = plan_training(paper.system_epochs, seed, held_out=100, check_images=10)
        plain = context.net("plain", ARCH, train, training, [CropFlip()]).model
        system = trained_system(paper, context, train, seed)
        task.advance()
        attack_both(paper, context, plain, system, batch, seed)
        task.advance()
        if not context.has(f"adaptive.adaptive-linf-{SYSTEM_EPS:.6g}"):
            search = PGD(steps=paper.system_steps, rel_stepsize=0.1)
            found = against(VOTE, system, batch, search, eps=SYSTEM_EPS, seed=seed, draws=paper.draws)
            context.keep(found.parts(context.id("adaptive")))
        task.advance()


def trained_system(paper: CrossMaxPaper, context: Context, train: Split, seed: int) -> Classifier:
    """The network behind the front end, then a head on each of its layers; it answers by their mean.

    Args:
        paper: the sizes.
        context: of the seed.
        train: what both learn from.
        seed: of weights and order.
    """
    channels, side = train.images.shape[1:3]
    front = MultiResolution(resolutions=tuple(max(1, side // share) for share in (1, 2, 4, 8)))
    model = front.wrap(widened(untrained(ARCH, train, seed), len(front.resolutions)))
    model.view = View(side, side, channels=channels)
    training = plan_training(paper.system_epochs, seed, held_out=100, check_images=10)
    backbone = context.net("backbone", model, train, training, [CropFlip()])
    heads = plan_training(1, seed, held_out=100, check_images=10)
    return context.net("heads", backbone, train, heads, [LayerHeadsRecipe()]).model


def attack_both(
    paper: CrossMaxPaper, context: Context, plain: Classifier, system: Classifier, batch: Batch, seed: int
) -> None:
    """Rows of both on unchanged images, of the system under AutoAttack, and of the plain network under its first step.

    Args:
        paper: the sizes.
        context: of the seed.
        plain: the network without front end and vote.
        system: the network behind the front end, with heads.
        batch: test images.
        seed: of the searches.
    """
    context.predict("plain.clean", plain, batch)
    search = APGD(steps=paper.system_steps)
    context.evaluate("plain", search, plain, batch, eps=[SYSTEM_EPS], norm="linf", seed=seed)
    rand = AutoAttack(version="rand", steps=paper.system_steps)
    context.evaluate("vote", rand, VOTE.wrap(system), batch, eps=[SYSTEM_EPS], norm="linf", seed=seed)
