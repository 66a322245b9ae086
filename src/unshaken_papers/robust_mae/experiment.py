"""A network behind prompts of the frequency domain, under attacks that know of them and that do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import torch

from unshaken.attack.engine.base import BudgetedAttack
from unshaken.attack.engine.frequency_sensitivity import BandLimitedPGD, fourier_heat_map
from unshaken.attack.ensembles.autoattack import AutoAttack
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import track
from unshaken.core.search_copy import search_copy
from unshaken.harden.defences.frequency_prompt import FrequencyPrompt, Prompts, guarded
from unshaken.measure.robustness.frequency import energy_inside, white_share
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken.papers.outcomes import Examples
from unshaken.stress.engine.filters import high_pass, low_pass
from unshaken_papers.robust_mae import BUDGETS, CONTROLS, EPS, MAIN, RADII, SMALL, VARIANTS, RobustMaePaper
from unshaken_papers.robust_mae.pretraining import compare_pretrainings

HEAT_IMAGES, HEAT_NORM = 50, 1.5


def run(paper: RobustMaePaper, context: Context) -> None:
    """Prompts and every threat model in each seed; then the three pretrainings.

    Raises:
        ParameterError: a model of the user's own gives no gradients, or images are no squares.
    """
    for repetition in context.repetitions(paper.seeds):
        run_seed(paper, repetition)


def run_seed(paper: RobustMaePaper, context: Context) -> None:
    """The whole experiment with networks of one seed; a model of the user's own is the same in all."""
    own = None
    if context.model != SMALL:
        own = context.load_model(context.model)
        if not own.differentiable:
            raise ParameterError(
                f"robust-mae: model {context.model!r} gives no gradients: prompts cannot be fitted to it"
            )
    view = None if own is None else own.view
    data = context.datasets.stratified("train", paper.train, context.seed, view=view)
    batch = context.datasets.stratified("test", paper.test, context.seed, view=view).batch()
    if own is None:
        height, width = data.images.shape[2:]
        if height != width:
            raise ParameterError(f"robust-mae: images of {height} x {width} pixels: the small network takes squares")
        training = plan_training(paper.epochs, context.seed, batch_size=128, lr=0.2, held_out=200)
        own = context.net("net", SMALL, data, training).model
    Experiment(paper, context, own, data, batch).run()
    if not context.own and paper.comparison and paper.pretrain:
        compare_pretrainings(paper, context)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One network, its guards, and every threat model.

    Args:
        paper: the sizes.
        context: of the experiment.
        model: undefended.
        data: that prompts are fitted to.
        batch: test images.
    """

    paper: RobustMaePaper
    context: Context
    model: Classifier
    data: Split
    batch: Batch
    prompts: dict[str, Prompts] = field(default_factory=dict)

    def run(self) -> None:
        """All rows that are not there yet."""
        with track("frequency prompts", 4 + len(VARIANTS) + len(CONTROLS)) as task:
            for step in (self.undefended, self.spectrum):
                step()
                task.advance()
            for name in VARIANTS:
                self.guard(name, self.fitted(name), EPS)
                task.advance()
            for name in CONTROLS:
                self.guard(name, getattr(self.fitted(MAIN), name)(self.context.seed), EPS[-1:])
                task.advance()
            for step in (self.main, self.confirm):
                step()
                task.advance()

    def undefended(self) -> None:
        """Clean, attacked, and cut to bands."""
        context, images, height = self.context.within("undefended"), self.batch.images, self.batch.images.shape[2]
        context.predict("clean", self.model, self.batch)
        context.evaluate("pgd", self.pgd(), self.model, self.batch, eps=EPS, keep_images=True)
        for share in RADII:
            for name, cut in (("low", low_pass), ("high", high_pass)):
                shown = self.batch.with_images(cut(images, share * height).clamp(0, 1))
                context.predict(f"{name}-{share:g}", self.model, shown)

    def spectrum(self) -> None:
        """Where perturbations lie, what those of one band do, and errors by frequency."""
        context, (height, width) = self.context.within("undefended"), self.batch.images.shape[2:]
        if not context.has("energy", "energy"):
            delta = context.examples(f"pgd-linf-{BUDGETS[1]}", self.batch).images - self.batch.images
            moved = delta.flatten(1).abs().amax(1) > 0
            ids, delta = self.batch[moved].ids, delta[moved]
            shares = [{"id": ids, "radius": r, "share": energy_inside(delta, r * height)} for r in RADII]
            context.write("energy", "energy", shares)
        if not context.has("white", "energy"):
            white = [white_share(height, width, r * height) for r in RADII]
            context.write("energy", "white", {"id": "white", "radius": RADII, "share": white})
        edges = (-1.0, *(share * height for share in RADII[:2]), 2.0 * height)
        for name, low, high in zip(("low", "middle", "high"), edges, edges[1:], strict=False):
            attack = BandLimitedPGD(steps=self.paper.steps, rel_stepsize=0.25, low=low, high=high)
            context.evaluate(f"band-{name}", attack, self.model, self.batch, eps=EPS[1:2])
        if not context.has("heat", "heat"):
            some = self.batch[slice(0, HEAT_IMAGES)]
            with evaluating(self.model):
                quick = search_copy(self.model, some.images[:2]) or self.model
                predict = Oracle(self.model, limit=500, search_copy=quick).exact
                labels, seed = required(some.labels), context.seed
                heat = fourier_heat_map(predict, some.images, labels, norm=HEAT_NORM, ids=some.ids, seed=seed)
            reach = len(heat) // 2
            places = product(range(-reach, len(heat) - reach), repeat=2)
            found = zip(places, heat.flatten().tolist(), strict=True)
            rows = [{"id": f"{r},{c}", "row": r, "column": c, "error": error} for (r, c), error in found]
            context.write("heat", "heat", rows)

    def guard(self, name: str, prompts: Prompts, eps: tuple[float, ...]) -> None:
        """Prompts of one kind: clean, the perturbations of the bare model, and an adaptive attack."""
        guard, context = guarded(self.model, prompts), self.context.within(name)
        context.predict("clean", guard, self.batch)
        for e in BUDGETS:
            if not context.has(f"unaware-{e}"):
                found = self.context.examples(f"undefended.pgd-linf-{e}", self.batch)
                context.predict(f"unaware-{e}", guard, self.batch, examples=found)
        context.evaluate("adaptive", self.pgd(), guard, self.batch, eps=eps, keep_images=name == MAIN)

    def main(self) -> None:
        """The selection taken as given; the clip passed by gradients too; and what was selected."""
        prompts, context = self.fitted(MAIN), self.context.within(MAIN)
        guard = guarded(self.model, prompts)
        self.select("clean", guard, self.batch, prompts)
        through = guarded(self.model, prompts, gradient="selection+clip")
        context.evaluate("through-clip", self.pgd(), through, self.batch, eps=EPS)
        for e in BUDGETS:
            found = context.examples(f"adaptive-linf-{e}", self.batch)
            self.select(f"adaptive-{e}", guard, self.batch.with_images(found.images), prompts)
        if not all(context.has(f"fixed-{e}") for e in BUDGETS):
            for e, found in zip(BUDGETS, self.taken_as_given(prompts), strict=True):
                context.predict(f"fixed-{e}", guard, self.batch, examples=found)
        if not context.has("prompts", "clusters"):
            ids = [str(i) for i in range(len(prompts))]
            columns = {"images": prompts.counts.long(), "purity": prompts.purity}
            context.write("clusters", "prompts", {"id": ids, **columns})

    def confirm(self) -> None:
        """AutoAttack and 50 steps, at the largest budget, on fewer images."""
        few, most = self.batch[slice(0, self.paper.confirm)], EPS[-1:]
        guard = guarded(self.model, self.fitted(MAIN))
        for name, model in (("undefended", self.model), (MAIN, guard)):
            self.context.evaluate(f"{name}.autoattack", AutoAttack(queries=self.paper.queries), model, few, eps=most)
        self.context.evaluate(f"{MAIN}.pgd50", PGD(steps=50, rel_stepsize=0.1), guard, few, eps=most)

    def taken_as_given(self, prompts: Prompts) -> list[Examples]:
        """Images attacked through the prompt that each clean image gets, at each budget."""
        n, attack, batch = len(self.batch), self.pgd(), self.batch
        with evaluating(self.model):
            chosen: torch.Tensor = guarded(self.model, prompts).net.select(batch.images)  # type: ignore[operator]
        none = torch.zeros(n, dtype=torch.int64)
        found = [
            Examples(batch.images.clone(), "pgd", "linf", e, none.clone(), none.clone(), torch.zeros(n)) for e in EPS
        ]
        for cluster in torch.unique(chosen).tolist():
            rows = (chosen == cluster).nonzero().flatten()
            guard = guarded(self.model, prompts, fixed=cluster)
            with evaluating(guard):
                oracle = Oracle(guard, limit=500, search_copy=search_copy(guard, batch.images[:2]))
                ended, _ = attack.attack(oracle, batch[rows], norm="linf", eps=EPS, seed=self.context.seed)
            for into, one in zip(found, ended, strict=True):
                into.images[rows], into.seconds[rows] = one.images, one.seconds.float()
                into.forwards[rows], into.backwards[rows] = one.forwards, one.backwards
        return found

    def pgd(self) -> BudgetedAttack:
        """PGD of a quarter radius a step."""
        return PGD(steps=self.paper.steps, rel_stepsize=0.25)

    def fitted(self, name: str) -> Prompts:
        """The prompts of a variant, kept in the run directory."""
        if name not in self.prompts:
            run, path = self.context.run, f"prompts/{self.context.id(name)}.safetensors"
            if not run.exists(path):
                method = FrequencyPrompt(**VARIANTS[name])
                found = method.fit(self.model, self.data.images, self.data.labels, seed=self.context.seed)
                run.write(found.to_bytes(), path)
            self.prompts[name] = Prompts.from_bytes(run.read(path), path)
        return self.prompts[name]

    def select(self, label: str, guard: Classifier, batch: Batch, prompts: Prompts) -> None:
        """Rows of the clusters chosen."""
        context = self.context.within(MAIN)
        if not context.has(label, "selection"):
            with torch.no_grad():
                chosen: torch.Tensor = guard.net.select(batch.images)  # type: ignore[operator]
            own = prompts.commonest[chosen] == required(batch.labels)
            context.write("selection", label, {"id": list(batch.ids), "cluster": chosen, "commonest": own})
