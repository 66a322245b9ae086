"""`Stepping`: what one optimizer step of a training needs, and the step itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of, send
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.rng import kept_random_state
from unshaken.data.resident import Samples, order
from unshaken.harden.engine._checkpoint import PLACE, Progress
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.checks import Check, Validation, selection_of
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.judgement import Reference
from unshaken.harden.engine.recipe import CLASSES, MASKS, UNLABELLED, Memory, Recipe, Setup, Step
from unshaken.harden.engine.training import Training, build_optimizer, rate
from unshaken.store.run_dir import RunDir

Labelled = tuple[Tensor, Tensor, Tensor]
"""Rows (places in the data set) `[n]`, images `[n, C, H, W]` in [0, 1] and labels `[n]`."""
EVALUATED = 512
"""Images of a batch where all are evaluated."""


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """The samples that are trained on.

    Args:
        samples: labelled.
        rows: places in the data set that are trained on, `[n]`.
        seed: the run seed.
        size: samples of a batch and process.
        processes: those that share the batches.
        channels_last: whether shuffled batches lie in memory with their channels last.
    """

    samples: Samples
    rows: NDArray[np.int64]
    seed: int
    size: int
    processes: Processes
    channels_last: bool

    @property
    def steps(self) -> int:
        """Number of batches in an epoch."""
        return max(1, len(self.rows) // (self.size * self.processes.world))

    def epoch(
        self, number: int, use: str, device: torch.device, *, skip: int, steps: int, weights: Tensor | None
    ) -> Iterator[Labelled]:
        """This process's batches of an epoch, on the device.

        Args:
            number: of the epoch, from 0.
            use: name of the order.
            device: where images and labels go.
            skip: number of batches that were taken before.
            steps: number of batches in all.
            weights: see `order`.
        """
        world = self.processes.world
        rows = order(self.rows, self.seed, number, use, weights)[: steps * self.size * world]
        rows = rows.reshape(steps, world, -1)[skip:, self.processes.rank].reshape(-1)
        for part, images, labels in self.samples.batches(rows, self.size):
            shown = send(images, device)
            if self.channels_last:
                shown = shown.contiguous(memory_format=torch.channels_last)
            yield part, shown, send(labels, device)

    def all(self, device: torch.device) -> Iterator[Labelled]:
        """All samples in their order, on the device."""
        for found in self.samples.batches(self.rows, EVALUATED):
            yield send(found[0], device), send(found[1], device), send(found[2], device)

    def some(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images and labels of a few samples, drawn once from the seed."""
        found = self.samples.whole(order(self.rows, self.seed, 0, "sample")[:count])
        return found.images.to(device), found.labels.to(device)  # type: ignore[union-attr]


Keep = Callable[[Classifier, str, Progress], None]
"""Writes a classifier under a name: `model` for the chosen one, `last`, `start` where that is a candidate."""
PEEK = 8
"""Images that a copy of the model is checked on."""


class Stepping:
    """The steps of a training run; `Loop` runs them in epochs.

    Args:
        model: trained in place, on its device.
        samples: to train on and to hold out.
        recipes: what is learned.
        training: options of the loop.
        processes: the processes that train together.
        run: where the state is kept; None for nowhere.
        keep: see `Keep`; None for nothing.
        validation: figure in [0, 1] of a classifier on held-out images that chooses the checkpoint, in the place of
            `training.select`; with it, and with `training.max_clean_loss`, the starting weights are a candidate.
        reference: figures of the starting weights in the place of those on held-out images, which they know.

    Raises:
        ParameterError: recipes do not go together, or batch and model do not.
    """

    model: nn.Module

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
        self.processes = processes or Processes(device=str(device_of(model)), precision=training.precision)
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
        self.select = selection_of(training, validation, threat=self.threat is not None, labelled=samples.labelled)
        self.keys = samples.keys(training.seed)
        self.memory: dict[str, Memory] = {r.info.name: {} for r in recipes}
        self.progress = Progress()
        self.live = model
        self.renew: Callable[[], object] = lambda: None
        self.after_epoch: Callable[[dict[str, float]], object] = lambda record: None

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

    @property
    def _device(self) -> torch.device:
        return device_of(self.live)

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

    def _step(self, rows: Tensor, images: Tensor, labels: Tensor, second: Callable[[], Labelled]) -> Step:
        progress, training = self.progress, self.training
        return Step(
            model=self._call,
            classifier=self.live,
            images=images,
            labels=labels,
            rng=self.keys[rows].fold(progress.epoch).drawn_on(images.device),
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
        """One optimizer step: augmentation, inner search, loss and update."""
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
                raise self._diverged(f"the loss became {value}")
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
        """The loss of this process's batch, without the wrapper that reduces gradients over processes."""
        step.model = self.live
        try:
            return self.together.loss(step, self.training.smoothing)
        finally:
            step.model = self._call

    def _diverged(self, what: str) -> RunError:
        checkpoint = f"; the last good checkpoint is {self.run}/state" if self.run and self.run.exists(*PLACE) else ""
        return RunError(
            f"{what} at epoch {self.progress.epoch + 1}, step {self.progress.batch + 1} of "
            f"{self.steps}: lower lr (now {self.training.lr:g}) or give clip{checkpoint}"
        )

    def _check_weights(self) -> None:
        """Refuse to continue, or to keep anything, once a weight is infinite or NaN."""
        norms = [b for b in self.live.net.named_buffers() if b[0].endswith(("running_mean", "running_var"))]
        values = dict([*self.live.net.named_parameters(), *norms])
        finite = torch.stack([value.isfinite().all() for value in values.values()]).tolist()
        wrong = next((name for name, right in zip(values, finite, strict=True) if not right), None)
        if wrong is not None:
            raise self._diverged(f"the weights {wrong!r} became infinite or NaN")


@contextmanager
def drawn_for_step(seed: int, number: int, rank: int, device: torch.device) -> Iterator[None]:
    """Make the draws of modules such as dropout depend on a step alone; the caller's random states stay as they were.

    Args:
        seed: of the run.
        number: of the step, from 0.
        rank: of the process, from 0.
        device: where the modules draw.
    """
    mixed = hash((seed, number, rank)) % 2**63
    with kept_random_state(device):
        torch.set_rng_state(torch.Generator().manual_seed(mixed).get_state())
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(mixed)
        yield
