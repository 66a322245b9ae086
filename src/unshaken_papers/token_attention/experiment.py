"""Small vision transformers trained in four ways, from scratch and further, and what is measured of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.progress import Task, track
from unshaken.core.registry import parse_method
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.architecture.tap import TAP, scale_shares
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.losses.adl import (
    ADL,
    attention_diversification,
    attention_entropy,
    attention_stability,
    overfocus,
    surviving,
)
from unshaken.models.networks.attention import attention_layers, attention_maps
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Architecture, Net, plan_training
from unshaken_papers.token_attention import (
    ARMS,
    CONTINUED,
    KINDS,
    MEASURES,
    SEVERITIES,
    SMALL,
    WIDE,
    TokenAttentionPaper,
)
from unshaken_papers.token_attention.nets import WiderViT

Shown = Mapping[str, tuple[str, int | None, Batch]]
PIECE = 50
"""Images whose attention is read in one pass."""


def run(paper: TokenAttentionPaper, context: Context) -> None:
    """Train and measure the networks of each seed.

    Raises:
        ParameterError: the user's model is no vision transformer, or the images do not fit the small network.
    """
    own = None if context.model == SMALL else own_model(context)
    view = None if own is None else own.view
    train = context.datasets.stratified("train", paper.train, context.seed, view=view)
    test = context.datasets.stratified("test", paper.test, context.seed, view=view).batch()
    height, width = train.images.shape[2:]
    if own is None and height != width:
        raise ParameterError(f"token-attention: images of {height} x {width} pixels: the small network takes squares")
    fitted = train.stratified(paper.test, context.seed).batch()
    shown = {"clean": ("clean", None, test), "fitted": ("clean", None, fitted)} | corrupted(test, context.seed)
    with track("networks", paper.seeds * (len(ARMS) if own else 2 * len(ARMS) + 1)) as task:
        for seed in context.seeds(paper.seeds):
            part = context.within(f"seed{seed}")
            work = Arms(paper, part, train, shown, task)
            further = plan(paper.tune, paper.rate, seed)
            if own is not None:
                work.train_all(own, further, paper.identity)
                continue
            scratch = plan(paper.epochs, 2e-3, seed)
            nets = work.train_all(SMALL, scratch, identity=0.0)
            work.train(WIDE, WiderViT, scratch, [])
            work = replace(work, context=part.within(CONTINUED))
            work.train_all(nets[ARMS[0]], further, paper.identity)


@dataclass(frozen=True, slots=True)
class Arms:
    """Networks that are trained on the same images, each measured as soon as it is trained.

    Args:
        paper: the sizes.
        context: its prefix tells the seed.
        images: that they learn from.
        shown: label to a stressor's name, its severity and the images that each network is measured on.
        task: advanced by one with each network.
    """

    paper: TokenAttentionPaper
    context: Context
    images: Split
    shown: Shown
    task: Task

    def train_all(self, start: Architecture | Classifier | Net, training: Training, identity: float) -> dict[str, Net]:
        """A network for each way of training, by its name.

        Args:
            start: an architecture, or the network to go on from.
            training: how.
            identity: of TAP: 0 begins with shares drawn at random, more near the network as it is.
        """
        tap = TAP(identity=identity, seed=training.seed)
        adl = ADL(weight=self.paper.weight, threshold=self.paper.threshold)
        ways: dict[str, list[Recipe]] = dict(zip(ARMS, ([], [tap], [adl], [tap, adl]), strict=True))
        return {arm: self.train(arm, start, training, recipes) for arm, recipes in ways.items()}

    def train(
        self, arm: str, start: Architecture | Classifier | Net, training: Training, recipes: Sequence[Recipe]
    ) -> Net:
        """One network, with crops and mirror images."""
        net = self.context.net(arm, start, self.images, training, [CropFlip(), *recipes])
        measure(self.paper, self.context, arm, net.model, self.shown)
        self.task.advance()
        return net


def own_model(context: Context) -> Classifier:
    """The user's own transformer.

    Raises:
        ParameterError: it has no attention of a known form.
    """
    model = context.load_model(context.model)
    try:
        attention_layers(model)
    except ModelError as error:
        raise ParameterError(f"token-attention: {error}; name a vision transformer") from None
    return model


def plan(epochs: int, rate: float, seed: int) -> Training:
    """How networks are trained."""
    return plan_training(epochs, seed, lr=rate, optimizer="adamw", weight_decay=0.05, held_out=100)


def corrupted(batch: Batch, seed: int) -> dict[str, tuple[str, int, Batch]]:
    """Label to a stressor's name, its severity, and the changed images."""
    found = {}
    for kind, text in KINDS.items():
        stressor = parse_method(text, "stress")
        for severity in SEVERITIES:
            found[f"{kind}-{severity}"] = stressor.info.name, severity, stressor.apply(batch, severity, seed)
    return found


def measure(paper: TokenAttentionPaper, context: Context, arm: str, model: Classifier, shown: Shown) -> None:
    """Write predictions under everything, measures of attention, and the shares of the pools."""
    for label, (method, severity, batch) in shown.items():
        context.predict(f"{arm}.{label}", model, batch, method=method, severity=severity)
    few = slice(0, paper.looked)
    clean = shown["clean"][2][few]
    for kind in KINDS:
        label = f"{kind}-{SEVERITIES[-1]}"
        if not context.has(f"{arm}.{label}", "attention"):
            found = attention(model, clean, shown[label][2][few], paper.threshold)
            layers = range(len(found["adl"]))
            columns = [{"id": clean.ids, "layer": i, **{m: v[i] for m, v in found.items()}} for i in layers]
            context.write("attention", f"{arm}.{label}", columns)
    if not context.has(arm, "scales"):
        shares = scale_shares(model, clean.images) if "tap" in arm else torch.zeros(0, 0)
        spots = [(i, j) for i in range(shares.shape[0]) for j in range(shares.shape[1])]
        places = {"id": [f"{i}-{j}" for i, j in spots], "layer": [i for i, _ in spots]}
        context.write("scales", arm, {**places, "scale": [j for _, j in spots], "share": shares.flatten()})


def attention(model: Classifier, clean: Batch, changed: Batch, threshold: float) -> dict[str, Tensor]:
    """Each of `MEASURES` by layer and image, `[L, N]`; of clean images, and stability against the changed ones.

    Args:
        model: a vision transformer.
        clean: images.
        changed: the same ones, corrupted.
        threshold: of ADL, in units of even attention.
    """
    found: dict[str, list[Tensor]] = {m: [] for m in MEASURES}
    with evaluating(model):
        for x, y in zip(torch.split(clean.images, PIECE), torch.split(changed.images, PIECE), strict=True):
            before, after = attention_maps(model, x), attention_maps(model, y)
            found["overfocus"].append(overfocus(before))
            found["entropy"].append(attention_entropy(before))
            found["stability"].append(attention_stability(before, after))
            by_layer = [attention_diversification(m, threshold=threshold, reduce=False) for m in before]
            found["adl"].append(torch.stack(by_layer))
            found["surviving"].append(surviving(before, threshold=threshold))
    return {m: torch.cat(parts, 1) for m, parts in found.items()}
