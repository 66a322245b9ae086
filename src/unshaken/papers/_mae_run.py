"""What is done to the network and its guards in the experiment with frequency prompts, as rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.attack.engine.budgeted import Budgeted
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.attack.gradient.band_limited import BandLimitedPGD
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.search_copy import search_copy
from unshaken.harden.defences.frequency_prompt import FrequencyPrompt, Prompts, guarded
from unshaken.measure.robustness.frequency import energy_inside, fourier_heat_map, high_pass, low_pass
from unshaken.papers._mae_nets import Split
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

SCHEMAS["selection"] = pa.schema(
    [("id", pa.string()), ("condition", pa.string()), ("cluster", pa.int32()), ("commonest", pa.bool_())]
)
"""The cluster of each image, and whether its commonest class is the image's own."""
SCHEMAS["energy"] = pa.schema(
    [("id", pa.string()), ("condition", pa.string()), ("radius", pa.float64()), ("share", pa.float64())]
)
"""The share of a perturbation's energy inside each radius."""
SCHEMAS["heat"] = pa.schema(
    [("condition", pa.string()), ("row", pa.int32()), ("column", pa.int32()), ("error", pa.float64())]
)
"""The error under noise of one frequency."""

EPS = (0.01, 0.02, 0.04)
MAIN = "k20-b0.1"
VARIANTS: Mapping[str, FrequencyPrompt] = {
    MAIN: FrequencyPrompt(clusters=20, budget=0.1),
    "k20-b0.3": FrequencyPrompt(clusters=20, budget=0.3),
    "k50-b0.1": FrequencyPrompt(clusters=50, budget=0.1),
    "k1-b0.1": FrequencyPrompt(clusters=1, budget=0.1),
    "replace-k20-b0.1": FrequencyPrompt(clusters=20, budget=0.1, form="replace"),
}
CONTROLS = ("shuffled", "random")
RADII = (1 / 8, 1 / 4, 1 / 2)
"""Of the height: an eighth is where prompts begin."""
HEAT_IMAGES, HEAT_NORM = 50, 1.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done.

    Args:
        steps: of PGD.
        confirm: images attacked by AutoAttack and with more steps.
        queries: of Square within AutoAttack.
    """

    steps: int
    confirm: int
    queries: int


class Study:
    """One network, its guards, and every threat model.

    Args:
        bench: where the rows go.
        model: undefended.
        split: images.
        plan: how much.
    """

    def __init__(self, bench: Bench, model: Classifier, split: Split, plan: Plan) -> None:
        self.bench, self.model, self.split, self.plan = bench, model, split, plan
        self.batch = split.test
        self.prompts: dict[str, Prompts] = {}
        self.purity: dict[str, float] = {}

    def run(self) -> None:
        """All rows that are not there yet."""
        steps: list[Callable[[], None]] = [self.undefended, self.spectrum]
        steps += [lambda name=name: self.variant(name) for name in VARIANTS]  # type: ignore[misc]
        steps += [self.controls, self.main, self.confirm]
        with track("frequency prompts", len(steps)) as task:
            for step in steps:
                step()
                task.advance()

    def undefended(self) -> None:
        """Clean, attacked, and cut to bands."""
        self.predict("undefended.clean", self.model, self.batch.images)
        self.attack("undefended.pgd", self.model, self.pgd(), EPS, keep=True)
        height = self.batch.images.shape[2]
        for share in RADII:
            for name, cut in (("low", low_pass), ("high", high_pass)):
                images = cut(self.batch.images, share * height).clamp(0, 1)
                self.predict(f"undefended.{name}-{share:g}", self.model, images)

    def spectrum(self) -> None:
        """Where perturbations lie, what those of one band do, and errors by frequency."""
        height = self.batch.images.shape[2]
        delta = self.attacked(EPS[1]) - self.batch.images
        moved = delta.flatten(1).abs().amax(1) > 0
        if not self.there("energy", "undefended.energy"):
            ids = [i for i, m in zip(self.batch.ids, moved.tolist(), strict=True) if m]
            columns: dict[str, list[object]] = {"id": [], "radius": [], "share": []}
            for share in RADII:
                columns["id"] += ids
                columns["radius"] += [share] * len(ids)
                columns["share"] += energy_inside(delta[moved], share * height).tolist()
            self.bench.keep([Part("energy", Condition("undefended.energy", "pgd"), columns)], 0)
        edges = (-1.0, *(share * height for share in RADII[:2]), 2.0 * height)
        for name, low, high in zip(("low", "middle", "high"), edges, edges[1:], strict=False):
            attack = BandLimitedPGD(steps=self.plan.steps, step_size=0.25, low=low, high=high)
            self.attack(f"undefended.band-{name}", self.model, attack, EPS[1:2])
        if not self.there("heat", "undefended.heat"):
            some = self.batch[slice(0, HEAT_IMAGES)]
            with evaluating(self.model):
                quick = search_copy(self.model, some.images[:2]) or self.model
                predict = Oracle(self.model, limit=500, search_copy=quick).exact
                heat = fourier_heat_map(
                    predict, some.images, required(some.labels), norm=HEAT_NORM, ids=some.ids, seed=self.bench.seed
                )
            reach = len(heat) // 2
            places = [(r - reach, c - reach) for r in range(len(heat)) for c in range(len(heat))]
            columns = {
                "row": [r for r, _ in places],
                "column": [c for _, c in places],
                "error": heat.flatten().tolist(),
            }
            self.bench.keep([Part("heat", Condition("undefended.heat", "fourier"), columns)], 0)

    def variant(self, name: str) -> None:
        """Prompts of one kind: clean, the perturbations of the bare model, and an adaptive attack."""
        guard = guarded(self.model, self.fitted(name))
        self.predict(f"{name}.clean", guard, self.batch.images)
        for eps in EPS:
            self.predict(f"{name}.unaware-{eps:g}", guard, self.attacked(eps), eps=eps)
        self.attack(f"{name}.adaptive", guard, self.pgd(), EPS)

    def controls(self) -> None:
        """Prompts of other clusters, and random ones."""
        for name in CONTROLS:
            prompts: Prompts = getattr(self.fitted(MAIN), name)(self.bench.seed)
            guard = guarded(self.model, prompts)
            self.predict(f"{name}.clean", guard, self.batch.images)
            for eps in EPS:
                self.predict(f"{name}.unaware-{eps:g}", guard, self.attacked(eps), eps=eps)
            self.attack(f"{name}.adaptive", guard, self.pgd(), EPS[-1:])

    def main(self) -> None:
        """The selection taken as given; the clip passed by gradients too; and what was selected."""
        prompts = self.fitted(MAIN)
        guard = guarded(self.model, prompts)
        self.selected("clean", guard, self.batch.images, prompts)
        through = guarded(self.model, prompts, gradient="selection+clip")
        self.attack(f"{MAIN}.through-clip", through, self.pgd(), EPS)
        for eps in EPS:
            self.selected(f"adaptive-{eps:g}", guard, self.attacked(eps, f"{MAIN}.adaptive"), prompts)
        labels = [f"{MAIN}.fixed-{eps:g}" for eps in EPS]
        if not all(self.there("outcomes", label) for label in labels):
            for label, eps, images in zip(labels, EPS, self.taken_as_given(prompts), strict=True):
                self.predict(label, guard, images, eps=eps)

    def confirm(self) -> None:
        """AutoAttack and 50 steps, at the largest budget, on fewer images."""
        few = self.batch[slice(0, self.plan.confirm)]
        ensemble = AutoAttack(queries=self.plan.queries)
        guard = guarded(self.model, self.fitted(MAIN))
        for name, model in (("undefended", self.model), (MAIN, guard)):
            self.attack(f"{name}.autoattack", model, ensemble, EPS[-1:], few)
        self.attack(f"{MAIN}.pgd50", guard, PGD(steps=50, step_size=0.1), EPS[-1:], few)

    def taken_as_given(self, prompts: Prompts) -> list[Tensor]:
        """Images attacked through the prompt that each clean image gets, at each budget."""
        with evaluating(self.model):
            chosen: Tensor = guarded(self.model, prompts).net.select(self.batch.images)  # type: ignore[operator]
        found = [self.batch.images.clone() for _ in EPS]
        for cluster in torch.unique(chosen).tolist():
            rows = (chosen == cluster).nonzero().flatten()
            guard = guarded(self.model, prompts, fixed=cluster)
            attacked, _ = self.pgd().attack(
                self.oracle(guard), self.batch[rows], norm="linf", eps=EPS, seed=self.bench.seed
            )
            for images, one in zip(found, attacked, strict=True):
                images[rows] = one.images
        return found

    # Means.

    def pgd(self) -> PGD:
        """PGD of a quarter radius a step."""
        return PGD(steps=self.plan.steps, step_size=0.25)

    def fitted(self, name: str) -> Prompts:
        """The prompts of a variant, kept in the run directory."""
        if name not in self.prompts:
            path = f"prompts/{name}.safetensors"
            if not self.bench.run.exists(path):
                found = VARIANTS[name].fit(self.model, self.split.images, self.split.labels, seed=self.bench.seed)
                self.bench.run.write(found.to_bytes(), path)
            self.prompts[name] = Prompts.from_bytes(self.bench.run.read(path), path)
        return self.prompts[name]

    def oracle(self, model: Classifier) -> Oracle:
        """The counted door, with a quick copy for searches."""
        return Oracle(model, limit=500, search_copy=search_copy(model, self.batch.images[:2]))

    def predict(self, label: str, model: Classifier, images: Tensor, eps: float | None = None) -> None:
        """Rows of predictions on given images."""
        if not self.there("outcomes", label):
            with evaluating(model):
                logits = Oracle(model, limit=500).exact(images)
            condition = Condition(label, "clean", eps=eps, norm=None if eps is None else "linf")
            self.bench.keep([outcomes(condition, self.batch, logits)], 0)

    def attack(
        self,
        label: str,
        model: Classifier,
        attack: Budgeted,
        eps: Sequence[float],
        batch: Batch | None = None,
        keep: bool = False,
    ) -> None:
        """Rows of an attack at each budget; its images are kept."""
        batch = self.batch if batch is None else batch
        if all(self.there("outcomes", f"{label}-{e:g}") for e in eps):
            return
        with evaluating(model):
            found, _ = attack.attack(self.oracle(model), batch, norm="linf", eps=list(eps), seed=self.bench.seed)
        for e, one in zip(eps, found, strict=True):
            condition = Condition(f"{label}-{e:g}", attack.info.name, eps=e, norm="linf")
            if keep or label == f"{MAIN}.adaptive":
                self.bench.run.write_examples(one.images, list(batch.ids), condition.id, 0)
            part = outcomes(
                condition, batch, one.logits, forwards=one.forwards, backwards=one.backwards, distance=one.distance
            )
            self.bench.keep([part], 0)

    def attacked(self, eps: float, label: str = "undefended.pgd") -> Tensor:
        """The images that an attack left."""
        found = self.bench.run.examples(f"{label}-{eps:g}")
        return torch.stack([found[key] for key in self.batch.ids])

    def selected(self, label: str, guard: Classifier, images: Tensor, prompts: Prompts) -> None:
        """Rows of the clusters chosen."""
        condition = Condition(f"{MAIN}.{label}", "selection")
        if not self.there("selection", condition.id):
            with torch.no_grad():
                chosen: Tensor = guard.net.select(images)  # type: ignore[operator]
            own = prompts.commonest[chosen] == required(self.batch.labels)
            columns = {"id": list(self.batch.ids), "cluster": chosen.tolist(), "commonest": own.tolist()}
            self.bench.keep([Part("selection", condition, columns)], 0)

    def there(self, table: str, label: str) -> bool:
        """Whether these rows are finished."""
        return self.bench.run.has_rows(table, label, 0)
