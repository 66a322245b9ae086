"""An accurate and a robust network, mixed and attacked; and votes of a third one, trained with noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from unshaken.attack.gradient.pgd import PGD
from unshaken.certify.engine.base import certificates
from unshaken.certify.smoothing.adaptive_smoothing import judge_mixture
from unshaken.certify.smoothing.votes import vote
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition
from unshaken.core.progress import track
from unshaken.harden.defences.mixture import mixture
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.augmentation.gaussian_augmented import GaussianAugmented
from unshaken.harden.recipes.ensembles.mixing_network import GatePGD, MixingNet, MixingNetwork
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training
from unshaken_papers.adaptive_smoothing import (
    ALPHAS,
    BIASES,
    CERTIFIED,
    LOSSES,
    PAIR,
    RULES,
    SCALES,
    SHARES,
    AdaptiveSmoothingPaper,
)

ARCH = "strided-cnn"
FIRST = 100
ALPHA_ERROR = 0.001


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of one seed.

    Args:
        accurate: g.
        robust: h.
        noisy: trained with noise, for votes; None for none.
        mixing: a mixture of g and h with a mixing network; None for none.
    """

    accurate: Classifier
    robust: Classifier
    noisy: Classifier | None = None
    mixing: Classifier | None = None


def run(paper: AdaptiveSmoothingPaper, context: Context) -> None:
    """The same experiment for each seed."""
    seeds = context.seeds(paper.seeds)
    if context.model != PAIR:
        given = Networks(
            *context.load_models(2, "two, the accurate and the robust one", "run:runs/plain|run:runs/robust")
        )
        data = context.datasets.stratified(None, paper.test, view=given.accurate.view)
        batch = data.cut(len(data), context.seed)[0].batch()
        for seed in seeds:
            Experiment(paper, context.within(f"seed{seed}"), given, batch, seed).run()
        return
    parts = context.datasets.parts(paper.train, paper.test)
    for seed in seeds:
        part = context.within(f"seed{seed}")
        nets = trained(paper, part, parts.training, seed)
        Experiment(paper, part, nets, parts.testing.batch(), seed).run()


def trained(paper: AdaptiveSmoothingPaper, context: Context, data: Split, seed: int) -> Networks:
    """The networks of one seed."""

    def net(name: str, recipes: list[Recipe], epochs: int) -> Net:
        return context.net(name, ARCH, data, training(epochs, seed), recipes)

    accurate = net("accurate", [], paper.epochs)
    robust = net("robust", [AdversarialTraining(eps=paper.eps, steps=3, rel_stepsize=0.5)], paper.robust_epochs).model
    noisy = net("noisy", [GaussianAugmented(sigma=paper.sigma)], paper.epochs).model if paper.sigma else None
    gated = None
    if paper.mixing:
        options = training(paper.mixing_epochs, seed, batch_size=32, lr=0.003, optimizer="adamw", clip=10.0)
        recipe = mixing_recipe(paper.eps).beside(robust)
        gated = context.net("mixing", accurate, data.first(paper.mixing), options, [recipe]).model
    return Networks(accurate.model, robust, noisy, gated)


def training(epochs: int, seed: int, **more: Any) -> Training:
    """Options of all training here."""
    return plan_training(epochs, seed, **{"lr": 0.1, "held_out": 50, "check_images": 4, **more})


