"""The one training loop. What is learned is the recipes' matter; how it is run, kept and chosen is decided here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from unshaken.core.classifier import Classifier
from unshaken.core.device import keep_freed_memory
from unshaken.core.progress import Task, track
from unshaken.harden.engine._checkpoint import PLACE, Progress, load_state, save_state
from unshaken.harden.engine._stepping import Labelled, Stepping, drawn_for_step
from unshaken.harden.engine.checks import FIGURES, MONITORS, moved
from unshaken.harden.engine.judgement import KNOWN, LEAST_GAIN
from unshaken.harden.engine.recipe import Epoch


class Loop(Stepping):
    """A training run: epochs of steps, and the choice of the weights to keep; see `Stepping` for its arguments."""

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
        self.model = self.live
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
            while self.progress.epoch < self.training.epochs and not self._has_stalled():
                self._epoch(task)
        for recipe in self.together.recipes:
            recipe.end(self.live)
        self.model = self.live  # what reduces gradients goes before the group does: see `Processes.end`
        return self.progress

    # One run.

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

    def _has_stalled(self) -> bool:
        patience = self.training.patience
        return patience is not None and self.progress.waited >= patience

    # One epoch.

    def _epoch(self, task: Task) -> None:
        progress, training = self.progress, self.training
        others, stopped = self._batches("second"), False
        for rows, images, labels in self._batches("order"):
            with drawn_for_step(training.seed, progress.number, self.processes.rank, self._device):
                for _ in range(self.together.replays):
                    step = self._step(rows, images, labels, lambda: next(others))
                    self._descend(step)
            progress.batch, stopped = progress.batch + 1, step.stop
            progress.seconds = time.perf_counter() - self._since
            task.advance(1, self._progress_text())
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
        self.after_epoch(record)

    def _batches(self, use: str) -> Iterator[Labelled]:
        """The rest of this process's batches of the epoch, in an order of its own for each use."""
        progress, weights = self.progress, self.together.sampling(self.memory)
        left = {"skip": progress.batch, "steps": self.steps}
        return self.batches.epoch(progress.epoch, use, self._device, weights=weights, **left)

    # After an epoch.

    def kept(self) -> Classifier:
        """The classifier that is measured and kept: the live one, or one with an average of its weights."""
        weights = self.together.kept(self.memory)
        return self.live if weights is None else moved(self.live, weights)

    def _measure(self, record: dict[str, float]) -> None:
        progress, kept = self.progress, self.kept()
        self._figures(record, kept)
        figure = record.get(FIGURES[self.select], 0.0)
        if self._keeps_accuracy(record) and (self.select == "last" or progress.best is None or figure > progress.best):
            progress.best, progress.best_epoch, progress.waited = figure, progress.epoch, 0
            self._keep(kept, "model")
        else:
            progress.waited += 1
        for name, monitor in MONITORS.items():
            detail = monitor([*progress.curves, record])
            if detail is not None:
                progress.flags.setdefault(name, detail)

    def _figures(self, record: dict[str, float], kept: Classifier) -> None:
        """Add the figures after an epoch to a record, the same in all processes."""
        if self.processes.rank == 0:
            record |= self.check(self.live, kept) if self.samples.labelled else {}
            if self.validation is not None:
                record["held_repaired"] = self.validation(kept, self.held)
        record.update(self.processes.same(record))

    def _keeps_accuracy(self, record: Mapping[str, float]) -> bool:
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
        if self.progress.batch == 0:  # before the state, which records that the epoch is done
            self._keep(self.kept(), "last")
        if self.run is not None:
            save_state(self.run, self.live.net, self.optimizer, self.memory, self.progress, self.processes)

    def _progress_text(self) -> str:
        """Text beside the progress bar."""
        progress = self.progress
        parts = [f"loss {progress.losses[0] / max(1, progress.losses[1]):.3f}"]
        last: Mapping[str, Any] = progress.curves[-1] if progress.curves else {}
        if "held_accuracy" in last:
            parts.append(f"held-out {last['held_accuracy']:.1%}")
        if "held_robust" in last:
            parts.append(f"robust {last['held_robust']:.1%}")
        return ", ".join([*parts, *progress.flags])
