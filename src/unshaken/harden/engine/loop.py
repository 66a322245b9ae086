"""The one training loop. What is learned is the recipes' matter; how it is run, kept and chosen is decided here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.memory import keep_freed_memory
from unshaken.core.progress import Task, track
from unshaken.data.resident import Samples, order
from unshaken.harden.engine._check import Check, moved
from unshaken.harden.engine._checkpoint import PLACE, Progress, load_state, save_state
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine._training_batches import Labelled, TrainingBatches
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.draws import drawn_for_step
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.judgement import KNOWN, LEAST_GAIN, Reference
from unshaken.harden.engine.monitors import MONITORS
from unshaken.harden.engine.recipe import CLASSES, MASKS, UNLABELLED, Epoch, Memory, Recipe, Setup, Step
from unshaken.harden.engine.training import Training, build_optimizer, rate
from unshaken.run.store import RunDir

Validation = Callable[[Classifier, Batch], float]
Keep = Callable[[Classifier, str, Progress], None]
"""Writes a classifier under a name: `model` for the chosen one, `last`, `start` where that is a candidate."""


class Loop:
    """A training run.

    Args:
        model: trained in place, on its device.
        samples: what may be seen.
        recipes: what is learned.
        training: how.
        processes: the processes that train together.
        run: where the state is kept; None for nowhere.
        keep: see `Keep`; None for nothing.
        validation: figure in [0, 1] of a classifier on held-out images that chooses the checkpoint, in the place of
            `training.select`; with it, and with `training.max_clean_loss`, the starting weights are a candidate.
        reference: figures of the starting weights in the place of those on held-out images, which they know.

    Raises:
        ParameterError: recipes do not go together, or batch and model do not.
    """

    def __init__(
        self,
        model: Classifier,
        samples: Samples,
        recipes: Sequence[Recipe],
        training: Training,
        *,
        processes: Processes | None = None,
        run: RunDir | None = None,
        keep: Keep | None = None,
        validation: Validation | None = None,
        reference: Reference | None = None,
    ) -> None:
        self.validation, self.reference = validation, reference
        self.training, self.samples, self.run, self.keep = training, samples, run, keep
        self.together = Composition(recipes)
        kind = MASKS if samples.are_masks else CLASSES if samples.labelled else UNLABELLED
        self.together.check_labels(kind)
        self.processes = processes or Processes(precision=training.precision)
        self.rows, held = samples.split(training.held_out if samples.labelled else 0, training.seed)
        self.held_out = len(held)
        share = training.batch_size // self.processes.world
        if training.batch_size % self.processes.world:
            raise ParameterError(
                f"batch size {training.batch_size} does not divide among {self.processes.world} processes"
            )
        self.size = min(share, len(self.rows) // self.processes.world)
        if self.size < 2 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
            raise ParameterError(
                f"a batch of {self.size} with batch norm has no statistics: give a batch size of 2 or more"
            )
        self.batches = TrainingBatches(
            samples, self.rows, training.seed, self.size, self.processes, training.channels_last
        )
        self.steps = self.batches.steps
        self.held = samples.whole(held if len(held) else self.rows[:PEEK])
        self.threat = self.together.threat
        self.check = Check(
            self.held,
            samples.whole(order(self.rows, training.seed, 0, "monitor")[: training.check_images // 2]),
            self.threat,
            attacked=training.check_images,
            steps=training.check_steps,
            seed=training.seed,
        )
        self.select: str = ("robust" if self.threat else "clean") if training.select == "auto" else training.select
        if not samples.labelled:
            self.select = _select_without_labels(training, validation)
        if self.select == "robust" and self.threat is None:
            raise ParameterError("select=robust needs a recipe with a threat, such as at; choose clean or last")
        if validation is not None:
            self.select = "repair"
        self.keys = samples.keys(training.seed)
        self.memory: dict[str, Memory] = {r.info.name: {} for r in recipes}
        self.progress = Progress()
        self.live = model
        self.renew: Callable[[], object] = lambda: None
        self.told: Callable[[dict[str, float]], object] = lambda record: None

    def train(self, *, resume: bool = False) -> Progress:
        """Train to the end, or to the early stop.

        Args:
            resume: go on from the state that is kept.

        Returns:
            What was done and measured; `live` is the model after the last step.

        Raises:
            RunError: the loss is no number any more; what was kept before stays.
        """
        keep_freed_memory()
        self.model: nn.Module = self.live
        self._begin()
        if resume and self.run is not None and self.run.exists(*PLACE):
            self.progress = load_state(self.run, self.live.net, self.optimizer, self.memory)
        else:
            self._measure_start()
        total = self.training.epochs * self.steps
        done = self.progress.epoch * self.steps + self.progress.batch
        self._since = time.perf_counter() - self.progress.seconds
        with track("training", total) as task:
            task.advance(done)
            while self.progress.epoch < self.training.epochs and not self._enough():
                self._epoch(task)
        for recipe in self.together.recipes:
            recipe.end(self.live)
        self.model = self.live  # what reduces gradients goes before the group does: see `Processes.end`
        return self.progress

    # One run.

    def _begin(self) -> None:
        training, device = self.training, self._device
        if training.channels_last:
            self.live.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = self.held.images[:PEEK].to(device)
        for recipe in self.together.recipes:
            memory = self.memory[recipe.info.name]
            shown = self.live, images, self.samples.classes, training.seed, self.steps, training.epochs
            few = partial(self.batches.some, device=device)
            recipe.begin(Setup(*shown, memory, few, len(self.samples.dataset), self._evaluate, self.size))
        self.optimizer = build_optimizer(self.live, training)
        self.model, self.optimizer = self.processes.setup(self.live, self.optimizer)
        self.inner = Inner(self.live, images, precision=training.inner_precision, copied=training.folded)

    def _measure_start(self) -> None:
        """Make the starting weights a candidate, where one may be refused."""
        if self.validation is None and self.training.max_clean_loss is None:
            return
        record: dict[str, float] = {}
        self._figures(record, self.live)
        if self.reference is not None:
            record["held_accuracy"] = self.reference.accuracy
            if self.reference.aimed is not None:
                record[FIGURES["repair"]] = self.reference.aimed
            self.progress.flags[KNOWN] = self.reference.why
        self.progress.start = record
        self.progress.best, self.progress.best_epoch = record[FIGURES[self.select]] + LEAST_GAIN, -1
        self._keep(self.live, "start")
        self._keep(self.live, "model")

    @property
    def _device(self) -> torch.device:
        return next(self.live.parameters()).device

    def _call(self, images: Tensor) -> Tensor:
        """A counted training pass; those of the inner search have their own meter."""
        n = len(images) * self.processes.world
        self.progress.forwards += n
        self.progress.backwards += n * torch.is_grad_enabled()
        logits: Tensor = self.model(images)
        return logits

    @torch.no_grad()
    def _evaluate(self, read: Callable[[Tensor], Tensor]) -> Labelled:
        """A counted pass over all training samples in their order: see `Evaluate`."""
        parts = []
        with evaluating(self.live):
            for rows, images, labels in self.batches.all(self._device):
                self.progress.forwards += len(images)
                parts.append((rows, labels, read(images)))
        rows, labels, found = map(torch.cat, zip(*parts, strict=True))
        return rows, labels, found

    def _enough(self) -> bool:
        patience = self.training.patience
        return patience is not None and self.progress.waited >= patience

    # One epoch.

    def _epoch(self, task: Task) -> None:
        progress, training = self.progress, self.training
        others, stopped = self._batches("second"), False
        for rows, images, labels in self._batches("order"):
            with drawn_for_step(training.seed, progress.number, self.processes.rank):
                for _ in range(self.together.replays):
                    step = self._step(rows, images, labels, lambda: next(others))
                    self._descend(step)
            progress.batch, stopped = progress.batch + 1, step.stop
            progress.seconds = time.perf_counter() - self._since
            task.advance(1, self._note())
            self.renew()
            if stopped:
                break
            if progress.batch < self.steps and progress.number % training.save_every < self.together.replays:
                self._save()
        record = {"epoch": float(progress.epoch), "lr": self._rate() * training.lr}
        record["loss"] = progress.losses[0] / max(1, progress.losses[1])
        record |= {name: total / n for name, (total, n) in progress.sums.items()}
        for recipe in self.together.recipes:
            memory = self.memory[recipe.info.name]
            recipe.after_epoch(Epoch(self.live, progress.epoch, memory, record, self._evaluate))
        self._check_weights()
        last = stopped or progress.epoch + 1 == training.epochs
        if last or (progress.epoch + 1) % training.check_every == 0:
            self._measure(record)
        self._count()
        record |= {"seconds": progress.seconds, "forwards": float(progress.forwards)}
        record |= {"backwards": float(progress.backwards)}
        progress.curves.append(record)
        progress.epoch = training.epochs if stopped else progress.epoch + 1
        progress.batch, progress.losses, progress.sums = 0, (0.0, 0), {}
        self._save()
        self.told(record)

    def _batches(self, use: str) -> Iterator[Labelled]:
        """What is left of this process's batches of the epoch, in an order of its own for each use."""
        progress, weights = self.progress, self.together.sampling(self.memory)
        left = {"skip": progress.batch, "steps": self.steps}
        return self.batches.epoch(progress.epoch, use, self._device, weights=weights, **left)

    # One step.

    def _step(self, rows: Tensor, images: Tensor, labels: Tensor, second: Callable[[], Labelled]) -> Step:
        progress, training = self.progress, self.training
        return Step(
            model=self._call,
            classifier=self.live,
            images=images,
            labels=labels,
            rng=self.keys[rows].fold(progress.epoch),
            inner=self.inner,
            epoch=progress.epoch,
            number=progress.number,
            share=progress.number / (training.epochs * self.steps * self.together.replays),
            epochs=training.epochs,
            steps=self.steps,
            classes=self.samples.classes,
            second=second,
            memory=self.memory,
            average=self.processes.average,
            rows=rows,
        )

    def _rate(self) -> float:
        total = self.training.epochs * self.steps * self.together.replays
        training = self.training
        share = min(1.0, (self.progress.number + 0.5) / total)  # the middle of the step: neither end is nought
        return rate(share, training.schedule, warmup=training.warmup, milestones=training.milestones)

    def _descend(self, step: Step) -> None:
        """Augment, search, learn."""
        together, training, progress = self.together, self.training, self.progress
        together.prepare(step)
        together.search(step)
        self.live.train()
        for group in self.optimizer.param_groups:
            group["lr"] = training.lr * self._rate()
        with self.processes.autocast(), together.around(step, lambda: self._probe(step)):
            self.optimizer.zero_grad(set_to_none=True)
            loss = together.loss(step, training.smoothing)
            value = loss.item()
            if not math.isfinite(value):
                raise self._lost(f"the loss became {value}")
            self.processes.backward(loss)
            if training.clip is not None:
                torch.nn.utils.clip_grad_norm_(self.live.parameters(), training.clip)
            self.optimizer.step()
        progress.number += 1
        together.after_step(step)
        progress.losses = (progress.losses[0] + value, progress.losses[1] + 1)
        for name, figure in step.figures.items():
            total, n = progress.sums.get(name, (0.0, 0))
            progress.sums[name] = (total + figure, n + 1)

    def _probe(self, step: Step) -> Tensor:
        """The loss of this process's batch, past what reduces gradients over processes."""
        step.model = self.live
        try:
            return self.together.loss(step, self.training.smoothing)
        finally:
            step.model = self._call

    def _lost(self, what: str) -> RunError:
        kept = f"; the last good checkpoint is {self.run}/state" if self.run and self.run.exists(*PLACE) else ""
        return RunError(
            f"{what} at epoch {self.progress.epoch + 1}, step {self.progress.batch + 1} of "
            f"{self.steps}: lower lr (now {self.training.lr:g}) or give clip{kept}"
        )

    def _check_weights(self) -> None:
        """Refuse to go on, or to keep anything, once weights are no numbers.

        Raises:
            RunError: see `_lost`.
        """
        norms = [b for b in self.live.net.named_buffers() if b[0].endswith(("running_mean", "running_var"))]
        for name, value in [*self.live.net.named_parameters(), *norms]:
            if not bool(value.isfinite().all()):
                raise self._lost(f"the weights {name!r} became infinite or NaN")

    # After an epoch.

    def kept(self) -> Classifier:
        """The classifier that is measured and kept: the live one, or one with an average of its weights."""
        weights = self.together.kept(self.memory)
        return self.live if weights is None else moved(self.live, weights)

    def _measure(self, record: dict[str, float]) -> None:
        progress, kept = self.progress, self.kept()
        self._figures(record, kept)
        figure = record.get(FIGURES[self.select], 0.0)
        if self._allowed(record) and (self.select == "last" or progress.best is None or figure > progress.best):
            progress.best, progress.best_epoch, progress.waited = figure, progress.epoch, 0
            self._keep(kept, "model")
        else:
            progress.waited += 1
        for name, monitor in MONITORS.items():
            detail = monitor([*progress.curves, record])
            if detail is not None:
                progress.flags.setdefault(name, detail)

    def _figures(self, record: dict[str, float], kept: Classifier) -> None:
        """Add to a record what is measured after an epoch, the same in all processes."""
        if self.processes.rank == 0:
            record |= self.check(self.live, kept) if self.samples.labelled else {}
            if self.validation is not None:
                record["held_repaired"] = self.validation(kept, self.held)
        record.update(self.processes.same(record))

    def _allowed(self, record: Mapping[str, float]) -> bool:
        """Whether weights keep enough of the accuracy on unchanged images."""
        most, start = self.training.max_clean_loss, self.progress.start.get("held_accuracy")
        return most is None or start is None or record["held_accuracy"] >= start - most - 1e-9

    def _keep(self, model: Classifier, name: str) -> None:
        if self.keep is not None and self.processes.rank == 0:
            self.keep(model, name, self.progress)

    def _count(self) -> None:
        meter = self.inner.meter
        self.progress.forwards += meter.forwards * self.processes.world
        self.progress.backwards += meter.backwards * self.processes.world
        meter.forwards = meter.backwards = 0

    def _save(self) -> None:
        self._count()
        if self.progress.batch == 0:  # before the state, which says that the epoch is done
            self._keep(self.kept(), "last")
        if self.run is not None and self.processes.rank == 0:
            save_state(self.run, self.live.net, self.optimizer, self.memory, self.progress)

    def _note(self) -> str:
        """The live remark beside the progress bar."""
        progress = self.progress
        parts = [f"loss {progress.losses[0] / max(1, progress.losses[1]):.3f}"]
        last: Mapping[str, Any] = progress.curves[-1] if progress.curves else {}
        if "held_accuracy" in last:
            parts.append(f"held-out {last['held_accuracy']:.1%}")
        if "held_robust" in last:
            parts.append(f"robust {last['held_robust']:.1%}")
        return ", ".join([*parts, *progress.flags])


def _select_without_labels(training: Training, validation: Validation | None) -> str:
    """How the checkpoint is chosen where images have no labels: the last one.

    Raises:
        ParameterError: it is to be chosen by accuracy.
    """
    wanted = {
        f"select={training.select}": training.select in ("robust", "clean"),
        "max_clean_loss": training.max_clean_loss is not None,
        "validation": validation is not None,
    }
    for name, given in wanted.items():
        if given:
            raise ParameterError(f"{name} needs accuracy on held-out images, and the data has no labels: leave it out")
    return "last"


FIGURES = {
    "robust": "held_robust", "clean": "held_accuracy", "last": "held_accuracy", "repair": "held_repaired"
}  # fmt: skip
"""The figure by which each way to select compares checkpoints."""
PEEK = 8
"""Images that a copy of the model is checked on."""