def mixing_recipe(eps: float) -> MixingNetwork:
    """The mixing network at a small scale: two attacked copies, attacks of about ten steps."""
    return MixingNetwork(
        eps=eps, scale_accurate=1.0, scale_robust=1.0, alpha_bias=0.7, alpha_scale=0.29, gate_bias=1.0, momentum=0.05,
        widths="32+32+32", blocks=1, copies=2, steps=10, c_prod=0.3,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything that is done with the networks of one seed.

    Args:
        paper: the sizes.
        context: with the seed as its prefix.
        nets: the networks.
        test: labelled test images.
        seed: of the searches.
    """

    paper: AdaptiveSmoothingPaper
    context: Context
    nets: Networks
    test: Batch
    seed: int

    def run(self) -> None:
        """Write all rows that are not there yet."""
        models = dict(self.models())
        with track(f"mixtures, seed {self.seed}", len(models)) as task:
            for name, model in models.items():
                self.evaluate(name, model)
                task.advance()
        for maker in ("g", "h"):  # examples made on one network alone: what a careless attack would find
            self.attack(f"T1-a0.8.from-{maker}", models["T1-a0.8"], self.pgd(), early=False, source=models[maker])
        self.gates()
        self.certify()

    def models(self) -> Iterator[tuple[str, Classifier]]:
        """Both networks, and every mixture of fixed weight."""
        g, h = self.nets.accurate, self.nets.robust
        yield "g", g
        yield "h", h
        for scale in SCALES:
            for alpha in ALPHAS:
                yield f"T{scale}-a{alpha:g}", mixture(g, h, weight=alpha, scale_robust=float(scale))

    def pgd(self, cls: type[PGD] = PGD, **options: Any) -> PGD:
        """A search, 2.5 radii long in all."""
        return cls(steps=self.paper.steps, rel_stepsize=2.5 / self.paper.steps, **options)

    def evaluate(self, name: str, model: Classifier) -> None:
        """Clean images, and PGD through the whole of a model, on the cross-entropy and on the margin."""
        self.context.predict(f"{name}.clean", model, self.test)
        for loss in LOSSES:
            self.attack(f"{name}.{loss}", model, self.pgd(loss=loss))

    def attack(
        self, label: str, model: Classifier, attack: PGD, *, early: bool = True, source: Classifier | None = None
    ) -> None:
        """Rows of one search on the first images."""
        few = self.test[slice(0, self.paper.attacked)]
        self.context.attack(
            label, model, attack, few, norm="linf", eps=self.paper.eps, seed=self.seed, early=early, source=source
        )

    def gates(self) -> None:
        """The mixing network at several biases; attacks that know of the gate, by the share spent on it."""
        model = self.nets.mixing
        if model is None or not isinstance(model.net, MixingNet):
            return
        for bias in BIASES:
            model.net.gate.bias = bias
            self.evaluate(f"gate-b{bias:g}", model)
            for share in SHARES:
                for loss in LOSSES:
                    self.attack(f"gate-b{bias:g}.{loss}-{share:g}", model, self.pgd(GatePGD, loss=loss, share=share))

    def certify(self) -> None:
        """The votes of the network for noise, once; certificates for each weight from the same votes."""
        model, batch = self.nets.noisy, self.test[slice(0, self.paper.certified)]
        if model is None or self.context.has(f"certified-a{CERTIFIED[-1]:g}-{RULES[-1]}"):
            return
        with evaluating(model), evaluating(self.nets.accurate):
            tally = vote(
                Oracle(model, limit=500), batch.images, batch.ids, sigma=self.paper.sigma, n0=FIRST,
                n=self.paper.votes, seed=self.seed, method="adaptive-smoothing",
            )  # fmt: skip
            accurate = Oracle(self.nets.accurate, limit=500).exact(batch.images).softmax(1)
        for alpha in CERTIFIED:
            for rule in RULES:
                label = f"certified-a{alpha:g}-{rule}"
                if self.context.has(label):
                    continue
                found = judge_mixture(
                    accurate, tally.selected, tally.counts, weights=torch.full((len(batch),), alpha), least=alpha,
                    sigma=self.paper.sigma, alpha=ALPHA_ERROR, rule=rule,
                )  # fmt: skip
                condition = Condition(self.context.id(label), "adaptive-smoothing", norm="l2")
                rows = certificates(
                    condition, batch, radius=found.radius, norm="l2", prediction=found.prediction,
                    abstained=found.abstained, p_lower=found.p_lower, samples=tally.forwards, alpha=ALPHA_ERROR,
                )  # fmt: skip
                self.context.keep([rows, outcomes(condition, batch, found.logits, forwards=tally.forwards)])
