"""Heads for a policy, trained on photos, stylised copies or both, judged and attacked, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import torch
from torch import Tensor, nn

from unshaken.attack.engine.budgeted import Budgeted
from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.query import Features
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.kept import Kept
from unshaken.detect.engine.look import Look
from unshaken.detect.moderation.policy_classifier import policy_classifier
from unshaken.detect.moderation.policy_conditional import fit_conditional, policy_target
from unshaken.detect.moderation.policy_heads import PolicyHeads, category_margins, memberships
from unshaken.measure.detection.moderation_rules import rms_of_l2
from unshaken.papers._unsafe_sets import AI, REAL, SOURCES, Moderated, collected_for
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

SCHEMAS["moderation"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("seed", pa.int64()),
        ("arm", pa.string()),
        ("source", pa.string()),
        ("category", pa.int64()),
        ("unsafe", pa.bool_()),
        ("margins", pa.list_(pa.float64())),
    ]
)
"""One row an image: the category it counts for, whether it is unsafe, and each head's logit over its threshold."""
SCHEMAS["policy_answers"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("arm", pa.string()),
        ("case", pa.string()),
        ("target", pa.bool_()),
        ("said", pa.bool_()),
    ]
)
"""One row an image and policy: what the policy makes of it, and what the head that is told the policy says."""

ARMS = (REAL, AI, "half")
EPS = tuple(e / 255 for e in (0.5, 1.0, 2.0, 4.0))
NOISE = 0.01
"""l2 budget of the Gaussian noise of the published protocol."""
CASES = ("whole", "own-removed", "other-removed")
TUNE = 0.2
"""Share of the training images on which thresholds are set."""
LIMIT = 16


class Probabilities(nn.Module):
    """Two probabilities in the place of logits, as wrappers give them to an attack.

    Args:
        model: a classifier of two logits.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 2]`."""
        logits: Tensor = self.model(images)
        return logits.softmax(1)


