"""Small vision transformers pretrained in three ways, tuned alike, attacked and cut to low frequencies."""

from __future__ import annotations

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.errors import DataError
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.pretraining.mae import MaskedAutoencoding
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training, saved
from unshaken.stress.engine.filters import low_pass
from unshaken_papers.robust_mae import ARMS, LOW, STEPS, RobustMaePaper

LAYER, FEATURES = "body.2", 40


def compare_pretrainings(paper: RobustMaePaper, context: Context) -> None:
    """Train and measure every arm; a row says why, where the data is absent."""
    try:
        data, test = (
            context.datasets.stratified(split, n, context.seed, paper.comparison)
            for split, n in (("train", paper.vit_train), ("test", paper.vit_test))
        )
    except DataError as error:
        if not context.has("pretraining", "left_out"):
            context.write("left_out", "pretraining", {"id": [paper.comparison], "reason": [str(error)]})
        return
    batch = test.batch()
    for arm in ARMS:
        part, model = context.within(f"vit-{arm}"), tuned(paper, context, data, arm).model
        part.predict("clean", model, batch)
        attack = PGD(steps=10, rel_stepsize=0.25)
        part.evaluate("pgd", attack, model, batch, eps=[float(s) / 255 for s in STEPS])
        for radius in LOW:
            part.predict(f"low-{radius}", model, batch.with_images(low_pass(batch.images, radius).clamp(0, 1)))


def tuned(paper: RobustMaePaper, context: Context, data: Split, arm: str) -> Net:
    """A transformer, pretrained on pixels, on features of a network that learned the classes, or not; then tuned."""

    def training(epochs: int, lr: float) -> Training:
        return plan_training(epochs, context.seed, lr=lr, optimizer="adamw", weight_decay=0.05, held_out=100)

    start: str | Net = "small-vit"
    if arm != "none":
        recipe = MaskedAutoencoding(seed=context.seed)
        if arm == "features":
            teacher = context.net("teacher", "small-cnn", data, training(paper.pretrain, 3e-3))
            recipe = MaskedAutoencoding(
                target="features", teacher=saved(teacher, "small-cnn"), layer=LAYER, features=FEATURES,
                seed=context.seed,
            )  # fmt: skip
        start = context.net(f"{arm}-pretrained", start, data, training(paper.pretrain, 2e-3), [recipe])
    return context.net(f"{arm}-tuned", start, data, training(paper.tune, 1e-3))
