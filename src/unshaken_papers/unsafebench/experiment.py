"""Heads for a policy, trained on photos, stylised copies or both, evaluated and attacked, as rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.attack.minimal_norm.deepfool import DeepFool
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.query import Features
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation.policy_classifier import policy_classifier
from unshaken.detect.moderation.policy_conditional import fit_conditional, policy_target
from unshaken.detect.moderation.policy_heads import PolicyHeads, category_margins, memberships
from unshaken.measure.detection.moderation_rules import rms_of_l2
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts
from unshaken.papers.outcomes import Examples
from unshaken_papers.unsafebench import AI, ARMS, CASES, LEVELS, MASKED, REAL, SOURCES, UnsafeBenchPaper
from unshaken_papers.unsafebench.harmless import score_harmless
from unshaken_papers.unsafebench.sets import Moderated, collected_for, sources

NOISE = 0.01
"""l2 budget of the Gaussian noise of the published protocol."""
STEP = 0.25
"""Length of a step of PGD, as a share of the radius, so that ten reach all of the ball."""
TUNE = 0.2
"""Share of the training images on which thresholds are set."""
LIMIT = 16


def run(paper: UnsafeBenchPaper, context: Context) -> None:
    """Learn, evaluate and attack, for each seed.

    Raises:
        ParameterError: a flagged class is no class of the data, or stands twice.
        DataError: there are too few images.
    """
    n, flagged = paper.seeds, paper.flagged
    parts = context.datasets.parts(n * paper.train, n * paper.test)
    if len(set(flagged)) < len(flagged) or max(flagged) >= parts.training.classes:
        raise ParameterError(f"flagged={flagged}: name each class once, of 0 to {parts.training.classes - 1}")
    if len(parts.training) < n * paper.train or len(parts.testing) < n * paper.test:
        raise DataError(
            f"data {context.data!r} has {len(parts.training)} images to learn from and {len(parts.testing)} others; "
            f"{n} seeds want {n * paper.train} and {n * paper.test}: lower train, test or seeds"
        )
    moderation = Moderation(paper, context.load_model(context.model), parts)
    with track("unsafebench", n) as task:
        for i, seed in enumerate(context.seeds(n)):
            if not context.has(f"s{seed}.conditional-0", "policy_answers"):
                moderation.write(context.within(f"s{seed}"), i, seed)
            task.advance()
    if paper.photos:
        score_harmless(context, paper.photos, paper.harmless)


class Probabilities(nn.Module):
    """Two probabilities in the place of logits, as wrappers give them to an attack.

    Args:
        model: a classifier of two logits.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits.softmax(1)