@dataclass(slots=True)
class Study:
    """One backbone, one policy, one seed after another.

    Args:
        bench: where rows go.
        model: the frozen backbone.
        example: a few images, to read the backbone's inside off.
        flagged: the classes that the policy does not allow, a category each.
        classes: of the data.
        steps: of PGD.
    """

    bench: Bench
    model: Classifier
    example: Tensor
    flagged: Sequence[int]
    classes: int
    steps: int
    anatomy: Anatomy = field(init=False)
    copy: Classifier | None = field(init=False)

    def __post_init__(self) -> None:
        with evaluating(self.model):
            self.anatomy, self.copy = Anatomy.of(self.model, self.example), search_copy(self.model, self.example)

    def finished(self, seed: int) -> bool:
        """Whether all rows of a seed are there."""
        return self.bench.run.has_rows("policy_answers", f"s{seed}.conditional-0", 0)

    def one(self, seed: int, train: Moderated, test: Moderated, attacked: int) -> None:
        """All rows of a seed.

        Args:
            seed: of what is drawn.
            train: contents to learn from.
            test: other contents.
            attacked: photos that are attacked at most, of those that are judged rightly.
        """
        with evaluating(self.model):
            seen = {s: self.features(train.images[s]) for s in SOURCES}
            held = {s: self.features(test.images[s]) for s in SOURCES}
        banks = {arm: self.fitted(seen, train.labels, arm) for arm in ARMS}
        for arm, bank in banks.items():
            for source in SOURCES:
                self.judged(seed, arm, source, held[source], test, bank)
        self.attack(seed, banks[REAL], held[REAL], test, attacked)
        for negatives in (0.5, 0.0):
            self.conditional(f"s{seed}.conditional-{negatives:g}", seed, negatives, seen[REAL], train, held[REAL], test)

    def features(self, images: Tensor) -> Tensor:
        """What the backbone's head weighs, `[N, d]`."""
        layer = self.anatomy.penultimate
        oracle = Oracle(self.model, limit=LIMIT, search_copy=self.copy)
        parts = [oracle.ask(Features(x, (layer,))).features for x in torch.split(images, 256)]
        return torch.cat([part[layer] for part in parts if part is not None])

    def fitted(self, seen: dict[str, Tensor], labels: Tensor, arm: str) -> Bank:
        """Heads from one source, or from half of the contents as photos and the other half as copies."""
        first = torch.arange(len(labels))[:, None] % 2 == 0
        x = torch.where(first, seen[REAL], seen[AI]) if arm == "half" else seen[arm]
        cut = round(len(x) * (1 - TUNE) / 2) * 2
        blank = torch.zeros(len(x) - cut, self.classes)
        tune = Look(self.anatomy, blank, {self.anatomy.penultimate: x[cut:]}, labels=labels[cut:])
        anatomy = Anatomy(self.model.name, self.classes, self.anatomy.head, ())
        kept = Kept(anatomy, rows={"penultimate": x[:cut], "labels": labels[:cut]}, tune=tune, n=cut)
        return PolicyHeads(unsafe=tuple(str(c) for c in self.flagged)).fit(kept)

    def judged(self, seed: int, arm: str, source: str, features: Tensor, test: Moderated, bank: Bank) -> None:
        """Rows of an arm's answers to one source."""
        margins = category_margins(features, bank["weight"], bank["bias"], bank["thresholds"])
        columns = {
            "id": list(test.ids),
            "seed": [seed] * len(test),
            "arm": [arm] * len(test),
            "source": [source] * len(test),
            "category": collected_for(test.labels, self.flagged, self.classes).tolist(),
            "unsafe": torch.isin(test.labels, torch.tensor(self.flagged)).tolist(),
            "margins": margins.tolist(),
        }
        self.bench.keep([Part("moderation", Condition(f"s{seed}.{arm}.{source}", "policy-heads"), columns)], 0)

    def attack(self, seed: int, bank: Bank, features: Tensor, test: Moderated, attacked: int) -> None:
        """Rows of photos under noise and attacks on the margin over the threshold, through logits and probabilities."""
        margin = category_margins(features, bank["weight"], bank["bias"], bank["thresholds"]).amax(1)
        unsafe = torch.isin(test.labels, torch.tensor(self.flagged))
        right = ((margin > 0) == unsafe).nonzero().flatten()
        rows = torch.cat([right[unsafe[right]][: attacked // 2], right[~unsafe[right]][: attacked - attacked // 2]])
        batch = Batch(test.images[REAL], unsafe.long(), test.ids)[rows]
        model = policy_classifier(self.model, self.anatomy, bank)
        searches: dict[str, Budgeted] = {"fgsm": FGSM(), "pgd": PGD(steps=self.steps)}
        with evaluating(model):
            oracle = Oracle(model, limit=LIMIT)
            self.bench.keep([outcomes(Condition(f"s{seed}.clean", "clean"), batch, oracle.exact(batch.images))], 0)
            rng = SampleRng.of(seed, "unsafebench-noise", batch.ids)
            spread = rms_of_l2(NOISE, batch.images[0].numel())
            noisy = batch.images + spread * rng.normal(*batch.images.shape[1:])
            noise = Condition(f"s{seed}.noise", "gaussian_noise", eps=NOISE, norm="l2")
            self.bench.keep([outcomes(noise, batch, oracle.exact(noisy))], 0)
            for name, search in searches.items():
                found, _ = search.attack(oracle, batch, norm="linf", eps=EPS, seed=seed)
                for eps, one in zip(EPS, found, strict=True):
                    condition = Condition(f"s{seed}.{name}-{255 * eps:g}", name, eps=eps, norm="linf")
                    self.bench.keep([outcomes(condition, batch, one.logits, distance=one.distance)], 0)
        masked = Classifier(Probabilities(model), name="probabilities").eval()
        with evaluating(masked):
            found, _ = FGSM().attack(Oracle(masked, limit=LIMIT), batch, norm="linf", eps=EPS, seed=seed)
            for eps, one in zip(EPS, found, strict=True):
                condition = Condition(f"s{seed}.masked-{255 * eps:g}", "fgsm", eps=eps, norm="linf")
                self.bench.keep([outcomes(condition, batch, one.logits)], 0)

    def conditional(
        self, name: str, seed: int, negatives: float, seen: Tensor, train: Moderated, held: Tensor, test: Moderated
    ) -> None:
        """Rows of a head that is told the policy: the whole one, without the image's own category, without another."""
        members = [(c,) for c in self.flagged]
        head = fit_conditional(seen, memberships(train.labels, members), negatives=negatives, seed=seed)
        belongs = memberships(test.labels, members)
        whole = torch.ones_like(belongs)
        other = torch.eye(len(members), dtype=torch.bool)[(belongs.long().argmax(1) + 1) % len(members)]
        policies = dict(zip(CASES, (whole, ~belongs, ~other), strict=True))
        with torch.no_grad():
            said = {case: head(held, policy) > 0 for case, policy in policies.items()}
        columns = {
            "id": list(test.ids) * len(CASES),
            "arm": ["unsafe" if u else "safe" for u in belongs.any(1).tolist()] * len(CASES),
            "case": [case for case in CASES for _ in test.ids],
            "target": torch.cat([policy_target(belongs, p) for p in policies.values()]).tolist(),
            "said": torch.cat(list(said.values())).tolist(),
        }
        self.bench.keep([Part("policy_answers", Condition(name, "policy-conditional"), columns)], 0)
