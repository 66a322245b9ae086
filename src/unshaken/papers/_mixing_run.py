"""What is done to each network and each mixture of the experiment, as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import find_end_points
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.certify.engine.base import certificates
from unshaken.certify.smoothing.adaptive_smoothing import judge_mixture
from unshaken.certify.smoothing.votes import vote
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.harden.defences.mixture import mixture
from unshaken.harden.recipes.ensembles.mixing_network import GatePGD, MixingNet
from unshaken.papers._mixing_nets import Pair
from unshaken.papers.base import Bench
from unshaken.run.rows import Condition, outcomes

ALPHAS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SCALES = (1, 2)
LOSSES: tuple[Literal["ce", "margin"], ...] = ("ce", "margin")
SHARES = (0.25, 0.5, 0.75)
BIASES = (0.0, 1.0, 2.0)
CERTIFIED = (0.6, 0.7, 0.8, 0.9, 1.0)
FIRST = 100
ALPHA_ERROR = 0.001


class Study:
    """Everything that is done with the networks of one seed.

    Args:
        bench: where the rows go.
        pair: the networks.
        test: labelled test images.
        name: of the seed, in front of all conditions.
        seed: of the searches.
        attacked: how many of the images are attacked, the first.
        certified: how many are voted on, the first.
        votes: fresh votes each.
        eps: radius, linf.
        sigma: noise of the votes.
        steps: of PGD.
    """

    def __init__(
        self,
        bench: Bench,
        pair: Pair,
        test: Batch,
        name: str,
        seed: int,
        *,
        attacked: int,
        certified: int,
        votes: int,
        eps: float,
        sigma: float,
        steps: int,
    ) -> None:
        self.bench, self.pair, self.test, self.name, self.seed = bench, pair, test, name, seed
        self.few, self.voted = test[slice(0, attacked)], test[slice(0, certified)]
        self.votes, self.eps, self.sigma, self.steps = votes, eps, sigma, steps

    def run(self) -> None:
        """Put all rows that are not there yet."""
        models = dict(self.models())
        with track(f"mixtures, {self.name}", len(models) + 3) as task:
            for name, model in models.items():
                self.look(f"{name}.clean", model, self.test.images)
                self.attack(name, model)
                task.advance()
            self.transfer(models)
            task.advance()
            self.gates()
            task.advance()
            self.certify()
            task.advance()

    def models(self) -> Iterator[tuple[str, Classifier]]:
        """Both networks, and every mixture of fixed weight."""
        g, h = self.pair.accurate, self.pair.robust
        yield "g", g
        yield "h", h
        for scale in SCALES:
            for alpha in ALPHAS:
                yield f"T{scale}-a{alpha:g}", mixture(g, h, alpha=alpha, scale_robust=float(scale))

    def attack(self, name: str, model: Classifier) -> None:
        """PGD through the whole of it, on the cross-entropy and on the margin."""
        for loss in LOSSES:
            self.search(f"{name}.{loss}", model, PGD(steps=self.steps, step_size=2.5 / self.steps, loss=loss))

    def search(self, label: str, model: Classifier, attack: Attack[PGDState]) -> None:
        """One search, and what the model says to what it found."""
        if self.there(label):
            return
        found = find_end_points(model, attack, self.few, norm="linf", eps=self.eps, seed=self.seed, early=True)
        self.look(label, model, found.x)

    def transfer(self, models: dict[str, Classifier]) -> None:
        """Examples made on one network alone, shown to a mixture: what a careless attack would find."""
        judge = models["T1-a0.8"]
        for maker in ("g", "h"):
            label = f"T1-a0.8.from-{maker}"
            if not self.there(label):
                attack = PGD(steps=self.steps, step_size=2.5 / self.steps)
                found = find_end_points(models[maker], attack, self.few, norm="linf", eps=self.eps, seed=self.seed)
                self.look(label, judge, found.x)

    def gates(self) -> None:
        """The mixing network at several biases; attacks that know of the gate, by the share spent on it."""
        model = self.pair.mixing
        if model is None or not isinstance(model.net, MixingNet):
            return
        for bias in BIASES:
            model.net.gate.bias = bias
            name = f"gate-b{bias:g}"
            self.look(f"{name}.clean", model, self.test.images)
            self.attack(name, model)
            for share in SHARES:
                for loss in LOSSES:
                    search = GatePGD(steps=self.steps, step_size=2.5 / self.steps, loss=loss, share=share)
                    self.search(f"{name}.{loss}-{share:g}", model, search)

    def certify(self) -> None:
        """The votes of the network for noise, once; certificates for each weight from the same votes."""
        model, batch = self.pair.noisy, self.voted
        if model is None or not len(batch) or self.there(f"certified-a{CERTIFIED[-1]:g}-sharp"):
            return
        with evaluating(model), evaluating(self.pair.accurate):
            oracle = Oracle(model, limit=500)
            tally = vote(
                oracle, batch.images, batch.ids, sigma=self.sigma, n0=FIRST, n=self.votes, seed=self.seed,
                method="adaptive-smoothing",
            )  # fmt: skip
            accurate = Oracle(self.pair.accurate, limit=500).exact(batch.images).softmax(1)
        for alpha in CERTIFIED:
            for rule in RULES:
                label = f"{self.name}.certified-a{alpha:g}-{rule}"
                found = judge_mixture(
                    accurate, tally.selected, tally.counts, weights=torch.full((len(batch),), alpha), least=alpha,
                    sigma=self.sigma, alpha_error=ALPHA_ERROR, rule=rule,
                )  # fmt: skip
                condition = Condition(label, "adaptive-smoothing", norm="l2")
                rows = certificates(
                    condition, batch, radius=found.radius, norm="l2", prediction=found.prediction,
                    abstained=found.abstained, p_lower=found.p_lower, samples=tally.forwards, alpha=ALPHA_ERROR,
                )  # fmt: skip
                self.bench.keep([rows, outcomes(condition, batch, found.logits, forwards=tally.forwards)], 0)

    def look(self, label: str, model: Classifier, images: Tensor) -> None:
        """Rows of predictions."""
        if self.there(label):
            return
        clean = label.endswith(".clean")
        with evaluating(model):
            logits = Oracle(model, limit=500).exact(images)
        condition = Condition(
            f"{self.name}.{label}",
            "clean" if clean else "pgd",
            eps=None if clean else self.eps,
            norm=None if clean else "linf",
        )
        self.bench.keep([outcomes(condition, self.test if clean else self.few, logits)], 0)

    def there(self, label: str) -> bool:
        """Whether rows are finished."""
        return self.bench.run.has_rows("outcomes", f"{self.name}.{label}", 0)


RULES: Sequence[Literal["sharp", "published"]] = ("sharp", "published")