@dataclass(slots=True)
class Moderation:
    """One backbone, one policy, one seed after another.

    Args:
        paper: sizes and policy.
        model: the frozen backbone.
        parts: the images of all seeds.
    """

    paper: UnsafeBenchPaper
    model: Classifier
    parts: Parts
    anatomy: Anatomy = field(init=False)
    copy: Classifier | None = field(init=False)

    def __post_init__(self) -> None:
        example = self.pair(self.parts.testing.first(2).batch()).images[REAL]
        with evaluating(self.model):
            self.anatomy, self.copy = Anatomy.of(self.model, example), search_copy(self.model, example)

    def pair(self, batch: Batch) -> Moderated:
        """Photos with their copies."""
        return sources(batch, self.paper.style, self.paper.side)

    def write(self, context: Context, i: int, seed: int) -> None:
        """All rows of a seed; no image serves two seeds.

        Args:
            context: with the seed as its prefix.
            i: number of the seed's group of images.
            seed: of what is drawn.
        """
        paper, groups = self.paper, ((self.parts.training, self.paper.train), (self.parts.testing, self.paper.test))
        train, test = (self.pair(split[i * n : (i + 1) * n].batch()) for split, n in groups)
        with evaluating(self.model):
            learned, held = ({s: self.features(part.images[s]) for s in SOURCES} for part in (train, test))
        banks = {arm: self.fitted(learned, train.labels, arm) for arm in ARMS}
        unsafe = torch.isin(test.labels, torch.tensor(paper.flagged))
        for arm, bank in banks.items():
            for source in SOURCES:
                self.evaluate(context, seed, arm, source, margins(held[source], bank), test, unsafe)
        self.attack(context, seed, banks[REAL], margins(held[REAL], banks[REAL]).amax(1), test, unsafe)
        for negatives in (0.5, 0.0):
            self.conditional(context, seed, negatives, learned[REAL], train, held[REAL], test)

    def features(self, images: Tensor) -> Tensor:
        """Inputs of the backbone's head, `[N, d]`."""
        layer = self.anatomy.penultimate
        oracle = Oracle(self.model, limit=LIMIT, search_copy=self.copy)
        parts = [oracle.ask(Features(x, (layer,))).features for x in torch.split(images, 256)]
        return torch.cat([part[layer] for part in parts if part is not None])

    def fitted(self, learned: dict[str, Tensor], labels: Tensor, arm: str) -> Bank:
        """Heads from one source, or from half of the contents as photos and the other half as copies."""
        first = torch.arange(len(labels))[:, None] % 2 == 0
        x = torch.where(first, learned[REAL], learned[AI]) if arm == "half" else learned[arm]
        cut = round(len(x) * (1 - TUNE) / 2) * 2
        blank = torch.zeros(len(x) - cut, self.parts.training.classes)
        tune = ForwardPass(self.anatomy, blank, {self.anatomy.penultimate: x[cut:]}, labels=labels[cut:])
        anatomy = Anatomy(self.model.name, self.parts.training.classes, self.anatomy.head, ())
        kept = FitData(anatomy, rows={"penultimate": x[:cut], "labels": labels[:cut]}, tune=tune, n=cut)
        return PolicyHeads(unsafe=tuple(str(c) for c in self.paper.flagged)).fit(kept)

    def evaluate(
        self, context: Context, seed: int, arm: str, source: str, margins: Tensor, test: Moderated, unsafe: Tensor
    ) -> None:
        """Rows of an arm's answers to one source."""
        if context.has(f"{arm}.{source}", "moderation"):
            return
        flagged, data = self.paper.flagged, self.parts.training
        category = collected_for(test.labels, flagged, data.classes).tolist()
        named = [data.names[c] if c < len(data.names) else str(c) for c in flagged]
        columns = {"id": list(test.ids), "seed": seed, "arm": arm, "source": source, "category": category}
        names = [named[k] for k in category]
        context.write("moderation", f"{arm}.{source}", {**columns, "name": names, "unsafe": unsafe, "margins": margins})

    def attack(self, context: Context, seed: int, bank: Bank, margin: Tensor, test: Moderated, unsafe: Tensor) -> None:
        """Rows of photos under noise and attacks on the margin over the threshold, through logits and probabilities."""
        count, right = self.paper.attacked, ((margin > 0) == unsafe).nonzero().flatten()
        rows = torch.cat([right[unsafe[right]][: count // 2], right[~unsafe[right]][: count - count // 2]])
        batch = Batch(test.images[REAL], unsafe.long(), test.ids)[rows]
        model = policy_classifier(self.model, self.anatomy, bank)
        masked = Classifier(Probabilities(model), name="probabilities").eval()
        context.predict("clean", model, batch)
        spread = rms_of_l2(NOISE, batch.images[0].numel())
        noise = SampleRng.of(seed, "unsafebench-noise", batch.ids).normal(*batch.images.shape[1:])
        none = torch.zeros(len(batch), dtype=torch.int64)
        noisy = Examples(batch.images + spread * noise, "gaussian_noise", "l2", NOISE, none, none, none.double())
        context.predict("noise", model, batch, examples=noisy)
        budgets = [float(level) / 255 for level in LEVELS]
        for prefix, target in (("", model), (MASKED, masked)):
            for level, eps in zip(LEVELS, budgets, strict=True):
                pgd = PGD(steps=self.paper.steps, rel_stepsize=STEP)
                context.attack(f"{prefix}fgsm-{level}", target, FGSM(), batch, norm="linf", eps=eps, seed=seed)
                context.attack(f"{prefix}pgd-{level}", target, pgd, batch, norm="linf", eps=eps, seed=seed, early=True)
            context.evaluate(f"{prefix}deepfool", DeepFool(), target, batch, eps=budgets, norm="linf", seed=seed)

    def conditional(
        self, context: Context, seed: int, negatives: float, learned: Tensor, train: Moderated, held: Tensor,
        test: Moderated,
    ) -> None:  # fmt: skip
        """Rows of a head that knows the policy: the whole one, without the image's own category, without another."""
        label, members = f"conditional-{negatives:g}", [(c,) for c in self.paper.flagged]
        if context.has(label, "policy_answers"):
            return
        head = fit_conditional(learned, memberships(train.labels, members), negatives=negatives, seed=seed)
        belongs = memberships(test.labels, members)
        whole = torch.ones_like(belongs)
        other = torch.eye(len(members), dtype=torch.bool)[(belongs.long().argmax(1) + 1) % len(members)]
        policies = dict(zip(CASES, (whole, ~belongs, ~other), strict=True))
        own = {"id": test.ids, "kind": ["unsafe" if u else "safe" for u in belongs.any(1).tolist()]}
        with torch.no_grad():
            columns = [
                {**own, "case": case, "target": policy_target(belongs, policy), "answer": head(held, policy) > 0}
                for case, policy in policies.items()
            ]
        context.write("policy_answers", label, columns)


def margins(features: Tensor, bank: Bank) -> Tensor:
    """Each head's logit over its threshold, `[N, K]`."""
    return category_margins(features, bank["weight"], bank["bias"], bank["thresholds"])
